//! Reads files that a person wrote, and refuses those that nobody can have written.

use std::{fs::File, io::Read, path::Path};

/// 1 MiB. Our own bound; Dapr hangs above 64 KiB. Source: security.md section 4.5.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// Returns the text of a file, or what is wrong with it in words.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    text(File::open(path).map_err(|e| format!("the file cannot be opened: {e}"))?)
}

/// As [`read`], from what is open already.
pub(crate) fn text(from: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    // One more than allowed, rather than asking for the length: a pipe has none.
    from.take(FILE_LEN_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| format!("the file cannot be read: {e}"))?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err("the file is larger than 1 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "the file is not UTF-8 text".to_owned())
}
