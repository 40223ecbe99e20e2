//! The text of a component file.

use state_config::{Problem, Resources};

use crate::components::{context, load_file, shown};

/// What a value has to begin with to count as a secret here. An input that has it more than once
/// may have it in a name, too, which may be shown.
const SECRET: &str = "hunter2";

/// Whatever is in a file, it is understood, or each mistake has a place in it and an explanation;
/// no value is shown.
pub fn run(data: &[u8]) {
    if reaches_out(data) {
        return;
    }
    let resources = load_file(data, &context());
    // In YAML, a carriage return ends a line, too.
    let lines = data.split(|it| matches!(it, b'\n' | b'\r')).count() as u64;
    for it in resources.problems.iter().chain(&resources.warnings) {
        check_problem(it, lines);
    }
    for component in &resources.components {
        assert!(!component.name.is_empty() && !component.name.contains(['/', '%']));
        assert!(component.component_type.len() > "state.".len());
        assert!(!component.init_timeout.is_zero());
        assert!((1..=lines).contains(&component.source.line));
        for name in component.properties.names() {
            assert!(component.properties.get(name).is_some(), "{name:?} cannot be found");
        }
    }
    check_secrets(data, &resources);
}

/// Whether the file may name another one: a device may have no end.
fn reaches_out(data: &[u8]) -> bool {
    data.windows(9).any(|it| it.eq_ignore_ascii_case(b"local.fil"))
}

fn check_problem(problem: &Problem, lines: u64) {
    let Problem { line, column, message, hint, .. } = problem;
    assert!(!message.is_empty() && hint.as_ref().is_none_or(|it| !it.is_empty()), "{problem:?}");
    let texts = [Some(message), hint.as_ref()];
    assert!(!texts.into_iter().flatten().any(|it| it.contains(char::is_control)), "{problem:?}");
    // What is no text at all has nothing to point at; the message says as much as can be said.
    let Some(line) = line else {
        const NO_TEXT: [&str; 3] = [
            "the file is not UTF-8 text in line ",
            "the file has a NUL byte in line ",
            "the file is in UTF-16",
        ];
        assert!(NO_TEXT.iter().any(|it| message.starts_with(it)), "{problem:?}");
        return;
    };
    // A parser may be at the end of the last line, or before the one that would come next.
    assert!((1..=lines + 1).contains(line), "{problem:?}");
    assert!(column.is_none_or(|it| it >= 1), "{problem:?}");
}

fn check_secrets(data: &[u8], resources: &Resources) {
    if data.windows(SECRET.len()).filter(|it| *it == SECRET.as_bytes()).count() != 1 {
        return;
    }
    let components = resources.components.iter().map(|it| &it.properties);
    let mut values = components.flat_map(|it| it.names().filter_map(|name| it.get(name)));
    if values.any(|it| it.contains(SECRET)) {
        assert!(!shown(resources).contains(SECRET), "{}", shown(resources));
    }
}
