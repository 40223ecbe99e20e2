use super::*;

fn record() -> Record {
    let condition = Condition::Matches { etag: "7".to_owned(), value: Some(3) };
    let change = Change { key: 1, condition, effect: Effect::Put { value: 4, ttl_ms: Some(2000) } };
    Record {
        group: 2,
        process: 5,
        endpoint: 1,
        called: 10,
        returned: 20,
        call: Call::Transact(vec![
            change,
            Change { key: 0, condition: Condition::Any, effect: Effect::Delete },
        ]),
        reply: Reply::Done { etags: vec![Some("8".to_owned()), None] },
    }
}

fn text(history: &History) -> String {
    let mut text = Vec::new();
    history.write(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn what_was_written_is_read_back() {
    let read = Record {
        call: Call::Get { key: 0, eventual: true },
        reply: Reply::Found { value: 9, etag: None },
        ..record()
    };
    let records = vec![record(), read];
    let history = History { origin: Origin::new("a store", 42), records };
    assert_eq!(History::read(&text(&history)).unwrap(), history);
}

#[test]
fn an_error_names_the_line() {
    let history = History { origin: Origin::new("a store", 42), records: vec![record()] };
    let good = text(&history);
    let e = |text: &str| History::read(text).unwrap_err().to_string();
    assert_eq!(e(""), "line 1 of the history: the history is empty");
    assert!(e(&format!("{good}{{")).starts_with("line 3 of the history: "));
    assert!(e(&good.replace("\"format\":1", "\"format\":9")).contains("format 9 is not known"));
    assert!(e(&good.replace("\"key\":1", "\"key\":4")).contains("at most 4 keys"));
    assert!(e(&good.replace("\"called\":10", "\"called\":30")).contains("before it was called"));
    assert!(e(&good.replace(",null]", "]")).contains("does not fit"));
    assert!(e(&good.replace("\"group\"", "\"grop\"")).contains("unknown field"));
}
