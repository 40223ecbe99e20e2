use super::*;

fn shortened<const N: usize>(etags: [&str; N]) -> [String; N] {
    let all = BTreeSet::from(etags);
    etags.map(|it| shorten(it, &all).unwrap_or_else(|| it.to_owned()))
}

#[test]
fn version_numbers_are_shown_in_full() {
    assert_eq!(shortened(["1", "181226033152"]), ["1", "181226033152"]);
}

#[test]
fn long_etags_are_shown_by_what_tells_them_apart() {
    assert_eq!(shortened(["7f3a91c2-55aa-4d0b", "b81f04d6-1c2e-4bb0"]), ["7f3a91c2…", "b81f04d6…"]);
    assert_eq!(shortened(["0000000000000017", "0000000000000018"]), ["…00000017", "…00000018"]);
    let alike = ["aaaaaaaaa1bbbbbbbbb", "aaaaaaaaa2bbbbbbbbb"];
    assert_eq!(shortened(alike), alike);
}

#[test]
fn endpoints_on_one_host_are_ports() {
    let names = |of: &[&str]| {
        let endpoints: Vec<String> = of.iter().map(|it| (*it).to_owned()).collect();
        let each = (0..of.len()).map(|it| endpoint(&endpoints, u16::try_from(it).unwrap()));
        (all_endpoints(&endpoints), each.collect::<Vec<_>>().join(" "))
    };
    let pair = |all: &str, each: &str| (all.to_owned(), each.to_owned());
    assert_eq!(names(&["http://a:1", "http://a:2/"]), pair("http://a:1, :2", ":1 :2"));
    assert_eq!(names(&["http://a:1", "http://b:1"]), pair("http://a:1, http://b:1", "a:1 b:1"));
    assert_eq!(names(&["3 sidecars of our own"]), pair("3 sidecars of our own", "#1"));
}

#[test]
fn what_would_move_a_cursor_is_written_as_an_escape() {
    assert_eq!(plain("a\u{1b}[31m\r\n\u{202e}é→"), "a\\u{1b}[31m\\r\\n\\u{202e}é→");
}

#[test]
fn digits_stand_in_groups_of_three() {
    let read = |it| grouped(it).replace('\u{a0}', " ");
    assert_eq!([0, 999, 1_000, 1_234_567].map(read), ["0", "999", "1 000", "1 234 567"]);
}

#[test]
fn confidence_follows_the_rule_of_three() {
    let says = |n| confidence(n).replace('\u{a0}', " ");
    assert_eq!(
        says(8_212),
        "a flaw that shows in 1 of 2 737 or more would have been seen with 95 % certainty"
    );
    assert_eq!(says(5), "too few operations to tell");
    for n in [6_u64, 30, 3_000, 1_000_000] {
        let one_in = (n / 3) as f64;
        let unseen = (1.0 - 1.0 / one_in).powf(n as f64);
        assert!(unseen <= 0.05, "{n}: {unseen}");
    }
}
