//! A state store for those who have not configured one.

use std::{
    env,
    fs::{self, DirBuilder},
    io::{self, ErrorKind},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::Context;
use state_config::{Component, KeyPrefix, Properties, Source};

/// The name that Dapr's own tools and examples use.
pub(crate) const STORE_NAME: &str = "statestore";

const FILE_NAME: &str = "statestore.yaml";

/// A store on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreUrl {
    Memory,
    Sqlite(String),
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<StoreUrl, String> {
        let path = text.strip_prefix("sqlite://").filter(|it| !it.is_empty());
        match (text, path) {
            ("memory", _) => Ok(StoreUrl::Memory),
            (_, Some(path)) => Ok(StoreUrl::Sqlite(path.to_owned())),
            _ => Err("use memory, sqlite:///path or sqlite://relative/path; other stores are \
                      configured by a component file"
                .to_owned()),
        }
    }
}

impl StoreUrl {
    /// The component that a file for this store would make.
    pub(crate) fn component(&self) -> Component {
        let (component_type, properties) = match self {
            StoreUrl::Memory => ("state.in-memory", Properties::default()),
            StoreUrl::Sqlite(path) => {
                ("state.sqlite", [("connectionString", path.as_str())].into_iter().collect())
            }
        };
        Component {
            name: STORE_NAME.to_owned(),
            component_type: component_type.to_owned(),
            version: "v1".to_owned(),
            properties,
            key_prefix: KeyPrefix::default(),
            ignore_errors: false,
            init_timeout: std::time::Duration::from_secs(5),
            source: Source { file: PathBuf::from("--state-store"), line: 1 },
        }
    }
}

/// The folder of component files for those who have not named one: `components` here if there is
/// one, else that of Dapr's own tools.
pub(crate) fn default_folder() -> PathBuf {
    let local = PathBuf::from("components");
    match env::home_dir() {
        Some(home) if !local.is_dir() => home.join(".dapr").join("components"),
        _ => local,
    }
}

/// Writes `statestore.yaml` for a SQLite database into `folder`, and returns the paths of both.
/// `None` if the file is there already: it is never replaced.
pub(crate) fn write_component(folder: &Path) -> anyhow::Result<Option<(PathBuf, PathBuf)>> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the components folder {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    let data = folder.parent().unwrap_or(&folder).join("data");
    // What applications keep is nobody else's business.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&data)
        .with_context(|| format!("cannot create the data folder {}", data.display()))?;
    let (file, database) = (folder.join(FILE_NAME), data.join("statestore.db"));
    match place(&file, &yaml(&database)) {
        Ok(()) => Ok(Some((file, database))),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot write {}", file.display())),
    }
}

/// Makes a file that is never seen half written, and never replaces one: two that are started at
/// the same time both end up with the same.
fn place(file: &Path, text: &str) -> io::Result<()> {
    let draft = file.with_extension(format!("{}.draft", std::process::id()));
    fs::write(&draft, text)?;
    let placed = fs::hard_link(&draft, file);
    fs::remove_file(&draft)?;
    placed
}

fn yaml(database: &Path) -> String {
    // A JSON string is a YAML string, whatever is in the path.
    let database = serde_json::Value::from(database.to_string_lossy());
    format!(
        "# The state store of the applications that run here, written by `steadfast run`.
# Replace this file to switch the store: the applications do not change.
apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: {STORE_NAME}
spec:
  type: state.sqlite
  version: v1
  metadata:
  - name: connectionString
    value: {database}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_file_is_read_back_and_never_replaced() {
        let folder = tempfile::TempDir::new().unwrap();
        let components = folder.path().join("a \"quoted\" name").join("components");
        let (file, database) = write_component(&components).unwrap().unwrap();
        let context = state_config::Context { app_id: "a".to_owned(), ..Default::default() };
        let resources = state_config::load(std::slice::from_ref(&components), &context);
        assert!(resources.problems.is_empty(), "{:?}", resources.problems);
        let connection = resources.components[0].properties.get("connectionString");
        assert_eq!(connection, database.to_str());
        fs::write(&file, "mine").unwrap();
        assert_eq!(write_component(&components).unwrap(), None);
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    }

    #[test]
    fn a_store_url_is_a_path_or_memory() {
        assert_eq!("memory".parse(), Ok(StoreUrl::Memory));
        let sqlite = |path: &str| Ok(StoreUrl::Sqlite(path.to_owned()));
        assert_eq!("sqlite:///a/b.db".parse(), sqlite("/a/b.db"));
        assert_eq!("sqlite://b.db".parse(), sqlite("b.db"));
        assert!("sqlite://".parse::<StoreUrl>().is_err());
    }
}
