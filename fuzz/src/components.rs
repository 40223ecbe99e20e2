use std::{fs, path::PathBuf};

use state_config::{Context, Resources, load};
use tempfile::TempDir;

/// A folder with one component file, which is written anew for each input.
#[derive(Debug)]
pub(crate) struct Folder(TempDir);

thread_local! {
    static FOLDER: Folder = Folder(TempDir::new().expect("files can be written"));
}

/// Loads components from a file of these bytes.
pub(crate) fn load_file(bytes: &[u8], context: &Context) -> Resources {
    FOLDER.with(|Folder(folder)| {
        fs::write(folder.path().join("f.yaml"), bytes).expect("files can be written");
        load(&[PathBuf::from(folder.path())], context)
    })
}

/// An application with a few variables, one of them a secret.
pub(crate) fn context() -> Context {
    let environment = [("POD_NAME", "pod-1"), ("DB_PASSWORD", "hunter2"), ("DAPR_API_TOKEN", "x")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Context {
        app_id: "cart".to_owned(),
        namespace: Some("production".to_owned()),
        environment: environment.into(),
        ..Context::default()
    }
}

/// Everything about resources that may get into a log.
pub(crate) fn shown(resources: &Resources) -> String {
    let findings = resources.problems.iter().chain(&resources.warnings);
    let findings: Vec<_> = findings.map(ToString::to_string).collect();
    format!("{resources:?}\n{}", findings.join("\n"))
}
