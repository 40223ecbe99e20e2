use super::*;

fn parse(properties: &[(&str, &str)]) -> Result<Settings, String> {
    let properties = properties.iter().copied().collect();
    Settings::parse(&properties).map_err(|e| e.to_string())
}

fn target(connection_string: &str) -> Target {
    parse(&[("connectionString", connection_string)]).unwrap().target
}

#[test]
fn only_the_connection_string_is_required() {
    let settings = parse(&[("url", "/data/state.db")]).unwrap();
    assert_eq!(settings.target.kind, Kind::WalFile);
    assert_eq!(settings.target.name, "/data/state.db");
    assert_eq!(settings.timeout, Duration::from_secs(20));
    assert_eq!(settings.busy_timeout, Duration::from_secs(2));
    assert_eq!(settings.state_table.to_string(), "state");
    assert_eq!(settings.metadata_table.to_string(), "metadata");
    assert!(parse(&[]).unwrap_err().starts_with("missing connection string"));
    assert!(parse(&[("connectionString", " ")]).is_err());
}

#[test]
fn a_uri_keeps_what_sqlite_understands() {
    let it = target("file:data/a%20b.db?_txlock=immediate&cache=shared&_pragma=cache_size(-4000)");
    assert_eq!(it.name, "file:data/a%20b.db");
    assert_eq!(it.pragmas, [("cache_size".to_owned(), "-4000".to_owned())]);
    assert_eq!(target("file:/a.db?mode=ro").kind, Kind::ReadOnlyFile);
    assert_eq!(target("file:/a.db?immutable=1").name, "file:/a.db?immutable=1");
    for memory in [":memory:", "file::memory:?cache=shared", "file:x?mode=memory"] {
        assert_eq!(target(memory).kind, Kind::Memory, "{memory}");
    }
    assert_ne!(target(":memory:").name, target(":memory:").name, "each has a database of its own");
    let journal = parse(&[("connectionString", "a.db"), ("disableWAL", "true")]).unwrap();
    assert_eq!(journal.target.kind, Kind::JournalFile);
}

#[test]
fn nonsense_is_refused() {
    let with = |name, value| parse(&[("connectionString", "a.db"), (name, value)]).err();
    for (name, value) in [
        ("timeout", "0.5s"),
        ("timeout", "soon"),
        ("busyTimeout", "-1"),
        ("tableName", "state; DROP TABLE state"),
        ("metadataTableName", "1"),
    ] {
        assert!(with(name, value).is_some(), "{name}: {value}");
    }
    for never in ["0", "-5s"] {
        assert_eq!(with("cleanupInterval", never), None, "{never} means never");
    }
    for pragma in ["journal_mode(DELETE)", "busy_timeout=5", "x", "a(1;DROP)"] {
        let text = format!("file:a.db?_pragma={pragma}");
        assert!(parse(&[("connectionString", &text)]).is_err(), "{pragma}");
    }
}
