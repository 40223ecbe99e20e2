//! Reads files that a person wrote, and refuses those that nobody can have written.

use std::{fs::File, io::Read, path::Path};

/// 1 MiB. Our own bound; Dapr hangs above 64 KiB. Source: security.md section 4.5.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// What is wrong with a file, in words, and what to do about it.
pub(crate) struct Unreadable {
    pub(crate) message: String,
    pub(crate) hint: &'static str,
}

/// Returns the text of a file.
pub(crate) fn read(path: &Path) -> Result<String, Unreadable> {
    text(File::open(path).map_err(|e| unreadable(format!("the file cannot be opened: {e}"), ""))?)
}

/// As [`read`], from what is open already.
pub(crate) fn text(from: impl Read) -> Result<String, Unreadable> {
    let mut bytes = Vec::new();
    // One more than allowed, rather than asking for the length: a pipe has none.
    from.take(FILE_LEN_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| unreadable(format!("the file cannot be read: {e}"), ""))?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        let message = "the file is larger than 1 MiB".to_owned();
        return Err(unreadable(message, "divide it into several"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let message = "the file is in UTF-16".to_owned();
        return Err(unreadable(message, "save it as UTF-8"));
    }
    if let Some(at) = bytes.iter().position(|it| *it == 0) {
        let message = format!("the file has a NUL byte in line {}", line_at(&bytes, at));
        return Err(unreadable(message, "save it anew, as text"));
    }
    String::from_utf8(bytes).map_err(|e| {
        let line = line_at(e.as_bytes(), e.utf8_error().valid_up_to());
        unreadable(format!("the file is not UTF-8 text in line {line}"), "save it as UTF-8")
    })
}

fn line_at(bytes: &[u8], at: usize) -> usize {
    bytes[..at].iter().filter(|it| **it == b'\n').count() + 1
}

fn unreadable(message: String, hint: &'static str) -> Unreadable {
    Unreadable { message, hint }
}
