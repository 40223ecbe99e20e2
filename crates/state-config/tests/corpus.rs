//! Files as people write them, and what they are told.
//!
//! Each `corpus/NAME.yaml` is loaded alone, and `corpus/NAME.expected` has a line for everything
//! that is found in it. `made` has the files that cannot be written as text. To see what becomes of
//! a new file: `STEADFAST_GENERATE=1 cargo test -p state-config --test corpus`, then read it.

#![allow(clippy::unwrap_used, reason = "a test panics when something is not as it should be")]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use state_config::{Context, Resources, load};

/// What every secret begins with, in the files and in the environment.
const SECRET: &str = "hunter";

#[test]
fn each_file_is_answered_as_expected_and_no_secret_is_shown() {
    let mut files = texts();
    files.extend(made());
    assert!(files.len() >= 60, "{} files", files.len());
    let mut wrong = Vec::new();
    for (name, bytes) in files {
        let found = check(&name, &bytes);
        let path = corpus().join(&name).with_extension("expected");
        if env::var_os("STEADFAST_GENERATE").is_some() {
            fs::write(&path, &found).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{name}: found\n{found}\ninstead of\n{expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Everything found in a file, a line each; makes sure that nothing else says a secret.
fn check(name: &str, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), bytes).unwrap();
    let resources = load(&[folder.path().to_owned()], &context());
    let place = format!("{}/", folder.path().display());
    let said = said(&resources).replace(&place, "");
    let shown = format!("{said}{resources:?}");
    assert!(!shown.contains(SECRET), "{name} shows a secret:\n{shown}");
    assert!(!said.chars().any(|it| it.is_control() && it != '\n'), "{name}:\n{said:?}");
    said + &loaded(&resources)
}

fn said(resources: &Resources) -> String {
    let mut lines = Vec::new();
    lines.extend(resources.warnings.iter().map(|it| format!("warning: {it}\n")));
    lines.extend(resources.problems.iter().map(|it| format!("problem: {it}\n")));
    lines.extend(resources.rejected.iter().map(|it| {
        format!("rejected: {} ({}/{}): {}\n", it.name, it.component_type, it.version, it.reason)
    }));
    lines.extend(
        resources
            .skipped
            .iter()
            .map(|it| format!("skipped: {} ({}): {}\n", it.name, it.component_type, it.reason)),
    );
    lines.concat()
}

fn loaded(resources: &Resources) -> String {
    let mut text = String::new();
    for it in &resources.components {
        text += &format!("loaded: {} ({}/{})\n", it.name, it.component_type, it.version);
        for name in it.properties.names() {
            text += &format!("  {name} = {:?}\n", it.properties.get(name).unwrap());
        }
    }
    text
}

fn context() -> Context {
    let environment = [
        ("REDIS_PASSWORD", "hunter-environment"),
        ("DATABASE_URL", "postgres://app:hunter@db/app"),
        ("DAPR_API_TOKEN", "hunter-token"),
        ("POD_NAME", "shop-0"),
    ];
    Context {
        app_id: "shop".to_owned(),
        namespace: Some("production".to_owned()),
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        denied_types: vec!["state.cockroachdb/v1".to_owned()],
        ..Context::default()
    }
}

fn texts() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(corpus()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "yaml") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.push((name, fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

/// Files of other line ends and encodings, and those that are too large to keep.
fn made() -> Vec<(String, Vec<u8>)> {
    const FILE_LEN_MAX: usize = 1024 * 1024;
    let text = fs::read_to_string(corpus().join("docs-redis.yaml")).unwrap();
    let bytes = |text: &str| text.as_bytes().to_vec();
    let filled = |len: usize| bytes(&format!("{text}#{}", "x".repeat(len - text.len() - 1)));
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let latin1 = [text.as_bytes(), b"# \xe9\n"].concat();
    let short = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: NAME}\n\
                 spec: {type: state.in-memory}\n---\n";
    let many: String =
        (0..30).map(|i| short.replace("NAME", &format!("store-{}", i % 29))).collect();
    let files = [
        ("made-windows", bytes(&text.replace('\n', "\r\n"))),
        ("made-old-mac", bytes(&text.replace('\n', "\r"))),
        ("made-byte-order-mark", bytes(&format!("\u{feff}{text}"))),
        ("made-utf-16", [&b"\xff\xfe"[..], &utf16].concat()),
        ("made-latin-1", latin1),
        ("made-nul", bytes(&text.replace("hunter-plain", "hunter\0plain"))),
        ("made-nul-at-the-end", bytes(&format!("{text}\0\0\0"))),
        ("made-largest", filled(FILE_LEN_MAX)),
        ("made-too-large", filled(FILE_LEN_MAX + 1)),
        ("made-one-long-line", bytes(&format!("# {}\n{text}", "x".repeat(70_000)))),
        ("made-many-documents", bytes(&many)),
        ("made-no-last-line-end", bytes(text.trim_end())),
        ("made-empty", Vec::new()),
        ("made-binary", (0..=255).cycle().take(4096).collect()),
    ];
    files.map(|(name, bytes)| (format!("{name}.yaml"), bytes)).into()
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}
