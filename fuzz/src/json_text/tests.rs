use super::{elements, members, text};

#[test]
fn an_array_is_taken_apart() {
    let json = " [ 1 ,\"a,]\\\"\" ,[2,[3]], {\"a\":[]} ,true]\n";
    assert_eq!(elements(json), ["1", "\"a,]\\\"\"", "[2,[3]]", "{\"a\":[]}", "true"]);
    assert!(elements("[ ]").is_empty());
    assert!(elements("null").is_empty());
}

#[test]
fn an_object_is_taken_apart() {
    let found = members(r#"{"a": {"b" : 1.0} , "\u0061":"x:}", "c":null}"#);
    let expected = [("a", r#"{"b" : 1.0}"#), ("a", r#""x:}""#), ("c", "null")];
    assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)));
    assert!(members("{}").is_empty());
}

#[test]
fn a_text_may_be_a_number() {
    assert_eq!(text(r#""a\n""#), "a\n");
    assert_eq!(text("1.50"), "1.50");
    assert_eq!(text("null"), "");
}
