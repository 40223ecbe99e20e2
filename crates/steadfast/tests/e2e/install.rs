//! `steadfast init` and `uninstall`, `completion` and `man`: what is written for other programs.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::support::{command, finished};

fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let (code, output) = finished(folder, arguments);
    assert_eq!(code, 0, "{arguments:?}: {output}");
    output
}

#[test]
fn init_writes_what_is_missing_and_uninstall_removes_exactly_that() {
    let folder = TempDir::new().unwrap();
    let home = folder.path().join(".dapr");
    let output = succeeds(folder.path(), &["init"]);
    assert!(
        output.contains("statestore.yaml") && output.contains("Next: steadfast run"),
        "{output}"
    );
    let store = home.join("components/statestore.yaml");
    assert!(fs::read_to_string(&store).unwrap().contains("state.sqlite"));
    succeeds(folder.path(), &["run", "-H", "0", "-G", "0", "--", "true"]);
    assert!(home.join("data/statestore.db").exists());

    let output = succeeds(folder.path(), &["init"]);
    assert!(output.contains("is there already: left as it is"), "{output}");
    let output = succeeds(folder.path(), &["uninstall"]);
    assert!(output.contains(&format!("Removed {}", store.display())), "{output}");
    assert!(!store.exists() && !home.join("config.yaml").exists());
    assert!(home.join("data/statestore.db").exists(), "data stays");
    succeeds(folder.path(), &["uninstall", "--all"]);
    assert!(!home.exists(), "{:?}", fs::read_dir(&home).map(|it| it.collect::<Vec<_>>()));
}

#[test]
fn files_of_others_are_left_alone() {
    let folder = TempDir::new().unwrap();
    let home = folder.path().join(".dapr");
    fs::create_dir_all(home.join("components")).unwrap();
    fs::write(home.join("config.yaml"), "mine").unwrap();
    succeeds(folder.path(), &["init", "--state-store", "redis://:hunter2@db:6379/1"]);
    let store = home.join("components/statestore.yaml");
    let text = fs::read_to_string(&store).unwrap();
    assert!(text.contains("state.redis"), "{text}");
    fs::write(&store, text + "# edited").unwrap();
    let output = succeeds(folder.path(), &["uninstall"]);
    assert!(output.contains("was changed since it was written"), "{output}");
    assert!(store.exists());
    let output = succeeds(folder.path(), &["uninstall", "--all"]);
    assert!(!output.contains("hunter2"));
    assert!(!store.exists());
    assert_eq!(fs::read_to_string(home.join("config.yaml")).unwrap(), "mine");
}

#[test]
fn a_real_daprd_is_replaced_only_by_force() {
    let folder = TempDir::new().unwrap();
    let daprd = folder.path().join(".dapr/bin/daprd");
    fs::create_dir_all(daprd.parent().unwrap()).unwrap();
    fs::write(&daprd, "theirs").unwrap();
    let (code, output) = finished(folder.path(), &["init", "--link-daprd"]);
    assert!(code == 1 && output.contains("add --force to replace it"), "{output}");
    assert!(!folder.path().join(".dapr/components").exists(), "nothing was changed");
    succeeds(folder.path(), &["init", "--link-daprd", "--force"]);
    let output = Command::new(&daprd).arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("steadfast"), "{output:?}");
    succeeds(folder.path(), &["init", "--link-daprd"]);
    succeeds(folder.path(), &["uninstall"]);
    assert!(!daprd.exists());
}

#[test]
fn shells_take_what_completes_commands() {
    let folder = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = command(folder.path(), &["completion", shell]).output().unwrap();
        assert!(output.status.success());
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("dapr-http-port"), "{shell}");
        assert!(!script.contains("launch-app"), "{shell}: for us alone");
        // Whichever shells are there; bash is.
        let path = folder.path().join(shell);
        fs::write(&path, script).unwrap();
        let check = Command::new(shell).arg("-n").arg(&path).stderr(Stdio::piped()).output();
        match check {
            Ok(it) => assert!(it.status.success(), "{shell}: {it:?}"),
            Err(e) => assert!(shell != "bash", "{e}"),
        }
    }
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let folder = TempDir::new().unwrap();
    let page = succeeds(folder.path(), &["man"]);
    assert!(page.contains(".TH steadfast 1"), "{page}");
    succeeds(folder.path(), &["man", "pages"]);
    for name in ["steadfast", "steadfast-run", "steadfast-list", "steadfast-verify"] {
        let page = fs::read_to_string(folder.path().join(format!("pages/{name}.1"))).unwrap();
        assert!(page.contains(".SH NAME"), "{page}");
    }
    let pages =
        fs::read_dir(folder.path().join("pages")).unwrap().map(|it| it.unwrap().file_name());
    let hidden = pages.filter(|it| it.to_string_lossy().contains("launch")).count();
    assert_eq!(hidden, 0, "what is for us alone has none");
}
