use serde_json::{Value, json};

use super::*;
use crate::report::samples;

fn read(findings: &Findings) -> Value {
    serde_json::from_str(&render(findings)).unwrap()
}

#[test]
fn a_seed_survives_readers_with_53_bits() {
    let findings = Findings { seed: u64::MAX, ..samples::empty() };
    assert_eq!(read(&findings)["seed"], json!("18446744073709551615"));
}

#[test]
fn the_form_is_the_first_thing_to_read() {
    assert!(render(&samples::empty()).starts_with("{\n  \"format\": 1,\n  \"store\": \"orders\""));
}

#[test]
fn every_field_is_where_it_is_promised() {
    let report = read(&samples::everything());
    let fields = |it: &Value| it.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        fields(&report),
        "audit endpoints faults format histories interrupted judgements limits operations prefix \
         seconds seed store unknown"
    );
    assert_eq!(fields(&report["audit"][0]), "text warning");
    let judgement = &report["judgements"][0];
    assert_eq!(
        fields(judgement),
        "broken contended detail failed_cases guarantee operations standing title violations"
    );
    assert_eq!(judgement["guarantee"], "first-write");
    assert_eq!(judgement["standing"], "violated");
    assert_eq!(fields(&judgement["failed_cases"][0]), "message name");
    let violation = &judgement["violations"][0];
    assert_eq!(fields(violation), "group invariant promise records summary unexplaining");
    assert_eq!(violation["invariant"], "I1");
    assert_eq!(
        violation["records"][0],
        json!({
            "group": 7, "process": 4, "endpoint": 0, "called": 9_000_000, "returned": 12_100_000,
            "call": { "write": {
                "key": 0,
                "condition": { "matches": { "etag": "118", "value": 40 } },
                "effect": { "put": { "value": 41 } },
            } },
            "reply": { "done": { "etags": [null] } },
        })
    );
    let standings = report["judgements"].as_array().unwrap().iter().map(|it| &it["standing"]);
    let standings: Vec<_> = standings.skip(4).collect();
    assert_eq!(standings, ["holds", "holds", "not_tested", "not_offered"]);
}
