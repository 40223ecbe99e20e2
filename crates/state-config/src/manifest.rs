//! One document of a component file, understood but for its secrets.

use std::{fmt, time::Duration};

use crate::{
    context::Context,
    duration::GoDuration,
    node::{Content, Node},
    problem::{Place, Report},
    resiliency, secrets,
    spelling::nearest,
};

mod doubtful;
mod entry;
pub(crate) mod field;
mod identity;

pub(crate) use entry::{Entry, Origin};

/// Dapr's default, also for what is no duration. Source: dapr pkg/runtime/processor `initTimeout`.
const INIT_TIMEOUT: Duration = Duration::from_secs(5);

/// What other building blocks are called in `spec.type`. Source: dapr pkg/components/category.go.
const OTHER_BUILDING_BLOCKS: [&str; 10] = [
    "bindings",
    "configuration",
    "conversation",
    "crypto",
    "lock",
    "middleware",
    "nameresolution",
    "pubsub",
    "workflow",
    "workflowbackend",
];

/// A component in scope, with its secrets still by name. Has no `Debug`: it holds values.
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) place: Place,
    pub(crate) component_type: String,
    pub(crate) version: String,
    pub(crate) entries: Vec<Entry>,
    pub(crate) secret_store: Option<String>,
    pub(crate) ignore_errors: bool,
    pub(crate) init_timeout: Duration,
}

/// What became of a document.
pub(crate) enum Reading {
    /// It is not about components, or so wrong that only its report is left.
    Nothing,
    /// It is a component of no concern here.
    Skipped(Skipped),
    /// It is a state store, or a secret store.
    Manifest(Manifest),
    /// It says what is done when stores fail.
    Resiliency(resiliency::Draft),
}

/// A component that was left out, and not by mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its name; empty if it has none.
    pub name: String,
    /// Its `spec.type`; empty if it has none.
    pub component_type: String,
    /// Why it was left out.
    pub reason: SkipReason,
}

/// Why a component was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// Its `scopes` do not name this application.
    OutOfScope,
    /// It is for applications of this other namespace.
    OtherNamespace(String),
    /// The configuration does not allow components of its type.
    Denied,
    /// It belongs to another building block, or is a secret store of a kind that we do not have.
    NotAStateStore,
}

impl Manifest {
    /// Whether it holds secrets for the others, rather than state.
    pub(crate) fn is_secret_store(&self) -> bool {
        category(&self.component_type) == "secretstores"
    }
}

/// Reads a document, and reports everything that is wrong with it at once.
pub(crate) fn read(document: &Node, context: &Context, report: &mut Report) -> Reading {
    if let Some(reading) = resiliency::read(document, context, report) {
        return reading;
    }
    if !identity::is_component(document, report) {
        return Reading::Nothing;
    }
    let name = document.get("metadata").and_then(|it| it.get("name")).and_then(Node::scalar);
    report.component = name.clone();
    let spec = document.get("spec");
    report.component_type = spec.and_then(|it| it.get("type")).and_then(Node::scalar);
    let ignore_errors = spec.and_then(|it| it.get("ignoreErrors"));
    report.ignorable = matches!(ignore_errors.map(|it| &it.content), Some(Content::Bool(true)));

    if let Some(reason) = skip_reason(document, context, report) {
        return Reading::Skipped(Skipped {
            name: name.unwrap_or_default(),
            component_type: report.component_type.clone().unwrap_or_default(),
            reason,
        });
    }

    field::check(document, report);
    let name = component_name(document, report);
    let component_type = component_type(document, report);
    let entries = spec.map(|it| entry::read_all(it, report)).unwrap_or_default();
    let version = spec.and_then(|it| field::text(it, "version", "spec.version", report));
    let init_timeout = spec.map_or(INIT_TIMEOUT, |it| init_timeout(it, report));
    if let Some(it) = ignore_errors.filter(|it| !matches!(it.content, Content::Bool(_))) {
        let message = format!("`spec.ignoreErrors` should be true or false, not {}", it.kind());
        report.problem(it.place, message, "write `ignoreErrors: true`, without quotes");
    }
    let auth = document.get("auth");
    let secret_store =
        auth.and_then(|it| field::text(it, "secretStore", "auth.secretStore", report));
    let (Some(name), Some(component_type)) = (name, component_type) else {
        return Reading::Nothing;
    };
    let metadata = document.get("metadata");
    let namespace =
        metadata.and_then(|it| field::text(it, "namespace", "metadata.namespace", report));
    Reading::Manifest(Manifest {
        name,
        namespace,
        place: document.place,
        component_type,
        version: version.unwrap_or_default().to_lowercase(),
        entries,
        secret_store: secret_store.filter(|it| !it.is_empty()),
        ignore_errors: report.ignorable,
        init_timeout,
    })
}

fn skip_reason(document: &Node, context: &Context, report: &mut Report) -> Option<SkipReason> {
    if let Some(reason) = scope_reason(document, context, report) {
        return Some(reason);
    }
    let spec = document.get("spec")?;
    let component_type = spec.get("type").and_then(Node::scalar)?;
    let version = spec.get("version").and_then(Node::scalar).unwrap_or_default();
    if is_denied(&component_type, &version, &context.denied_types) {
        // Dapr's words, which tools look for.
        let name = report.component.as_deref().unwrap_or_default();
        let message = format!(
            "component '{name}' cannot be loaded because components of type '{name} \
             ({component_type}/{version})' are not allowed"
        );
        let hint = "`spec.components.deny` of the `Configuration` names the type";
        report.warning(document.place, message, hint);
        return Some(SkipReason::Denied);
    }
    let other = OTHER_BUILDING_BLOCKS.contains(&category(&component_type).as_str())
        || category(&component_type) == "secretstores" && !secrets::is_supported(&component_type);
    other.then_some(SkipReason::NotAStateStore)
}

/// Why a resource of any kind is not for this application.
pub(crate) fn scope_reason(
    document: &Node,
    context: &Context,
    report: &mut Report,
) -> Option<SkipReason> {
    if let Some(scopes) = document.get("scopes") {
        let scopes = scopes_of(scopes, report);
        if !scopes.is_empty() && !scopes.contains(&context.app_id) {
            return Some(SkipReason::OutOfScope);
        }
    }
    let namespace = document.get("metadata")?.get("namespace").and_then(Node::scalar);
    let other =
        |it: &String| !it.is_empty() && context.namespace.as_ref().is_some_and(|ours| ours != it);
    namespace.filter(other).map(SkipReason::OtherNamespace)
}

/// Whether the type, or this version of it, is on the list.
///
/// Differs from Dapr: which compares in exact case, and drops all components without a version.
fn is_denied(component_type: &str, version: &str, denied_types: &[String]) -> bool {
    // What has no version gets the first that there is, and must not slip through by that.
    let numbered = |it: &str| match it.to_lowercase().as_str() {
        "" | "v0" => "v1".to_owned(),
        it => it.to_owned(),
    };
    denied_types.iter().map(|it| it.trim()).any(|it| match it.split_once('/') {
        None => it.eq_ignore_ascii_case(component_type),
        Some((denied, denied_version)) => {
            denied.eq_ignore_ascii_case(component_type)
                && numbered(denied_version) == numbered(version)
        }
    })
}

/// The applications named; none, which means all, if they cannot be understood.
fn scopes_of(scopes: &Node, report: &mut Report) -> Vec<String> {
    let Content::List(items) = &scopes.content else {
        let message = format!("`scopes` should be a list, not {}", scopes.kind());
        report.problem(scopes.place, message, "write `scopes: [app1, app2]`");
        return Vec::new();
    };
    let mut names = Vec::new();
    for item in items {
        match item.scalar() {
            Some(name) => names.push(name),
            None => {
                let message = format!("a scope should be an application's id, not {}", item.kind());
                report.problem(item.place, message, "write `scopes: [app1, app2]`");
            }
        }
    }
    names
}

fn component_name(document: &Node, report: &mut Report) -> Option<String> {
    const MISSING: &str = "`metadata.name` is missing";
    const HINT: &str =
        "write `metadata: {name: statestore}`, with the name that the application uses";
    let Some(metadata) = document.get("metadata") else {
        report.problem(document.place, MISSING, HINT);
        return None;
    };
    if !matches!(metadata.content, Content::Mapping(_)) {
        let message = format!("`metadata` should be a mapping, not {}", metadata.kind());
        report.problem(metadata.place, message, HINT);
        return None;
    }
    let Some(node) = metadata.get("name") else {
        report.problem(metadata.place, MISSING, HINT);
        return None;
    };
    let name = field::text(metadata, "name", "metadata.name", report)?;
    // Requests carry the name as one segment of a URL's path.
    let legal = !matches!(name.as_str(), "" | "." | "..") && !name.contains(['/', '%']);
    if !legal {
        let message = format!("`metadata.name` cannot be `{}`", name);
        report.problem(node.place, message, "use letters, digits, `-` and `.`");
        return None;
    }
    Some(name)
}

fn component_type(document: &Node, report: &mut Report) -> Option<String> {
    const HINT: &str = "write `type: state.redis`, with the store of your choice";
    let Some(spec) = document.get("spec") else {
        let hint = "write `spec:` and, indented below it, `type` and `metadata`";
        report.problem(document.place, "`spec` is missing", hint);
        return None;
    };
    if !matches!(spec.content, Content::Mapping(_)) {
        let message = format!("`spec` should be a mapping, not {}", spec.kind());
        report.problem(spec.place, message, "indent `type` and `metadata` below `spec:`");
        return None;
    }
    let Some(node) = spec.get("type") else {
        report.problem(spec.place, "`spec.type` is missing", HINT);
        return None;
    };
    let component_type = field::text(spec, "type", "spec.type", report)?;
    let category = category(&component_type);
    let Some((_, store)) = component_type.split_once('.') else {
        let message =
            format!("`spec.type` is `{component_type}`, which does not say what it is a type of");
        // `state-redis` and `state/redis` are meant as `state.redis`.
        let store = component_type.strip_prefix("state").unwrap_or(&component_type);
        let store = store.trim_start_matches(|it: char| !it.is_alphanumeric());
        let hint = format!("if it is a state store, write `type: state.{store}`");
        report.problem(node.place, message, &hint);
        return None;
    };
    if !matches!(category.as_str(), "state" | "secretstores") {
        let known = OTHER_BUILDING_BLOCKS.into_iter().chain(["state", "secretstores"]);
        let hint = match nearest(&category, known) {
            Some(meant) => format!("did you mean `{meant}.{}`?", store),
            None => "the types of state stores begin with `state.`".to_owned(),
        };
        let message = format!(
            "`spec.type` is `{component_type}`, and there is no building block `{category}`"
        );
        report.problem(node.place, message, &hint);
        return None;
    }
    if store.is_empty() {
        report.problem(
            node.place,
            format!("`spec.type` is `{component_type}`, which names no store"),
            HINT,
        );
        return None;
    }
    Some(component_type)
}

fn init_timeout(spec: &Node, report: &mut Report) -> Duration {
    let Some(node) = spec.get("initTimeout") else {
        return INIT_TIMEOUT;
    };
    let text = node.scalar().unwrap_or_default();
    // Kubernetes writes it out so.
    if text.is_empty() && matches!(node.content, Content::Text(_)) {
        return INIT_TIMEOUT;
    }
    let timeout = GoDuration::parse(&text).and_then(GoDuration::to_duration);
    match timeout.filter(|it| !it.is_zero()) {
        Some(timeout) => timeout,
        None => {
            let message = "`spec.initTimeout` is no positive duration, so 5 s are used";
            report.warning(node.place, message, "write a number and a unit, such as `30s`");
            INIT_TIMEOUT
        }
    }
}

/// What is before the first dot of a type, in lower case.
fn category(component_type: &str) -> String {
    let category = component_type.split_once('.').map_or("", |(category, _)| category);
    category.to_lowercase()
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SkipReason::OutOfScope => f.write_str("its scopes do not name this application"),
            SkipReason::OtherNamespace(it) => write!(f, "it belongs to the namespace `{it}`"),
            SkipReason::Denied => f.write_str("components of its type are not allowed"),
            SkipReason::NotAStateStore => f.write_str("it is not a state store"),
        }
    }
}
