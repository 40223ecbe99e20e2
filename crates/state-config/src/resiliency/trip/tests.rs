use super::*;

const COUNTS: Counts = Counts {
    requests: 10,
    total_successes: 4,
    total_failures: 6,
    consecutive_successes: 0,
    consecutive_failures: 5,
};

fn holds(text: &str) -> bool {
    Trip::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).holds(&COUNTS)
}

#[test]
fn conditions_mean_what_they_mean_in_cel() {
    for (text, expected) in [
        ("consecutiveFailures >= 5", true),
        (" consecutiveFailures>5 ", false),
        ("totalFailures * 2 > requests && requests >= 10", true),
        ("false || true && false", false),
        ("!(requests == 10) || totalSuccesses != 4", false),
        ("double(totalFailures) / double(requests) > 0.5", true),
        ("requests % 3 == 1", true),
        ("7 - 2 - 1 == 4", true),
        ("-7 / 2 == -3", true),
        ("int(3.9) == 3", true),
        ("requests > 100 ? false : totalFailures > 5", true),
        ("--1 == 1 && !!true", true),
        ("consecutiveSuccesses > 0", false),
        ("true == (requests > 1)", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_computed_does_not_hold_unless_the_other_side_decides() {
    for (text, expected) in [
        ("requests / consecutiveSuccesses > 1", false),
        ("!(requests / 0 > 1)", false),
        ("9223372036854775807 + requests > 0", false),
        ("requests / 0 > 1 || true", true),
        ("true || requests / 0 > 1", true),
        ("requests % 0 == 0 && false", false),
        ("int(1.0 / 0.0) > 1", false),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn a_bad_condition_says_what_is_wrong() {
    for (text, message) in [
        ("", "it ends where a counter or a number is expected"),
        ("consecutiveFailures", "it yields a whole number, not true or false"),
        ("consecutiveFailure > 5", "did you mean `consecutiveFailures`?"),
        ("foo > 5", "there is no counter `foo`"),
        ("consecutiveFailures >>= 5", "`>=` is where a counter or a number is expected"),
        ("consecutiveFailures > 5 5", "`5` is not expected"),
        ("consecutiveFailures > 5u", "`5u` is not a number"),
        ("consecutiveFailures > 0.5", "write `double(...)` around the whole number"),
        ("requests && true", "`&&` has a whole number before it"),
        ("(requests > 1", "a `)` is missing"),
        ("requests = 1", "`=` means nothing here"),
        ("!requests", "`!` needs true or false after it"),
        ("true ? 1", "`:` is missing"),
        ("1 < 2 < 3", "`<` has true or false before it"),
        ("1.0 % 2.0 == 0.0", "`%` cannot be between two of a number with a fraction"),
        ("99999999999999999999 > requests", "is not a number"),
        ("1.2.3 > 1.0", "`1.2.3` is not a number"),
    ] {
        let e = Trip::parse(text).unwrap_err();
        assert!(e.contains(message), "{text}: {e}");
    }
    let deep = format!("{}true{}", "(".repeat(1000), ")".repeat(1000));
    assert_eq!(Trip::parse(&deep).unwrap_err(), "it is nested too deeply");
    let signs = format!("{}true", "!".repeat(1000));
    assert_eq!(Trip::parse(&signs).unwrap_err(), "it is nested too deeply");
    assert!(Trip::parse(&" ".repeat(5000)).unwrap_err().contains("longer"));
}
