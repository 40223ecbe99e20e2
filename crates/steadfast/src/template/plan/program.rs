//! Whether a command can be started, found out before anything is.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Looks for a program as the system will, in the folder that the application is started in and with the `PATH` that it is
/// given.
///
/// # Errors
///
/// If it is not there, or is no program.
pub(super) fn check(program: &str, folder: &Path, path: Option<&str>) -> Result<(), String> {
    if program.contains('/') {
        let file = folder.join(program);
        return match fs::metadata(&file) {
            Ok(it) if it.is_file() && it.permissions().mode() & 0o111 != 0 => Ok(()),
            Ok(_) => Err(format!("{} is not a program that may be run", file.display())),
            Err(e) => Err(format!("there is no program {}: {e}", file.display())),
        };
    }
    let own = env::var_os("PATH").unwrap_or_default();
    let path = path.map_or(own, Into::into);
    let is_there =
        |it: PathBuf| check(&format!("{}/{program}", it.display()), folder, None).is_ok();
    match env::split_paths(&path).any(is_there) {
        true => Ok(()),
        false => Err(format!("there is no program {program:?}")),
    }
}
