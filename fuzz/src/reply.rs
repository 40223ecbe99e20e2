//! What holds of every reply. Source: `docs/reference/http-api.md`.

use bytes::Bytes;
use hyper::{
    HeaderMap,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use serde::Deserialize;
use serde_json::Value;

/// A reply, with its body read.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The body of an error.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Refusal {
    error_code: String,
    message: String,
    pub(crate) outcome: String,
    hint: Option<String>,
    #[serde(default)]
    details: Vec<Value>,
    #[serde(default)]
    pub(crate) items: Vec<ItemOutcome>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ItemOutcome {
    pub(crate) key: String,
    pub(crate) outcome: String,
    pub(crate) etag: Option<String>,
    #[serde(rename = "currentETag")]
    current_etag: Option<String>,
    message: Option<String>,
}

/// Every code with the statuses and outcomes that it may have here, where no store ever fails.
const CODES: &[(&str, &[u16], &str)] = &[
    ("ERR_API_TOKEN", &[401], "not_applied"),
    ("ERR_DIRECT_INVOKE", &[404], "not_applied"),
    ("ERR_HEALTH_APPID_NOT_MATCH", &[500], "not_applied"),
    ("ERR_HEALTH_NOT_READY", &[500], "not_applied"),
    ("ERR_HOST_NOT_ALLOWED", &[421], "not_applied"),
    ("ERR_MALFORMED_REQUEST", &[400, 413], "not_applied"),
    ("ERR_NOT_SUPPORTED_STATE_OPERATION", &[400], "not_applied"),
    ("ERR_ORIGIN_NOT_ALLOWED", &[403], "not_applied"),
    ("ERR_OUTBOUND_HEALTH_NOT_READY", &[500], "not_applied"),
    ("ERR_STATE_DELETE", &[409], "conflict"),
    ("ERR_STATE_SAVE", &[409], "conflict"),
    ("ERR_STATE_STORE_NOT_FOUND", &[400], "not_applied"),
    ("ERR_STATE_STORE_NOT_READY", &[503], "not_applied"),
    ("ERR_STATE_STORE_TOO_MANY_TRANSACTIONS", &[400], "not_applied"),
    ("ERR_STATE_TRANSACTION", &[409], "conflict"),
];

impl Reply {
    /// Whether the request succeeded.
    pub(crate) fn is_success(&self) -> bool {
        matches!(self.status, 200 | 204)
    }

    /// Checks the form of the reply, and returns what an error says.
    pub(crate) fn check(&self) -> Option<Refusal> {
        let outcome = self.headers.get("state-outcome").map(|it| it.as_bytes());
        if self.is_success() {
            assert!(outcome.is_none(), "a success has an outcome: {self:?}");
            assert!(self.status == 200 || self.body.is_empty(), "204 with a body: {self:?}");
            return None;
        }
        let refusal: Refusal = serde_json::from_slice(&self.body).expect("an error has its form");
        assert_eq!(self.headers[CONTENT_TYPE], "application/json");
        assert_eq!(outcome, Some(refusal.outcome.as_bytes()), "{self:?}");
        assert!(!refusal.message.is_empty(), "{self:?}");
        assert!(refusal.hint.as_ref().is_none_or(|it| !it.is_empty()), "{self:?}");
        assert!(refusal.details.iter().all(|it| it["@type"].is_string()), "{self:?}");
        // A store that was rejected is 503 for good.
        assert!(!self.headers.contains_key(RETRY_AFTER) || self.status == 503, "{self:?}");
        refusal.check_items();
        let some_saved = refusal.items.iter().any(|it| it.outcome == "ok");
        let code = CODES.iter().find(|(code, ..)| *code == refusal.error_code);
        let (_, statuses, outcome) = code.unwrap_or_else(|| panic!("no such code: {self:?}"));
        assert!(statuses.contains(&self.status), "{self:?}");
        assert_eq!(refusal.outcome, if some_saved { "unknown" } else { *outcome }, "{self:?}");
        Some(refusal)
    }
}

impl Refusal {
    fn check_items(&self) {
        for it in &self.items {
            let saved = it.outcome == "ok";
            assert!(saved || it.outcome == "conflict", "{self:?}");
            assert_eq!(it.etag.is_some(), saved, "{self:?}");
            assert_eq!(it.message.is_none(), saved, "{self:?}");
            assert!(!saved || it.current_etag.is_none(), "{self:?}");
        }
        assert!(self.items.is_empty() || self.items.iter().any(|it| it.outcome != "ok"));
    }
}
