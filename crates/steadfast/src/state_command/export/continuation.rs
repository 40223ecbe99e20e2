//! Where an interrupted export has left its file.

use std::{
    fs::File,
    io::{BufRead, BufReader},
};

use anyhow::{Context, Result, bail, ensure};
use state::Key;

use crate::state_command::record::{Begin, Mark, Parsed, parse};

/// What is left to do for a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Continuation {
    /// Everything.
    Begin,
    /// Everything after this key; the file is good up to `len`, with so many records.
    After { key: Key, records: u64, len: u64 },
    /// Nothing.
    Complete { records: u64 },
}

/// Reads the file from the beginning. A last line without an end was being written, and does not count.
///
/// # Errors
///
/// If the file is not an export of the same, or a line in it is damaged.
pub(super) fn continuation(file: &File, ours: &Begin) -> Result<Continuation> {
    let mut lines = BufReader::new(file);
    let (mut len, mut number, mut records) = (0, 0, 0);
    let mut key: Option<Key> = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        lines.read_until(b'\n', &mut line).context("it cannot be read")?;
        if line.last() != Some(&b'\n') {
            break;
        }
        number += 1;
        let place = || format!("line {number} is damaged: remove the file, and export again");
        match (number, parse(&line).with_context(place)?) {
            // Which key the export began after counts only for its beginning.
            (1, Parsed::Mark(Mark::Begin(theirs))) => {
                let theirs = Begin { after: ours.after.clone(), ..theirs };
                ensure!(
                    theirs == *ours,
                    "it is an export of {}, and this would be one of {}: name another file",
                    describe(&theirs),
                    describe(ours)
                );
            }
            (1, _) => bail!("it is no export: name another file"),
            (_, Parsed::Mark(Mark::End(end))) if end.records == records => {
                return Ok(Continuation::Complete { records });
            }
            (_, Parsed::Record(record)) => {
                let next = Key::stored(&record.key);
                ensure!(key.as_ref().is_none_or(|it| *it < next), "{}", place());
                key = Some(next);
                records += 1;
            }
            (_, Parsed::Mark(_) | Parsed::Empty) => bail!("{}", place()),
        }
        len += line.len() as u64;
    }
    Ok(key.map_or(Continuation::Begin, |key| Continuation::After { key, records, len }))
}

fn describe(it: &Begin) -> String {
    let whose = match &it.app_id {
        Some(app_id) => format!("the keys of {app_id}"),
        None => "all stored keys".to_owned(),
    };
    let prefix = match it.prefix.as_str() {
        "" => String::new(),
        prefix => format!(" that begin with {prefix:?}"),
    };
    format!("{whose}{prefix} in {} ({})", it.component, it.component_type)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn begin(component: &str) -> Begin {
        Begin {
            form: 1,
            component: component.to_owned(),
            component_type: "state.sqlite".to_owned(),
            app_id: Some("app".to_owned()),
            raw_keys: false,
            prefix: String::new(),
            after: None,
        }
    }

    fn of(text: &str) -> Result<Continuation> {
        let head = String::from_utf8(Mark::Begin(begin("a")).line()).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.replace("HEAD\n", &head).as_bytes()).unwrap();
        file.rewind().unwrap();
        continuation(&file, &begin("a"))
    }

    const A: &str = "{\"key\":\"a\",\"value\":1}\n";
    const B: &str = "{\"key\":\"b\",\"value\":2}\n";

    #[test]
    fn it_goes_on_after_the_last_line_that_is_whole() {
        assert_eq!(of("").unwrap(), Continuation::Begin);
        assert_eq!(of("{\"steadf").unwrap(), Continuation::Begin);
        assert_eq!(of("HEAD\n").unwrap(), Continuation::Begin);
        assert_eq!(of(&format!("HEAD\n{}", &A[..9])).unwrap(), Continuation::Begin);
        let Continuation::After { key, records, len } = of(&format!("HEAD\n{A}{B}{{")).unwrap()
        else {
            panic!()
        };
        assert_eq!((key.as_str(), records), ("b", 2));
        let head = Mark::Begin(begin("a")).line().len();
        assert_eq!(len, (head + A.len() + B.len()) as u64);
        let end = "{\"steadfast\":{\"end\":{\"records\":1}}}\n";
        assert_eq!(of(&format!("HEAD\n{A}{end}")).unwrap(), Continuation::Complete { records: 1 });
    }

    #[test]
    fn it_does_not_go_on_with_anything_else() {
        for (text, words) in [
            (A.to_owned(), "no export"),
            ("some text\n".to_owned(), "line 1 is damaged"),
            (format!("HEAD\n{B}{A}"), "line 3 is damaged"),
            (format!("HEAD\n{A}\n{B}"), "line 3 is damaged"),
            (format!("HEAD\n{A}HEAD\n"), "line 3 is damaged"),
        ] {
            let message = format!("{:#}", of(&text).unwrap_err());
            assert!(message.contains(words), "{text}: {message}");
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&Mark::Begin(begin("b")).line()).unwrap();
        file.rewind().unwrap();
        let message = continuation(&file, &begin("a")).unwrap_err().to_string();
        assert!(message.contains("the keys of app in b"), "{message}");
    }
}
