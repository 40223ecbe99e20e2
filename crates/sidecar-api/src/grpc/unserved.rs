//! Calls that belong to no state API.

use hyper::StatusCode;

use crate::{
    ApiError,
    served::{Part, Parts},
};

/// The calls of Dapr's service that are served, and the part of the API that they belong to.
const SERVED: [(&str, Part); 9] = [
    ("GetState", Part::State),
    ("GetBulkState", Part::State),
    ("SaveState", Part::State),
    ("DeleteState", Part::State),
    ("DeleteBulkState", Part::State),
    ("ExecuteStateTransaction", Part::State),
    ("GetMetadata", Part::Metadata),
    ("SetMetadata", Part::Metadata),
    ("Shutdown", Part::Shutdown),
];

/// The other calls of Dapr's service, by how their names begin or end, and the building block that they belong to. The
/// first row that fits counts. Source: Dapr's runtime API, version 1.18.
const OTHERS: &[(Fit, &str)] = &[
    (Fit::Start("QueryState"), "the query API of state management, which is not offered"),
    (Fit::Start("InvokeService"), "service invocation"),
    (Fit::Start("InvokeBinding"), "bindings"),
    (Fit::Start("PublishEvent"), "publish and subscribe"),
    (Fit::Start("BulkPublishEvent"), "publish and subscribe"),
    (Fit::Start("SubscribeTopicEvents"), "publish and subscribe"),
    (Fit::Start("GetSecret"), "secrets"),
    (Fit::Start("GetBulkSecret"), "secrets"),
    (Fit::Within("Actor"), "actors"),
    (Fit::Within("Configuration"), "configuration"),
    (Fit::Start("TryLock"), "distributed lock"),
    (Fit::Start("Unlock"), "distributed lock"),
    (Fit::Start("Encrypt"), "cryptography"),
    (Fit::Start("Decrypt"), "cryptography"),
    (Fit::Start("Subtle"), "cryptography"),
    (Fit::Within("Workflow"), "workflow"),
    (Fit::Within("Job"), "jobs"),
    (Fit::Start("Converse"), "conversation"),
];

#[derive(Debug)]
enum Fit {
    Start(&'static str),
    Within(&'static str),
}

/// Why this call of Dapr's service is not served; `None` if it is.
pub(super) fn call(name: &str, parts: Parts) -> Option<ApiError> {
    if let Some((_, part)) = SERVED.iter().find(|(it, _)| *it == name) {
        return (!parts.have(*part)).then(|| not_allowed(name));
    }
    let fits = |it: &&(Fit, &str)| match it.0 {
        Fit::Start(start) => name.starts_with(start),
        Fit::Within(part) => name.contains(part),
    };
    Some(match OTHERS.iter().find(fits) {
        Some((_, block)) => unimplemented(&format!("{name} belongs to {block}")),
        None => unimplemented(&format!("there is no call {name}")),
    })
}

/// In Dapr's words.
fn not_allowed(name: &str) -> ApiError {
    let message = "requested endpoint is not available";
    ApiError::new(StatusCode::NOT_FOUND, "ERR_NOT_IMPLEMENTED", message)
        .hint(format!("{name} is not among what `spec.api` of the configuration allows"))
}

/// The refusal of a path that is no call of a service here.
pub(super) fn service(path: &str) -> ApiError {
    unimplemented(&format!("there is no service for {path}"))
}

fn unimplemented(what: &str) -> ApiError {
    let message = format!("{what}: this sidecar serves state alone");
    ApiError::new(StatusCode::NOT_FOUND, "ERR_NOT_IMPLEMENTED", message)
        .hint("run Dapr beside it for other building blocks, on other ports")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_calls_are_told_where_they_belong() {
        for (name, block) in [
            ("InvokeService", "service invocation"),
            ("ExecuteActorStateTransaction", "actors"),
            ("SubscribeActorEventsAlpha1", "actors"),
            ("GetConfiguration", "configuration"),
            ("UnsubscribeConfigurationAlpha1", "configuration"),
            ("RaiseEventWorkflowBeta1", "workflow"),
            ("DeleteJobsByPrefixAlpha1", "jobs"),
            ("ScheduleJob", "jobs"),
            ("SubtleWrapKeyAlpha1", "cryptography"),
            ("QueryStateAlpha1", "query API"),
            ("Nonsense", "no call Nonsense"),
        ] {
            let refusal = call(name, Parts::default()).expect("it is not served");
            assert_eq!(refusal.grpc, tonic::Code::Unimplemented);
            assert!(refusal.message.contains(block), "{}", refusal.message);
        }
        assert!(SERVED.iter().all(|(it, _)| call(it, Parts::default()).is_none()));
        let parts = Parts { state: false, ..Parts::default() };
        let refused = SERVED.iter().filter(|(it, _)| call(it, parts).is_some()).count();
        assert_eq!(refused, 6);
    }
}
