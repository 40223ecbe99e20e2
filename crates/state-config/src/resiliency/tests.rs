use std::{fs, time::Duration};

use super::*;
use crate::{Context, Resources, load};

fn load_files(files: &[(&str, &str)]) -> (Resources, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let context = Context {
        app_id: "shop".to_owned(),
        namespace: Some("prod".to_owned()),
        ..Context::default()
    };
    let resources = load(&[directory.path().to_owned()], &context);
    let place = format!("{}/", directory.path().display());
    let problems = resources.problems.iter().map(|it| format!("problem: {it}"));
    let warnings = resources.warnings.iter().map(|it| format!("warning: {it}"));
    let said = problems.chain(warnings).map(|it| it.replace(&place, "")).collect();
    (resources, said)
}

/// A resource with this `spec`, whose first line is line 5.
fn resource(spec: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata: {{name: r}}\nspec:\n{spec}\n"
    )
}

const STORE: (&str, &str) = (
    "a.yaml",
    "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: statestore}\nspec: {type: \
     state.in-memory}\n",
);

/// The resource of Dapr's quick start for resiliency.
const QUICK_START: &str = "  policies:
    retries:
      retryForever:
        policy: constant
        duration: 5s
        maxRetries: -1
    circuitBreakers:
      simpleCB:
        maxRequests: 1
        timeout: 5s
        trip: consecutiveFailures >= 5
  targets:
    components:
      statestore:
        outbound:
          retry: retryForever
          circuitBreaker: simpleCB";

fn check(spec: &str) -> Vec<String> {
    load_files(&[STORE, ("r.yaml", &resource(spec))]).1
}

#[test]
fn the_quick_start_is_understood() {
    let (resources, said) = load_files(&[STORE, ("r.yaml", &resource(QUICK_START))]);
    assert_eq!(said, [""; 0]);
    let policy = resources.resiliency.policy_for("statestore").unwrap();
    let five = Duration::from_secs(5);
    let trip = Trip::parse("consecutiveFailures >= 5").unwrap();
    assert_eq!(
        policy,
        Policy {
            resource: "r".to_owned(),
            timeout: None,
            retry: Some(Retry { pauses: Pauses::Constant(five), max: None }),
            breaker: Some(Breaker {
                name: "simpleCB".to_owned(),
                max_requests: 1,
                interval: None,
                timeout: five,
                trip,
            }),
        }
    );
    assert_eq!(resources.resiliency.policy_for("other"), None);
    assert_eq!(resources.resiliency.resources(), ["r"]);
}

#[test]
fn what_is_left_out_has_the_defaults_of_dapr() {
    let (resources, said) = load_files(&[(
        "r.yaml",
        &resource(
            "  policies:
    timeouts: {DefaultTimeoutPolicy: 1500}
    retries: {DefaultComponentRetryPolicy: {policy: exponential}}
    circuitBreakers: {DefaultStatestoreComponentOutboundCircuitBreakerPolicy: {}}",
        ),
    )]);
    assert_eq!(said, [""; 0]);
    let policy = resources.resiliency.policy_for("any").unwrap();
    assert_eq!(policy.timeout, Some(Duration::from_millis(1500)));
    let minute = Duration::from_secs(60);
    let pauses = Pauses::Exponential { max: minute };
    assert_eq!(policy.retry, Some(Retry { pauses, max: None }));
    let breaker = policy.breaker.unwrap();
    assert_eq!((breaker.max_requests, breaker.interval, breaker.timeout), (1, None, minute));
    assert_eq!(breaker.trip, Trip::default());
}

#[test]
fn defaults_are_for_components_without_a_target_and_the_most_specific_counts() {
    let (resources, _) = load_files(&[(
        "r.yaml",
        &resource(
            "  policies:
    timeouts:
      DefaultTimeoutPolicy: 4s
      DefaultComponentTimeoutPolicy: 3s
      DefaultComponentOutboundTimeoutPolicy: 2s
      DefaultStatestoreComponentOutboundTimeoutPolicy: 1s
    retries: {none: {maxRetries: 0}}
  targets: {components: {named: {outbound: {retry: none}}, bare: {}}}",
        ),
    )]);
    let policy = resources.resiliency.policy_for("any").unwrap();
    assert_eq!(policy.timeout, Some(Duration::from_secs(1)));
    assert_eq!(resources.resiliency.policy_for("named"), None);
    assert_eq!(resources.resiliency.policy_for("bare"), None);
}

#[test]
fn every_document_counts_and_a_later_one_wins() {
    let first = resource(
        "  policies: {timeouts: {t: 1s}}\n  targets: {components: {statestore: {outbound: {timeout: t}}}}",
    );
    let second = resource("  policies: {timeouts: {t: 2s}}").replace("name: r", "name: s");
    let (resources, said) = load_files(&[STORE, ("r.yaml", &format!("{first}---\n{second}"))]);
    assert_eq!(said, [""; 0]);
    let policy = resources.resiliency.policy_for("statestore").unwrap();
    assert_eq!(policy.timeout, Some(Duration::from_secs(2)));
    assert_eq!(resources.resiliency.resources(), ["r", "s"]);
}

#[test]
fn resources_of_other_applications_and_namespaces_are_passed_over() {
    let spec = "  policies: {timeouts: {DefaultTimeoutPolicy: 1s}}";
    let scoped = format!("{}scopes: [other]\n", resource(spec));
    let elsewhere = resource(spec).replace("{name: r}", "{name: r, namespace: test}");
    let (resources, said) = load_files(&[("a.yaml", &scoped), ("b.yaml", &elsewhere)]);
    assert_eq!(said, [""; 0]);
    assert_eq!(resources.skipped.len(), 2);
    assert_eq!(resources.resiliency, Resiliency::default());
    let ours = format!("{}scopes: [other, shop]\n", resource(spec));
    assert!(load_files(&[("a.yaml", &ours)]).0.resiliency.policy_for("any").is_some());
}

#[test]
fn every_mistake_is_a_problem_with_its_place() {
    let target =
        |it: &str| format!("  targets: {{components: {{statestore: {{outbound: {{{it}}}}}}}}}");
    for (spec, said) in [
        (
            format!("  policies: {{retries: {{often: {{}}}}}}\n{}", target("retry: oftn")),
            "r.yaml:6:57: there is no retry policy named `oftn`; did you mean `often`?",
        ),
        (
            target("circuitBreaker: cb"),
            "r.yaml:5:66: there is no circuit breaker policy named `cb`; define it below",
        ),
        (target("timeout: [x]"), "should be the name of a policy"),
        (
            target("retries: x"),
            "`outbound` of the target `statestore` has no field `retries`; write",
        ),
        ("  policies: {timeouts: {t: soon}}".to_owned(), "r.yaml:5:28: the timeout `t` is not a"),
        ("  policies: {timeouts: {t: -1s}}".to_owned(), "the timeout `t` is not a duration"),
        ("  policies: {timeouts: {t: 9000h}}".to_owned(), "a year at most"),
        ("  policies: {timeouts: [1s]}".to_owned(), "`timeouts` should be a mapping, not a list"),
        (
            "  policies: {retries: {t: {duration: 5}}, timeout: {}}".to_owned(),
            "`spec.policies` has no field `timeout`; did you mean `timeouts`?",
        ),
        ("  policies: {retries: {t: {policy: linear}}}".to_owned(), "write `constant` or"),
        ("  policies: {retries: {t: {maxRetries: many}}}".to_owned(), "not a whole number"),
        ("  policies: {retries: {t: {maxRetrys: 3}}}".to_owned(), "did you mean `maxRetries`?"),
        (
            "  policies: {circuitBreakers: {c: {trip: consecutiveFailure > 5}}}".to_owned(),
            "r.yaml:5:42: `trip` of the circuit breaker `c` is not a condition that can be used: \
             there is no counter `consecutiveFailure`; did you mean `consecutiveFailures`?",
        ),
        ("  policies: {circuitBreakers: {c: {maxRequests: -1}}}".to_owned(), "from 1"),
        ("  policies: {timeouts: {t: 1s, t: 2s}}".to_owned(), "for the second time"),
    ] {
        let all = check(&spec);
        assert!(all.iter().any(|it| it.starts_with("problem: ") && it.contains(said)), "{all:?}");
    }
}

#[test]
fn a_resource_that_is_almost_one_is_a_problem() {
    for (from, to, said) in [
        ("kind: Resiliency", "kind: Resilency", "there is no kind `Resilency`"),
        ("v1alpha1", "v1", "cannot have this `apiVersion`"),
        ("{name: r}", "{}", "`metadata.name` is missing"),
        ("spec:", "specs:", "the document has no field `specs`"),
    ] {
        let text = resource(QUICK_START).replace(from, to);
        let (_, all) = load_files(&[STORE, ("r.yaml", &text)]);
        assert!(all.iter().any(|it| it.starts_with("problem: ") && it.contains(said)), "{all:?}");
    }
}

#[test]
fn what_has_no_effect_is_a_warning() {
    for (spec, said) in [
        ("  targets: {apps: {a: {}}}", "`spec.targets.apps` has no effect"),
        ("  targets: {components: {statestore: {inbound: {}}}}", "`inbound` of the target"),
        ("  targets: {components: {statestor: {}}}", "did you mean `statestore`?"),
        ("  targets: {components: {pubsub: {}}}", "no component file defines `pubsub`"),
        ("  policies: {retries: {r: {matching: {httpStatusCodes: \"500\"}}}}", "`matching` of"),
        ("  policies: {retries: {r: {colour: red}}}", "has no field `colour`; it is ignored"),
    ] {
        let all = check(spec);
        assert!(all.iter().any(|it| it.starts_with("warning: ") && it.contains(said)), "{all:?}");
        assert_eq!(all.len(), 1, "{all:?}");
    }
}
