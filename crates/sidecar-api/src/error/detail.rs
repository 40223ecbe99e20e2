//! What an error says besides its message, in the words of `google.rpc`.

use serde_json::{Map, Value, json};

/// One of the rich details of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Why, for programs.
    ErrorInfo {
        /// A stable name for the reason.
        reason: &'static str,
        /// What belongs to it; `None` where Dapr has `null`.
        metadata: Option<Vec<(&'static str, String)>>,
    },
    /// The store that it is about.
    ResourceInfo {
        /// Its name.
        store: String,
    },
    /// The field of the request that cannot be right.
    BadRequest {
        /// Its name.
        field: &'static str,
        /// Why it cannot.
        description: String,
    },
    /// Where to read on.
    Help {
        /// What is there.
        description: &'static str,
        /// Where that is.
        url: &'static str,
    },
}

/// Whose reasons these are. Source: Dapr's errors.
pub(crate) const DOMAIN: &str = "dapr.io";

/// What stores are, among resources. Source: Dapr's errors.
pub(crate) const RESOURCE_TYPE: &str = "state";

impl Detail {
    /// The detail as Dapr's HTTP API writes it.
    pub(super) fn to_json(&self) -> Value {
        let named = |name: &str| format!("type.googleapis.com/google.rpc.{name}");
        match self {
            Detail::ErrorInfo { reason, metadata } => json!({
                "@type": named("ErrorInfo"),
                "domain": DOMAIN,
                "metadata": metadata.as_ref().map(|it| {
                    let entry = |(name, value): &(&str, String)| {
                        ((*name).to_owned(), Value::from(value.as_str()))
                    };
                    it.iter().map(entry).collect::<Map<_, _>>()
                }),
                "reason": reason,
            }),
            Detail::ResourceInfo { store } => json!({
                "@type": named("ResourceInfo"),
                "description": "",
                "owner": "",
                "resource_name": store,
                "resource_type": RESOURCE_TYPE,
            }),
            Detail::BadRequest { field, description } => json!({
                "@type": named("BadRequest"),
                "field_violations": [{ "field": field, "description": description }],
            }),
            Detail::Help { description, url } => json!({
                "@type": named("Help"),
                "links": [{ "description": description, "url": url }],
            }),
        }
    }
}
