use std::time::Duration;

use state_layers::{Operation, Tally};

use state_layers::{
    BreakerState as Is, PolicyKind,
    ResiliencyEvent::{Activated, BreakerState, Executed},
    ResiliencyObserver,
};

use super::*;

#[test]
fn labels_are_in_alphabetical_order_and_all_there() {
    let metrics = Metrics::new("cart", "", &MetricsOptions::default());
    let tally = Tally { ok: 3, conflict: 1, ..Tally::default() };
    metrics.component("s").operation(Operation::Set, tally, Duration::from_micros(1900));
    let text = metrics.text();
    for expected in [
        r#"dapr_component_state_count{app_id="cart",component="s",namespace="",operation="set",success="false"} 1"#,
        r#"dapr_component_state_latencies_bucket{app_id="cart",component="s",namespace="",operation="set",success="false",le="1"} 1"#,
        r#"dapr_component_state_latencies_sum{app_id="cart",component="s",namespace="",operation="set",success="false"} 1"#,
        r#"steadfast_state_outcomes_total{app_id="cart",component="s",operation="set",outcome="ok"} 3"#,
        r#"steadfast_state_outcomes_total{app_id="cart",component="s",operation="set",outcome="conflict"} 1"#,
        r#"steadfast_state_operation_seconds_bucket{app_id="cart",component="s",operation="set",le="0.001"} 0"#,
        r#"steadfast_state_operation_seconds_bucket{app_id="cart",component="s",operation="set",le="0.0025"} 1"#,
    ] {
        assert!(text.lines().any(|it| it == expected), "{expected} is not in\n{text}");
    }
}

#[test]
fn buckets_can_be_chosen() {
    let options = MetricsOptions { latency_buckets: vec![1., 5., 25.], ..Default::default() };
    let metrics = Metrics::new("cart", "", &options);
    let tally = Tally { ok: 1, ..Tally::default() };
    metrics.component("s").operation(Operation::Get, tally, Duration::from_millis(30));
    let text = metrics.text();
    let of = |it: &&str| {
        it.starts_with("dapr_component_state_latencies_bucket")
            && it.contains(r#"operation="get",success="true""#)
    };
    assert_eq!(text.lines().filter(of).count(), 4, "three and infinity:\n{text}");
}

#[test]
fn a_circuit_breaker_is_in_one_state() {
    let metrics = Metrics::new("cart", "shop", &MetricsOptions::default());
    metrics.resiliency().loaded("policies");
    let target = metrics.resiliency().target("policies", "s");
    let tell = |event| target.observe("", "", event);
    tell(Executed(PolicyKind::Retry));
    tell(Activated(PolicyKind::Timeout));
    tell(BreakerState(Is::Closed));
    tell(BreakerState(Is::Open));
    tell(BreakerState(Is::Open));
    let text = metrics.text();
    let labels = |policy: &str, status: &str| {
        format!(
            r#"{{app_id="cart",flow_direction="outbound",name="policies",namespace="shop",policy="{policy}",status="{status}",target="Statestore_s"}}"#
        )
    };
    for expected in [
        r#"dapr_resiliency_loaded{app_id="cart",name="policies",namespace="shop"} 1"#.to_owned(),
        format!("dapr_resiliency_count{} 1", labels("retry", "")),
        format!("dapr_resiliency_activations_total{} 1", labels("timeout", "")),
        format!("dapr_resiliency_activations_total{} 1", labels("circuitbreaker", "open")),
        format!("dapr_resiliency_cb_state{} 1", labels("circuitbreaker", "open")),
        format!("dapr_resiliency_cb_state{} 0", labels("circuitbreaker", "closed")),
    ] {
        assert!(text.lines().any(|it| it == expected), "{expected} is not in\n{text}");
    }
}
