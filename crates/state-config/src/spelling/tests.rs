use super::{nearest, slips};

fn check(word: &str) -> Option<&'static str> {
    nearest(word, ["name", "namespace", "value", "secretKeyRef", "redisHost"])
}

#[test]
fn one_slip_is_forgiven() {
    assert_eq!(check("nmae"), Some("name"));
    assert_eq!(check("vale"), Some("value"));
    assert_eq!(check("values"), Some("value"));
    assert_eq!(check("secretkeyRfe"), Some("secretKeyRef"));
    assert_eq!(check("redis-host"), Some("redisHost"));
}

#[test]
fn another_word_is_another_word() {
    assert_eq!(check("labels"), None);
    assert_eq!(check("uid"), None);
    assert_eq!(check(""), None);
}

#[test]
fn swapped_neighbours_are_one_slip() {
    assert_eq!(slips("ab", "ba"), 1);
    assert_eq!(slips("", "abc"), 3);
    assert_eq!(slips("kitten", "sitting"), 3);
}
