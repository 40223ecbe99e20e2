//! One value of a component file, in one line: it may be a password, whatever it looks like.

use std::collections::HashMap;

use serde::{Deserialize, de::DeserializeOwned};
use state_config::{Component, GoDuration};

use crate::components::{context, load_file, shown};

/// The password.
const SECRET: &str = "hunter2";

/// No password is shown, however wrongly it is written, and whatever it is wrongly taken for.
///
/// The first byte of the input says where in the rest the password stands.
pub fn run(data: &[u8]) {
    let Some((place, line)) = data.split_first() else { return };
    let Ok(line) = std::str::from_utf8(line) else { return };
    if line.contains(is_line_break) {
        return;
    }
    let mut at = usize::from(*place).min(line.len());
    while !line.is_char_boundary(at) {
        at -= 1;
    }
    let (before, after) = line.split_at(at);
    let file = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: statestore\nspec:\n  \
         type: state.sqlite\n  metadata:\n  - name: password\n    value: {before}{SECRET}{after}\n"
    );
    let resources = load_file(file.as_bytes(), &context());
    // A password between braces is a name in a mapping, and names that come twice are shown.
    let names_twice = shown(&resources).contains("is here for the second time");
    assert!(names_twice || !shown(&resources).contains(SECRET), "{}", shown(&resources));
    for it in &resources.components {
        check_as::<bool>(it);
        check_as::<u16>(it);
        check_as::<i64>(it);
        check_as::<f64>(it);
        check_as::<char>(it);
        check_as::<String>(it);
        check_as::<Option<u8>>(it);
        check_as::<Vec<u32>>(it);
        check_as::<GoDuration>(it);
        check_as::<Level>(it);
        check_as::<HashMap<String, String>>(it);
        check_as::<()>(it);
    }
}

/// Reads the value as one of this type.
fn check_as<T: DeserializeOwned>(component: &Component) {
    #[derive(Deserialize)]
    struct Settings<T> {
        #[serde(rename = "password")]
        _password: T,
    }

    if let Err(problem) = component.settings::<Settings<T>>() {
        let shown = format!("{problem} {problem:?}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Off,
    Full,
}

/// Also what YAML 1.1 took for one.
fn is_line_break(it: char) -> bool {
    matches!(it, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}
