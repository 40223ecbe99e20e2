//! Component files: all mistakes, and who can read the secrets in them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use state_config::{Component, Problem, Resources, Standing};

use super::{Finding, Level};
use crate::components;

/// What the files have, and the state stores among it.
pub(super) fn look(folders: &[PathBuf], app_id: &str) -> (Vec<Finding>, Vec<Component>) {
    let about = "component files";
    if let [folder] = folders
        && !folder.exists()
    {
        let text = format!("{} is not there", folder.display());
        let remedy = "`steadfast run` makes the default folder, with a SQLite store; or create it";
        return (vec![Finding::warn(about, text, remedy)], Vec::new());
    }
    let context = match components::context(app_id, true) {
        Ok(it) => it,
        Err(e) => {
            let remedy = "set the variables as Kubernetes does, or none of them";
            return (vec![Finding::fail(about, format!("{e:#}"), remedy)], Vec::new());
        }
    };
    let resources = state_config::load(folders, &context);
    let mut findings = Vec::new();
    for it in &resources.problems {
        let level = if it.ignorable { Level::Warn } else { Level::Fail };
        findings.push(finding(level, it));
    }
    findings.extend(resources.warnings.iter().map(|it| finding(Level::Warn, it)));
    if resources.problems.is_empty() {
        findings.push(count(about, folders, app_id, &resources));
    }
    let plain = resources.components.iter().filter(|it| has_plain_secret(it));
    let mut private: Vec<&Path> = plain.map(|it| it.source.file.as_path()).collect();
    private.extend(resources.secret_files.iter().map(PathBuf::as_path));
    private.sort_unstable();
    private.dedup();
    findings.extend(private.into_iter().filter_map(readable_by_others));
    (findings, resources.components)
}

fn count(about: &str, folders: &[PathBuf], app_id: &str, resources: &Resources) -> Finding {
    let folders: Vec<_> = folders.iter().map(|it| it.display().to_string()).collect();
    let folders = folders.join(", ");
    let passed_over =
        resources.listed.iter().filter(|it| matches!(it.standing, Standing::Skipped(_))).count();
    match resources.components.len() {
        0 => Finding::warn(
            about,
            format!(
                "no state store for {app_id} in {folders}; {passed_over} components are passed over"
            ),
            "see `steadfast components`; for another application, use --app-id",
        ),
        stores => Finding::ok(
            about,
            format!(
                "{stores} state stores for {app_id} in {folders}; {passed_over} components are passed over"
            ),
        ),
    }
}

fn finding(level: Level, problem: &Problem) -> Finding {
    let mut about = problem.file.display().to_string();
    for number in [problem.line, problem.column].into_iter().flatten() {
        about += &format!(":{number}");
    }
    Finding { level, about, text: problem.message.clone(), remedy: problem.hint.clone() }
}

/// Whether the component's own file has a password in it.
fn has_plain_secret(component: &Component) -> bool {
    let is_secret = |name: &str| {
        let value = component.properties.get(name).unwrap_or_default();
        let name = name.to_lowercase();
        let login = value.split_once("://").and_then(|(_, it)| it.split_once('@'));
        let has_login = login.is_some_and(|(login, _)| login.contains(':'));
        let is_named = name.contains("password") || name.contains("encryptionkey");
        !value.is_empty() && (is_named || has_login || value.contains("password="))
    };
    let text = fs::read_to_string(&component.source.file).unwrap_or_default();
    // Where secrets are somewhere else, which of them these are cannot be told from here.
    let is_elsewhere = text.contains("secretKeyRef") || text.contains("envRef");
    !is_elsewhere && component.properties.names().any(is_secret)
}

fn readable_by_others(file: &Path) -> Option<Finding> {
    let mode = fs::metadata(file).ok()?.permissions().mode() & 0o777;
    let about = file.display().to_string();
    if mode & 0o077 == 0 {
        return Some(Finding::ok(&about, "has secrets, for this user alone"));
    }
    let text = format!("has secrets, and other users may read or write it (mode {mode:03o})");
    Some(Finding::warn(&about, text, format!("chmod 600 {about}")))
}
