//! One Resiliency document, understood but for the names that its targets use.

use std::{collections::BTreeSet, time::Duration};

use super::{Breaker, Pauses, Retry, Target, Trip};
use crate::{
    Context,
    duration::GoDuration,
    manifest,
    manifest::{Reading, Skipped, field},
    node::{Content, Node},
    problem::{Place, Report},
    spelling::{did_you_mean, nearest},
};

const API_VERSION: &str = "dapr.io/v1alpha1";
const KIND: &str = "Resiliency";

/// Dapr's default pause between attempts. Source: dapr/kit retry `DefaultConfig`.
const PAUSE: Duration = Duration::from_secs(5);
/// Dapr's default of the longest pause. Source: dapr/kit retry `DefaultConfig`.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Dapr's default of how long a circuit breaker stays open. Source: sony/gobreaker `defaultTimeout`.
const OPEN: Duration = Duration::from_secs(60);

/// Every time that a document gives has to be shorter: a year, which nobody means.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const DOCUMENT: &[&str] = &["apiVersion", "kind", "metadata", "spec", "scopes"];
const SPEC: &[&str] = &["policies", "targets"];
const POLICIES: &[&str] = &["timeouts", "retries", "circuitBreakers"];
const RETRY: &[&str] = &["policy", "duration", "maxInterval", "maxRetries", "matching"];
const BREAKER: &[&str] = &["maxRequests", "interval", "timeout", "trip"];
const TARGETS: &[&str] = &["apps", "actors", "components"];
const COMPONENT: &[&str] = &["outbound", "inbound"];
const OUTBOUND: &[&str] = &["timeout", "retry", "circuitBreaker"];

/// A resource in scope.
pub(crate) struct Draft {
    pub(super) resource: String,
    pub(super) declared: Declared,
    pub(super) timeouts: Vec<(String, Option<Duration>)>,
    pub(super) retries: Vec<(String, Retry)>,
    pub(super) breakers: Vec<(String, Breaker)>,
    pub(super) targets: Vec<TargetDraft>,
}

/// The names of policies, also of those that are wrong: whoever uses these makes no second mistake.
#[derive(Default)]
pub(super) struct Declared {
    timeouts: BTreeSet<String>,
    retries: BTreeSet<String>,
    breakers: BTreeSet<String>,
}

/// What a target says, with places.
pub(super) struct TargetDraft {
    pub(super) component: String,
    place: Place,
    timeout: Option<(String, Place)>,
    retry: Option<(String, Place)>,
    breaker: Option<(String, Place)>,
}

/// Reads a document if it is a Resiliency resource; `None` if it is something else.
pub(crate) fn read(document: &Node, context: &Context, report: &mut Report) -> Option<Reading> {
    let kind = document.get("kind").and_then(Node::scalar)?;
    let api_version = document.get("apiVersion").and_then(Node::scalar);
    if kind != KIND {
        let is_ours = api_version.as_deref() == Some(API_VERSION);
        if !is_ours || nearest(&kind, [KIND]).is_none() {
            return None;
        }
        let place = document.get("kind").map_or(document.place, |it| it.place);
        report.problem(place, format!("there is no kind `{kind}`"), "write `kind: Resiliency`");
        return Some(Reading::Nothing);
    }
    if api_version.as_deref() != Some(API_VERSION) {
        let place = document.get("apiVersion").map_or(document.place, |it| it.place);
        let hint = format!("write `apiVersion: {API_VERSION}`");
        report.problem(place, "a Resiliency resource cannot have this `apiVersion`", &hint);
        return Some(Reading::Nothing);
    }
    let metadata = document.get("metadata");
    let name = metadata.and_then(|it| it.get("name")).and_then(Node::scalar);
    if let Some(reason) = manifest::scope_reason(document, context, report) {
        let name = name.unwrap_or_default();
        return Some(Reading::Skipped(Skipped { name, component_type: KIND.to_owned(), reason }));
    }
    field::check_duplicates(document, true, report);
    check_names(document, "the document", DOCUMENT, report);
    let name = name.filter(|it| !it.is_empty());
    if name.is_none() {
        let place = metadata.map_or(document.place, |it| it.place);
        let hint = "write `metadata: {name: resiliency}`, with a name of your choice";
        report.problem(place, "`metadata.name` is missing", hint);
    }
    let mut draft = Draft {
        resource: name.unwrap_or_default(),
        declared: Declared::default(),
        timeouts: Vec::new(),
        retries: Vec::new(),
        breakers: Vec::new(),
        targets: Vec::new(),
    };
    match document.get("spec") {
        Some(spec) => draft.read_spec(spec, report),
        None => report.problem(
            document.place,
            "`spec` is missing",
            "write `spec:` and, indented below it, `policies` and `targets`",
        ),
    }
    Some(Reading::Resiliency(draft))
}

impl Draft {
    fn read_spec(&mut self, spec: &Node, report: &mut Report) {
        check_names(spec, "`spec`", SPEC, report);
        if let Some(policies) = mapping(spec, "policies", report) {
            check_names(policies, "`spec.policies`", POLICIES, report);
            for (name, node) in entries(policies, "timeouts", report) {
                self.declared.timeouts.insert(name.to_owned());
                if let Some(it) = duration(node, &format!("the timeout `{name}`"), report) {
                    self.timeouts.push((name.to_owned(), Some(it).filter(|it| !it.is_zero())));
                }
            }
            for (name, node) in entries(policies, "retries", report) {
                self.declared.retries.insert(name.to_owned());
                if let Some(it) = retry(name, node, report) {
                    self.retries.push((name.to_owned(), it));
                }
            }
            for (name, node) in entries(policies, "circuitBreakers", report) {
                self.declared.breakers.insert(name.to_owned());
                if let Some(it) = breaker(name, node, report) {
                    self.breakers.push((name.to_owned(), it));
                }
            }
        }
        let Some(targets) = mapping(spec, "targets", report) else { return };
        check_names(targets, "`spec.targets`", TARGETS, report);
        for other in ["apps", "actors"] {
            if let Some(node) = targets.get(other) {
                let message = format!("`spec.targets.{other}` has no effect");
                report.warning(node.place, message, "only components are called from here");
            }
        }
        for (component, node) in entries(targets, "components", report) {
            if let Some(it) = target(component, node, report) {
                self.targets.push(it);
            }
        }
    }

    /// Reports the policies that targets name and nobody has, and targets that are no components.
    pub(super) fn check_targets(
        &self,
        declared: &Declared,
        components: &BTreeSet<String>,
        report: &mut Report,
    ) {
        for it in &self.targets {
            let uses = [
                ("timeout", &it.timeout, &declared.timeouts),
                ("retry", &it.retry, &declared.retries),
                ("circuit breaker", &it.breaker, &declared.breakers),
            ];
            for (kind, used, known) in uses {
                let Some((name, place)) = used.as_ref().filter(|it| !known.contains(&it.0)) else {
                    continue;
                };
                let hint = did_you_mean(name, known.iter().map(String::as_str));
                let hint = hint.unwrap_or_else(|| "define it below `spec.policies`".to_owned());
                let message = format!("there is no {kind} policy named `{name}`");
                report.problem(*place, message, &hint);
            }
            let component = &it.component;
            if !components.contains(component) {
                let hint = did_you_mean(component, components.iter().map(String::as_str));
                let message = format!("no component file defines `{component}`");
                let hint = hint.unwrap_or_else(|| "nothing else uses this target".to_owned());
                report.warning(it.place, message, &hint);
            }
        }
    }
}

impl Declared {
    pub(super) fn extend(&mut self, other: &Declared) {
        self.timeouts.extend(other.timeouts.iter().cloned());
        self.retries.extend(other.retries.iter().cloned());
        self.breakers.extend(other.breakers.iter().cloned());
    }
}

impl TargetDraft {
    pub(super) fn target(&self, resource: &str) -> Target {
        let name = |it: &Option<(String, Place)>| it.as_ref().map(|(name, _)| name.clone());
        Target {
            resource: resource.to_owned(),
            timeout: name(&self.timeout),
            retry: name(&self.retry),
            breaker: name(&self.breaker),
        }
    }
}

fn retry(name: &str, node: &Node, report: &mut Report) -> Option<Retry> {
    let what = format!("the retry policy `{name}`");
    if !is_mapping(node, &what, report) {
        return None;
    }
    check_names(node, &what, RETRY, report);
    if let Some(matching) = node.get("matching") {
        let message = format!("`matching` of {what} has no effect on components");
        report.warning(matching.place, message, "it is about statuses of other applications");
    }
    let pause = duration_of(node, "duration", &what, report).unwrap_or(PAUSE);
    let max = duration_of(node, "maxInterval", &what, report).unwrap_or(PAUSE_MAX);
    let policy = node.get("policy");
    let pauses = match policy.map(Node::flattened).unwrap_or_default().as_str() {
        "" | "constant" => Pauses::Constant(pause),
        "exponential" => Pauses::Exponential { max },
        _ => {
            let place = policy.map_or(node.place, |it| it.place);
            let message = format!("`policy` of {what} is not one that there is");
            report.problem(place, message, "write `constant` or `exponential`");
            return None;
        }
    };
    let max = match node.get("maxRetries") {
        None => None,
        Some(it) => match it.scalar().and_then(|it| it.parse::<i64>().ok()) {
            Some(number) if number < 0 => None,
            Some(number) => Some(u32::try_from(number).unwrap_or(u32::MAX)),
            None => {
                let message = format!("`maxRetries` of {what} is not a whole number");
                report.problem(it.place, message, "write 0 for none, or -1 for any number");
                return None;
            }
        },
    };
    Some(Retry { pauses, max })
}

fn breaker(name: &str, node: &Node, report: &mut Report) -> Option<Breaker> {
    let what = format!("the circuit breaker `{name}`");
    if !is_mapping(node, &what, report) {
        return None;
    }
    check_names(node, &what, BREAKER, report);
    let max_requests = match node.get("maxRequests") {
        None => 1,
        Some(it) => match it.scalar().and_then(|it| it.parse::<u32>().ok()) {
            // As in Dapr, where 0 stands for the default.
            Some(number) => number.max(1),
            None => {
                let message = format!("`maxRequests` of {what} is not a whole number from 1");
                report.problem(it.place, message, "write 1 unless more are to be let through");
                return None;
            }
        },
    };
    let is_given = |it: &Duration| !it.is_zero();
    let interval = duration_of(node, "interval", &what, report).filter(is_given);
    let timeout = duration_of(node, "timeout", &what, report).filter(is_given).unwrap_or(OPEN);
    let trip = match node.get("trip") {
        None => Trip::default(),
        Some(it) => match Trip::parse(&it.flattened()) {
            Ok(trip) => trip,
            Err(e) => {
                let message = format!("`trip` of {what} is not a condition that can be used: {e}");
                let hint = "write one such as `consecutiveFailures > 5`; there are also requests, \
                            totalSuccesses, totalFailures and consecutiveSuccesses";
                report.problem(it.place, message, hint);
                return None;
            }
        },
    };
    Some(Breaker { name: name.to_owned(), max_requests, interval, timeout, trip })
}

fn target(component: &str, node: &Node, report: &mut Report) -> Option<TargetDraft> {
    let what = format!("the target `{component}`");
    if !is_mapping(node, &what, report) {
        return None;
    }
    check_names(node, &what, COMPONENT, report);
    if let Some(inbound) = node.get("inbound") {
        let message = format!("`inbound` of {what} has no effect");
        report.warning(inbound.place, message, "state stores call nobody; use `outbound`");
    }
    let mut draft = TargetDraft {
        component: component.to_owned(),
        place: node.place,
        timeout: None,
        retry: None,
        breaker: None,
    };
    let Some(outbound) = mapping(node, "outbound", report) else { return Some(draft) };
    for (key, _) in outbound.entries() {
        // Never a mere warning: a policy that is not there must not look as if it were.
        if !OUTBOUND.iter().any(|it| it.eq_ignore_ascii_case(&key.text)) {
            let message = format!("`outbound` of {what} has no field `{}`", key.text);
            report.problem(key.place, message, "write `timeout`, `retry` or `circuitBreaker`");
        }
    }
    let mut name = |field: &str| {
        let node = outbound.get(field)?;
        let text = node.scalar();
        if text.is_none() {
            let message = format!("`{field}` of {what} should be the name of a policy");
            report.problem(node.place, message, "write one of those below `spec.policies`");
        }
        text.filter(|it| !it.is_empty()).map(|it| (it, node.place))
    };
    draft.timeout = name("timeout");
    draft.retry = name("retry");
    draft.breaker = name("circuitBreaker");
    Some(draft)
}

/// The mapping under a name, if there is one. Anything else is reported.
fn mapping<'a>(node: &'a Node, name: &str, report: &mut Report) -> Option<&'a Node> {
    let it = node.get(name)?;
    is_mapping(it, &format!("`{name}`"), report).then_some(it)
}

/// The entries of the mapping under a name.
fn entries<'a>(
    node: &'a Node,
    name: &str,
    report: &mut Report,
) -> impl Iterator<Item = (&'a str, &'a Node)> + use<'a> {
    let entries = mapping(node, name, report).map(Node::entries).unwrap_or_default();
    entries.iter().map(|(key, value)| (key.text.as_str(), value))
}

fn is_mapping(node: &Node, what: &str, report: &mut Report) -> bool {
    let is_mapping = matches!(node.content, Content::Mapping(_));
    if !is_mapping {
        let message = format!("{what} should be a mapping, not {}", node.kind());
        report.problem(node.place, message, "indent its fields below it");
    }
    is_mapping
}

fn duration_of(node: &Node, name: &str, what: &str, report: &mut Report) -> Option<Duration> {
    duration(node.get(name)?, &format!("`{name}` of {what}"), report)
}

/// A whole number is milliseconds, as in Dapr.
fn duration(node: &Node, what: &str, report: &mut Report) -> Option<Duration> {
    let text = node.scalar().unwrap_or_default();
    let milliseconds = || text.parse().ok().map(Duration::from_millis);
    let duration =
        milliseconds().or_else(|| GoDuration::parse(&text).and_then(GoDuration::to_duration));
    if let Some(it) = duration.filter(|it| *it <= DURATION_MAX) {
        return Some(it);
    }
    let hint = "write a number and a unit, such as `500ms`, `5s` or `1m`; a year at most";
    report.problem(node.place, format!("{what} is not a duration that can be used"), hint);
    None
}

/// Reports fields that are not among those `known`: as a problem where it is clear what was meant,
/// otherwise as a warning.
fn check_names(mapping: &Node, place: &str, known: &[&'static str], report: &mut Report) {
    for (key, _) in mapping.entries() {
        if known.iter().any(|it| it.eq_ignore_ascii_case(&key.text)) {
            continue;
        }
        let message = format!("{place} has no field `{}`", key.text);
        match did_you_mean(&key.text, known.iter().copied()) {
            Some(hint) => report.problem(key.place, message, &hint),
            None => report.warning(key.place, message, "it is ignored"),
        }
    }
}
