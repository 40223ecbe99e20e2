//! The `Configuration` resource: what an operator sets for the sidecar itself.
//!
//! Start with [`load`]. Several files lie on top of each other: a later one replaces the fields that it has, and lists as a whole.
//! Source of the fields: Dapr's Configuration, as far as it concerns state.

use std::path::{Path, PathBuf};

use crate::{
    context::Context,
    document, file,
    manifest::field,
    node::{Content, Node},
    problem::{Problem, Report},
    spelling::did_you_mean,
};

mod environment;
mod section;

use section::{entries, number, numbers, switch, texts};

/// What the sidecar itself is to do. The default is that of no file at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// Which parts of the API there are.
    pub api: Api,
    /// What is counted, and how finely.
    pub metrics: Metrics,
    /// Where traces go.
    pub tracing: Tracing,
    /// Whether each call is logged.
    pub api_logging: ApiLogging,
    /// Whether changes of files take effect at once.
    pub hot_reload: bool,
    /// Types of components that may not be loaded, as `type` or `type/version`.
    pub denied_components: Vec<String>,
    /// Which secrets components may ask for.
    pub secret_scopes: Vec<SecretScope>,
}

/// Which parts of the API there are: those that are allowed, or all if none is, without those that are denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Api {
    /// The only ones there are, if there is any for the protocol.
    pub allowed: Vec<ApiRule>,
    /// Those that there are not.
    pub denied: Vec<ApiRule>,
}

/// A part of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRule {
    /// Such as `state` or `metadata`.
    pub name: String,
    /// Such as `v1.0`, `v1` or `v1.0-alpha1`.
    pub version: String,
    /// The wire that the rule is about.
    pub protocol: Protocol,
}

/// A wire that applications speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/2.
    Http,
    /// gRPC.
    Grpc,
}

/// What is counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Whether anything is.
    pub enabled: bool,
    /// Whether errors are counted by their codes.
    pub record_error_codes: bool,
    /// The upper bounds of the buckets for durations, in milliseconds; Dapr's if empty.
    pub latency_buckets_ms: Vec<u64>,
    /// Whether paths of requests are told apart by store; Dapr's default is that they are.
    pub increased_cardinality: bool,
    /// Forms of paths that are told apart, such as `/v1.0/state/{store}`.
    pub path_matching: Vec<String>,
    /// Whether requests are counted without their methods.
    pub exclude_verbs: bool,
}

/// Where traces go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tracing {
    /// The share of requests that are traced, from 0 to 1; `None` for Dapr's default.
    pub sampling_rate: Option<f64>,
    /// Whether traces are printed.
    pub stdout: bool,
    /// The address that takes traces in Zipkin's form.
    pub zipkin: Option<String>,
    /// A collector that takes traces in OpenTelemetry's form.
    pub otel: Option<Otel>,
}

/// A collector that takes traces in OpenTelemetry's form.
#[derive(Clone, PartialEq, Eq)]
pub struct Otel {
    /// Whether it is spoken to over gRPC, or else HTTP.
    pub protocol: Protocol,
    /// Its host and port, or URL.
    pub endpoint: String,
    /// Whether TLS is used.
    pub is_secure: bool,
    /// What is sent with each request, such as a key.
    pub headers: Vec<(String, String)>,
    /// How long it may take to answer, in milliseconds; `None` for the usual time.
    pub timeout_ms: Option<u64>,
}

/// Hides the headers: they hold keys.
impl std::fmt::Debug for Otel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Otel")
            .field("protocol", &self.protocol)
            .field("endpoint", &self.endpoint)
            .field("is_secure", &self.is_secure)
            .field("timeout_ms", &self.timeout_ms)
            .finish_non_exhaustive()
    }
}

/// Whether each call is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApiLogging {
    /// Whether calls are.
    pub enabled: bool,
    /// Whether only the name of what was called is logged, and no path.
    pub obfuscate_urls: bool,
    /// Whether calls about health are left out.
    pub omit_health_checks: bool,
}

/// Which secrets of a secret store components may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretScope {
    /// The name of the secret store.
    pub store_name: String,
    /// Whether secrets that are not named may be asked for.
    pub allowed_by_default: bool,
    /// The only secrets that may be asked for, if there are any.
    pub allowed_secrets: Vec<String>,
    /// The secrets that may not, unless there are some that are allowed.
    pub denied_secrets: Vec<String>,
}

/// What `--config` files say.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// What they say together.
    pub configuration: Configuration,
    /// What keeps them from being used.
    pub problems: Vec<Problem>,
    /// What is probably not meant, but harmless.
    pub warnings: Vec<Problem>,
}

impl Default for Configuration {
    fn default() -> Configuration {
        Configuration {
            api: Api::default(),
            metrics: Metrics {
                enabled: true,
                record_error_codes: false,
                latency_buckets_ms: Vec::new(),
                increased_cardinality: true,
                path_matching: Vec::new(),
                exclude_verbs: false,
            },
            tracing: Tracing::default(),
            api_logging: ApiLogging::default(),
            hot_reload: true,
            denied_components: Vec::new(),
            secret_scopes: Vec::new(),
        }
    }
}

const DOCUMENT: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];
const OURS: [&str; 8] =
    ["tracing", "metric", "metrics", "features", "api", "components", "logging", "secrets"];
/// What other building blocks are configured by.
const OTHERS: [&str; 8] = [
    "httpPipeline",
    "appHttpPipeline",
    "nameResolution",
    "accessControl",
    "mtls",
    "wasm",
    "workflow",
    "appChannel",
];

/// Reads configuration files, in the order in which they lie on top of each other. Of each, only the first document counts, as in
/// Dapr. `$NAME` and `${NAME}` stand for environment variables, everywhere in the text.
pub fn load(files: &[PathBuf], context: &Context) -> Loaded {
    let mut loaded = Loaded::default();
    for path in files {
        let mut report = Report::new(path);
        if let Some(document) = read(path, context, &mut report) {
            apply(&document, &mut loaded.configuration, &mut report);
        }
        loaded.problems.append(&mut report.problems);
        loaded.warnings.append(&mut report.warnings);
    }
    loaded
}

fn read(path: &Path, context: &Context, report: &mut Report) -> Option<Node> {
    let text = match file::read(path) {
        Ok(text) => environment::expand(&text, context, report),
        Err(message) => {
            report.file_problem(message, "name another with --config, or leave the flag out");
            return None;
        }
    };
    let mut nodes = Vec::new();
    for document in document::split(&text) {
        match document.parse() {
            Ok(node) => nodes.extend(node),
            Err(fault) => {
                report.problem(fault.place, fault.message, fault.hint);
                return None;
            }
        }
    }
    let mut nodes = nodes.into_iter();
    let first = nodes.next();
    if first.is_none() {
        report.file_problem("the file is empty", "write a document of `kind: Configuration`");
    }
    for other in nodes {
        let message = "only the first document of a configuration file counts";
        report.warning(other.place, message, "put this one into a file of its own");
    }
    first
}

fn apply(document: &Node, configuration: &mut Configuration, report: &mut Report) {
    field::check_duplicates(document, true, report);
    if let Some(kind) =
        document.get("kind").and_then(Node::scalar).filter(|it| it != "Configuration")
    {
        let hint =
            "give files of components to --resources-path, and write `kind: Configuration` here";
        report.problem(
            document.place,
            format!("this is of kind `{kind}`, not a configuration"),
            hint,
        );
        return;
    }
    field::check_names(document, "the document", &DOCUMENT, report);
    let Some(spec) = document.get("spec") else { return };
    if !section::is_mapping(spec, "spec", report) {
        return;
    }
    check_spec(spec, report);
    // What `metrics` says comes before what the older `metric` says.
    for name in ["metric", "metrics"] {
        if let Some(it) = section::mapping(spec, name, &format!("spec.{name}"), report) {
            metrics(it, &format!("spec.{name}"), &mut configuration.metrics, report);
        }
    }
    if let Some(it) = section::mapping(spec, "tracing", "spec.tracing", report) {
        tracing(it, &mut configuration.tracing, report);
    }
    if let Some(it) = section::mapping(spec, "api", "spec.api", report) {
        api(it, &mut configuration.api, report);
    }
    if let Some(it) = section::mapping(spec, "logging", "spec.logging", report) {
        logging(it, &mut configuration.api_logging, report);
    }
    if let Some(it) = section::mapping(spec, "components", "spec.components", report) {
        field::check_names(it, "`spec.components`", &["deny"], report);
        if let Some(deny) = texts(it, "deny", "spec.components.deny", report) {
            configuration.denied_components = deny;
        }
    }
    if let Some(it) = section::mapping(spec, "secrets", "spec.secrets", report) {
        field::check_names(it, "`spec.secrets`", &["scopes"], report);
        if let Some(scopes) = secret_scopes(it, report) {
            configuration.secret_scopes = scopes;
        }
    }
    for it in entries(spec, "features", "spec.features", report).unwrap_or_default() {
        feature(it, configuration, report);
    }
}

fn check_spec(spec: &Node, report: &mut Report) {
    for (key, _) in spec.entries() {
        let known = |names: &[&str]| names.iter().any(|it| it.eq_ignore_ascii_case(&key.text));
        if known(&OURS) {
            continue;
        }
        if known(&OTHERS) {
            let message = format!("`spec.{}` has no effect on state", key.text);
            report.warning(key.place, message, "");
            continue;
        }
        let message = format!("`spec` has no field `{}`", key.text);
        match did_you_mean(&key.text, OURS) {
            Some(hint) => report.problem(key.place, message, &hint),
            None => report.warning(key.place, message, "it is ignored"),
        }
    }
}

fn metrics(section: &Node, path: &str, metrics: &mut Metrics, report: &mut Report) {
    const KNOWN: [&str; 5] =
        ["enabled", "recordErrorCodes", "latencyDistributionBuckets", "rules", "http"];
    field::check_names(section, &format!("`{path}`"), &KNOWN, report);
    let at = |name: &str| format!("{path}.{name}");
    set(&mut metrics.enabled, switch(section, "enabled", &at("enabled"), report));
    let it = switch(section, "recordErrorCodes", &at("recordErrorCodes"), report);
    set(&mut metrics.record_error_codes, it);
    let name = "latencyDistributionBuckets";
    if let Some((place, bounds)) = numbers(section, name, &at(name), report) {
        if bounds.windows(2).all(|it| it[0] < it[1]) {
            metrics.latency_buckets_ms = bounds;
        } else {
            let message = format!("`{}` should grow from each bound to the next", at(name));
            report.problem(
                place,
                message,
                "write milliseconds in rising order, such as [1, 5, 25]",
            );
        }
    }
    if let Some(rules) =
        section.get("rules").filter(|it| !matches!(&it.content, Content::List(it) if it.is_empty()))
    {
        let message = format!("`{}` has no effect: labels are not rewritten", at("rules"));
        report.warning(rules.place, message, "rewrite them where metrics are collected");
    }
    let Some(http) = section::mapping(section, "http", &at("http"), report) else { return };
    let known = ["increasedCardinality", "pathMatching", "excludeVerbs"];
    field::check_names(http, &format!("`{path}.http`"), &known, report);
    let it = switch(http, known[0], &at("http.increasedCardinality"), report);
    set(&mut metrics.increased_cardinality, it);
    set(&mut metrics.path_matching, texts(http, known[1], &at("http.pathMatching"), report));
    set(&mut metrics.exclude_verbs, switch(http, known[2], &at("http.excludeVerbs"), report));
}

fn tracing(section: &Node, tracing: &mut Tracing, report: &mut Report) {
    let known = ["samplingRate", "stdout", "zipkin", "otel", "expandParams", "includeBody"];
    field::check_names(section, "`spec.tracing`", &known, report);
    if let Some(node) = section.get("samplingRate") {
        let rate = node.scalar().and_then(|it| it.parse().ok());
        match rate.filter(|it| (0.0..=1.0).contains(it)) {
            Some(rate) => tracing.sampling_rate = Some(rate),
            None => report.problem(
                node.place,
                "`spec.tracing.samplingRate` is not a number from 0 to 1",
                "write \"1\" to trace every request, \"0\" for none",
            ),
        }
    }
    set(&mut tracing.stdout, switch(section, "stdout", "spec.tracing.stdout", report));
    if let Some(zipkin) = section::mapping(section, "zipkin", "spec.tracing.zipkin", report) {
        field::check_names(zipkin, "`spec.tracing.zipkin`", &["endpointAddress"], report);
        let address = "spec.tracing.zipkin.endpointAddress";
        let address = field::text(zipkin, "endpointAddress", address, report);
        tracing.zipkin = address.filter(|it| !it.is_empty());
    }
    if let Some(it) = section::mapping(section, "otel", "spec.tracing.otel", report) {
        tracing.otel = otel(it, report);
    }
}

fn otel(section: &Node, report: &mut Report) -> Option<Otel> {
    const KNOWN: [&str; 5] = ["protocol", "endpointAddress", "isSecure", "headers", "timeout"];
    field::check_names(section, "`spec.tracing.otel`", &KNOWN, report);
    let at = |name: &str| format!("spec.tracing.otel.{name}");
    let protocol = match section.get("protocol") {
        Some(node) => protocol(node, &at("protocol"), report)?,
        None => Protocol::Grpc,
    };
    let endpoint = field::text(section, "endpointAddress", &at("endpointAddress"), report);
    let is_secure = switch(section, "isSecure", &at("isSecure"), report).unwrap_or(true);
    let headers = texts(section, "headers", &at("headers"), report).unwrap_or_default();
    let mut pairs = Vec::with_capacity(headers.len());
    for header in headers {
        match header.split_once('=') {
            Some((name, value)) => pairs.push((name.trim().to_owned(), value.trim().to_owned())),
            None => {
                let message = "a header of `spec.tracing.otel.headers` has no `=`";
                report.problem(section.place, message, "write `name=value`");
            }
        }
    }
    let timeout_ms = number(section, "timeout", &at("timeout"), report);
    let endpoint = endpoint.filter(|it| !it.is_empty())?;
    Some(Otel { protocol, endpoint, is_secure, headers: pairs, timeout_ms })
}

fn api(section: &Node, api: &mut Api, report: &mut Report) {
    field::check_names(section, "`spec.api`", &["allowed", "denied"], report);
    set(&mut api.allowed, api_rules(section, "allowed", report));
    set(&mut api.denied, api_rules(section, "denied", report));
}

fn api_rules(section: &Node, name: &str, report: &mut Report) -> Option<Vec<ApiRule>> {
    let path = format!("spec.api.{name}");
    let items = entries(section, name, &path, report)?;
    let mut rules = Vec::with_capacity(items.len());
    for item in items {
        field::check_names(
            item,
            &format!("a rule of `{path}`"),
            &["name", "version", "protocol"],
            report,
        );
        let name = section::required(item, "name", &path, "`name: state`", report);
        let version = section::required(item, "version", &path, "`version: v1.0`", report);
        let protocol = match item.get("protocol") {
            Some(node) => protocol(node, &format!("{path}.protocol"), report),
            None => {
                let message = format!("a rule of `{path}` has no `protocol`");
                report.problem(item.place, message, "write `protocol: http` or `protocol: grpc`");
                None
            }
        };
        if let (Some(name), Some(version), Some(protocol)) = (name, version, protocol) {
            rules.push(ApiRule { name, version, protocol });
        }
    }
    Some(rules)
}

fn protocol(node: &Node, path: &str, report: &mut Report) -> Option<Protocol> {
    match node.scalar().map(|it| it.to_ascii_lowercase()).as_deref() {
        Some("http" | "http/protobuf") => Some(Protocol::Http),
        Some("grpc") => Some(Protocol::Grpc),
        _ => {
            report.problem(
                node.place,
                format!("`{path}` is neither http nor grpc"),
                "write one of them",
            );
            None
        }
    }
}

fn logging(section: &Node, logging: &mut ApiLogging, report: &mut Report) {
    field::check_names(section, "`spec.logging`", &["apiLogging"], report);
    let path = "spec.logging.apiLogging";
    let Some(it) = section::mapping(section, "apiLogging", path, report) else { return };
    let known = ["enabled", "obfuscateURLs", "omitHealthChecks"];
    field::check_names(it, "`spec.logging.apiLogging`", &known, report);
    let mut read = |name| switch(it, name, &format!("{path}.{name}"), report);
    set(&mut logging.enabled, read(known[0]));
    set(&mut logging.obfuscate_urls, read(known[1]));
    set(&mut logging.omit_health_checks, read(known[2]));
}

fn secret_scopes(section: &Node, report: &mut Report) -> Option<Vec<SecretScope>> {
    const PATH: &str = "spec.secrets.scopes";
    const KNOWN: [&str; 4] = ["storeName", "defaultAccess", "allowedSecrets", "deniedSecrets"];
    let mut scopes: Vec<SecretScope> = Vec::new();
    for item in entries(section, "scopes", PATH, report)? {
        field::check_names(item, &format!("a scope of `{PATH}`"), &KNOWN, report);
        let Some(store_name) =
            section::required(item, "storeName", PATH, "`storeName: vault`", report)
        else {
            continue;
        };
        if scopes.iter().any(|it| it.store_name == store_name) {
            let message = format!("there are two scopes for the secret store `{store_name}`");
            report.problem(item.place, message, "make one of them");
            continue;
        }
        let access = field::text(item, "defaultAccess", &format!("{PATH}.defaultAccess"), report);
        let allowed_by_default = match access.unwrap_or_default().to_ascii_lowercase().as_str() {
            "" | "allow" => true,
            "deny" => false,
            _ => {
                let place = item.get("defaultAccess").map_or(item.place, |it| it.place);
                let message = format!("`{PATH}.defaultAccess` is neither allow nor deny");
                report.problem(place, message, "write one of them");
                continue;
            }
        };
        let mut names = |name| texts(item, name, &format!("{PATH}.{name}"), report);
        let allowed_secrets = names("allowedSecrets").unwrap_or_default();
        let denied_secrets = names("deniedSecrets").unwrap_or_default();
        scopes.push(SecretScope {
            store_name,
            allowed_by_default,
            allowed_secrets,
            denied_secrets,
        });
    }
    Some(scopes)
}

fn feature(item: &Node, configuration: &mut Configuration, report: &mut Report) {
    const PATH: &str = "spec.features";
    field::check_names(item, "a feature of `spec.features`", &["name", "enabled"], report);
    let Some(name) = section::required(item, "name", PATH, "`name: HotReload`", report) else {
        return;
    };
    let enabled = switch(item, "enabled", "spec.features.enabled", report).unwrap_or(false);
    // Others belong to other building blocks.
    if name.eq_ignore_ascii_case("HotReload") {
        configuration.hot_reload = enabled;
    }
}

/// Replaces what there is by what a file says, if it says it.
fn set<T>(field: &mut T, said: Option<T>) {
    if let Some(said) = said {
        *field = said;
    }
}

#[cfg(test)]
mod tests;
