use clap::Parser;

use super::*;
use crate::cli::{Cli, Command};

fn state(arguments: &[&str]) -> Result<StateCommand, String> {
    let arguments = ["steadfast", "state"].iter().chain(arguments);
    match Cli::try_parse_from(arguments).map_err(|e| e.to_string())?.command {
        Command::State(args) => Ok(args.command),
        other => panic!("{other:?}"),
    }
}

fn set(arguments: &[&str]) -> Result<SetArgs, String> {
    match state(&[&["set"], arguments].concat())? {
        StateCommand::Set(args) => Ok(args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_value_is_text_or_comes_from_somewhere() {
    let value = |text: &str| set(&["k", text]).map(|it| it.value);
    assert_eq!(value("{\"a\": 1}"), Ok(Value::Text("{\"a\": 1}".to_owned())));
    assert_eq!(value("-5"), Ok(Value::Text("-5".to_owned())));
    assert_eq!(value(""), Ok(Value::Text(String::new())));
    assert_eq!(value("-"), Ok(Value::StandardInput));
    assert_eq!(value("@a/b"), Ok(Value::File("a/b".into())));
    assert!(value("@").is_err());
    assert!(set(&["k"]).is_err(), "a value is needed");
}

#[test]
fn a_time_to_live_is_whole_seconds() {
    let ttl = |text: &str| set(&["k", "v", "--ttl", text]).map(|it| it.ttl.unwrap().as_secs());
    assert_eq!(ttl("90"), Ok(90));
    assert_eq!(ttl("15m"), Ok(900));
    assert_eq!(ttl("1h 1s"), Ok(3601));
    for wrong in ["0", "0s", "1500ms", "soon", "-1"] {
        assert!(ttl(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn conditions_exclude_each_other() {
    assert_eq!(set(&["k", "v", "--etag", "7"]).unwrap().etag.unwrap().as_str(), "7");
    assert!(set(&["k", "v", "--create"]).unwrap().create);
    assert!(set(&["k", "v", "--create", "--etag", "7"]).is_err());
    assert!(set(&["k", "v", "--etag", ""]).is_err(), "an empty ETag would be no condition");
}

#[test]
fn a_place_is_a_name_and_perhaps_a_folder() {
    let place = |folder: Option<&str>, store: &str| {
        Ok(Place { folder: folder.map(PathBuf::from), store: store.to_owned() })
    };
    assert_eq!("a".parse(), place(None, "a"));
    assert_eq!("../x:a".parse(), place(Some("../x"), "a"));
    for wrong in ["", ":a", "x:"] {
        assert!(wrong.parse::<Place>().is_err(), "{wrong:?}");
    }
}

#[test]
fn an_import_overwrites_nothing_unless_told_to() {
    let StateCommand::Import(args) = state(&["import", "f"]).unwrap() else { panic!() };
    assert_eq!(args.if_exists, IfExists::Fail);
    assert_eq!(args.store.store, "statestore");
    assert!(state(&["import", "f", "--if-exists", "merge"]).is_err());
    assert!(state(&["import"]).is_err(), "a file is needed");
}

#[test]
fn an_export_goes_on_only_with_a_file() {
    assert!(state(&["export", "--continue"]).is_err());
    assert!(state(&["export", "f", "--continue"]).is_ok());
    assert!(state(&["export", "f", "--continue", "--after", "k"]).is_err());
    let StateCommand::Copy(args) =
        state(&["copy", "--from-store", "a", "--to-store", "d:b", "--verify"]).unwrap()
    else {
        panic!()
    };
    assert_eq!(args.to.folder, Some("d".into()));
    assert!(args.verify && !args.form.raw_keys);
    assert!(state(&["copy", "--from", "a"]).is_err());
}
