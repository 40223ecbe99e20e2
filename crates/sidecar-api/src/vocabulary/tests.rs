use super::*;

fn options(concurrency: &'static str, consistency: &'static str) -> Options<'static> {
    Options { concurrency: Some(concurrency.into()), consistency: Some(consistency.into()) }
}

fn matches(etag: &str) -> Precondition {
    Precondition::Matches(ETag::new(etag).unwrap())
}

#[test]
fn etag_and_concurrency_become_one_precondition() {
    let check = |etag, concurrency| options(concurrency, "").precondition(etag).unwrap();
    assert_eq!(check("", ""), Precondition::Any);
    assert_eq!(check("", "last-write"), Precondition::Any);
    assert_eq!(check("", "first-write"), Precondition::Absent);
    assert_eq!(check("7", ""), matches("7"));
    assert_eq!(check("7", "last-write"), matches("7"));
    assert_eq!(check("7", "first-write"), matches("7"));
    assert!(options("First-Write", "").precondition("").is_err());
}

#[test]
fn the_first_source_that_says_something_wins() {
    let body = options("first-write", "");
    let query = options("last-write", "strong");
    let merged = body.or(&query);
    assert_eq!(merged.concurrency().unwrap(), Concurrency::FirstWrite);
    assert_eq!(merged.consistency().unwrap(), Consistency::Strong);
}

#[test]
fn a_time_to_live_is_a_whole_number_of_seconds() {
    let check = |text: &str| {
        take_ttl(&mut [(TTL.to_owned(), text.to_owned())].into()).map_err(|e| e.message)
    };
    assert_eq!(check("5"), Ok(Ttl::After(Duration::from_secs(5))));
    assert_eq!(check("2147483647"), Ok(Ttl::After(Duration::from_secs(2_147_483_647))));
    for never in ["0", "-1", "-5"] {
        assert_eq!(check(never), Ok(Ttl::Never), "{never:?}");
    }
    assert_eq!(check(""), Ok(Ttl::Unsaid));
    for wrong in ["2147483648", "1.5", "1s", "ten", " 5", "99999999999999999999"] {
        assert!(check(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn depth_is_counted_outside_of_strings() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(is_shallow(nested(JSON_DEPTH_MAX).as_bytes()));
    assert!(!is_shallow(nested(JSON_DEPTH_MAX + 1).as_bytes()));
    assert!(is_shallow(format!(r#"["{}", "\"{}"]"#, "[".repeat(99), "{".repeat(99)).as_bytes()));
}

#[test]
fn metadata_that_each_item_copies_is_small() {
    let check = |len: usize, value: &str| {
        check_shared(&(0..len).map(|i| (i.to_string(), value.to_owned())).collect())
    };
    assert!(check(SHARED_METADATA_LEN_MAX, "v").is_ok());
    assert!(check(SHARED_METADATA_LEN_MAX + 1, "").is_err());
    assert!(check(1, &"v".repeat(SHARED_METADATA_BYTES_MAX - 1)).is_ok());
    assert!(check(1, &"v".repeat(SHARED_METADATA_BYTES_MAX)).is_err());
}
