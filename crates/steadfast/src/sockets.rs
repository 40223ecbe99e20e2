//! Sockets among the files, in the place of ports. Names and place are Dapr's.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::ErrorKind,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

/// A socket with its file, which is removed at the end.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) path: PathBuf,
    pub(crate) listener: UnixListener,
}

/// The sockets of both fronts, in a folder that is made if it is not there.
///
/// # Errors
///
/// If they cannot be made, belong to somebody else, or are in use.
pub(crate) fn listen(folder: &Path, app_id: &str) -> anyhow::Result<(Socket, Socket)> {
    let folder = std::path::absolute(folder)?;
    if !folder.is_dir() {
        let made = DirBuilder::new().mode(0o700).recursive(true).create(&folder);
        made.with_context(|| format!("cannot make {}, --unix-domain-socket", folder.display()))?;
    }
    let of = |front| socket(&folder, &format!("dapr-{app_id}-{front}.socket"));
    Ok((of("http")?, of("grpc")?))
}

/// Makes a socket that nobody else could have opened at any time: in a folder that only this user may enter, and then
/// moved to its place, over one that is left from before.
fn socket(folder: &Path, name: &str) -> anyhow::Result<Socket> {
    let path = folder.join(name);
    check_free(&path)?;
    let private = tempfile_in(folder)?;
    let made = (|| {
        let first = private.join("socket");
        let listener = UnixListener::bind(&first)?;
        fs::set_permissions(&first, Permissions::from_mode(0o600))?;
        fs::rename(&first, &path)?;
        Ok::<_, std::io::Error>(listener)
    })();
    // Empty by now; one that stays behind harms nobody.
    let _ = fs::remove_dir_all(&private);
    let listener = made.with_context(|| {
        format!("cannot listen on {} (a path may have about 100 bytes)", path.display())
    })?;
    Ok(Socket { path, listener })
}

/// A folder of our own for a moment.
fn tempfile_in(folder: &Path) -> anyhow::Result<PathBuf> {
    let private = folder.join(format!(".{}", std::process::id()));
    // Of a process that had the same number and was killed.
    let _ = fs::remove_dir_all(&private);
    let made = DirBuilder::new().mode(0o700).create(&private);
    made.with_context(|| format!("cannot make sockets in {}", folder.display()))?;
    Ok(private)
}

/// Refuses to replace what is no socket left behind by an earlier sidecar of the same user.
fn check_free(path: &Path) -> anyhow::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.with_context(|| format!("cannot look at {}", path.display()))?,
    };
    let path = path.display();
    if !found.file_type().is_socket() {
        bail!(
            "{path} is there and is no socket: remove it, or choose another --unix-domain-socket"
        );
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        bail!("{path} belongs to another user: choose another --unix-domain-socket");
    }
    if UnixStream::connect(path.to_string()).is_ok() {
        bail!(
            "{path} is in use by another sidecar: choose another --unix-domain-socket or --app-id"
        );
    }
    Ok(())
}

impl Drop for Socket {
    fn drop(&mut self) {
        // It may be another's by now, or gone.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn sockets_are_for_this_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let sockets = folder.path().join("new");
        let (http, grpc) = listen(&sockets, "cart").unwrap();
        assert_eq!(mode(&sockets), 0o700);
        for (socket, name) in [(&http, "dapr-cart-http.socket"), (&grpc, "dapr-cart-grpc.socket")] {
            assert_eq!(socket.path.file_name().unwrap(), name);
            assert_eq!(mode(&socket.path), 0o600);
        }
        assert_eq!(fs::read_dir(&sockets).unwrap().count(), 2, "nothing else is left there");
        drop((http, grpc));
        assert_eq!(fs::read_dir(&sockets).unwrap().count(), 0);
    }

    #[test]
    fn what_an_earlier_sidecar_left_behind_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dapr-cart-http.socket");
        drop(UnixListener::bind(&path).unwrap());
        let (http, _grpc) = listen(folder.path(), "cart").unwrap();
        let error = listen(folder.path(), "cart").unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
        drop(http);
        fs::write(&path, "mine").unwrap();
        let error = listen(folder.path(), "cart").unwrap_err().to_string();
        assert!(error.contains("no socket"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
