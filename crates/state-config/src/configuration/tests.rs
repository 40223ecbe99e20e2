use std::{fs, path::PathBuf};

use super::*;

const HEAD: &str =
    "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: c\nspec:\n";

fn load_texts(texts: &[&str]) -> (Configuration, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> =
        (0..texts.len()).map(|i| folder.path().join(format!("{i}.yaml"))).collect();
    for (file, text) in files.iter().zip(texts) {
        fs::write(file, text).unwrap();
    }
    let variables = [("RATE", "0.5"), ("SECRET", "hunter2"), ("LINES", "a\nb: c")];
    let context = Context {
        environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..Context::default()
    };
    let Loaded { configuration, problems, warnings } = load(&files, &context);
    let place = format!("{}/", folder.path().display());
    let said = warnings.iter().map(|it| format!("warning: {it}"));
    let said = said.chain(problems.iter().map(|it| format!("problem: {it}")));
    (configuration, said.map(|it| it.replace(&place, "")).collect())
}

fn good(spec: &str) -> Configuration {
    let (configuration, said) = load_texts(&[&format!("{HEAD}{spec}")]);
    assert_eq!(said, Vec::<String>::new());
    configuration
}

fn said(spec: &str) -> String {
    load_texts(&[&format!("{HEAD}{spec}")]).1.join("\n")
}

/// `file:6:27: message` as `file:6: message`.
fn without_column(line: &str) -> String {
    let (place, message) = line.split_once(":6:").unwrap();
    format!(
        "{place}:6:{}",
        message.trim_start_matches(|it: char| it.is_ascii_digit()).trim_start_matches(':')
    )
}

#[test]
fn without_files_everything_is_as_it_usually_is() {
    let Loaded { configuration, problems, .. } = load(&[], &Context::default());
    assert_eq!(configuration, Configuration::default());
    assert!(problems.is_empty() && configuration.hot_reload && configuration.metrics.enabled);
}

#[test]
fn everything_that_concerns_state_is_read() {
    let it = good(
        "  tracing:
    samplingRate: \"1\"
    stdout: true
    zipkin: {endpointAddress: 'http://localhost:9411/api/v2/spans'}
    otel: {endpointAddress: 'localhost:4317', isSecure: false, protocol: grpc, headers: ['k=v'], timeout: 500}
  metrics:
    enabled: false
    recordErrorCodes: true
    latencyDistributionBuckets: [1, 5, 25]
    http: {increasedCardinality: false, pathMatching: ['/v1.0/state/{store}'], excludeVerbs: true}
  features: [{name: HotReload, enabled: false}, {name: ActorStateTTL, enabled: true}]
  api:
    allowed: [{name: state, version: v1.0, protocol: http}]
    denied: [{name: shutdown, version: v1, protocol: grpc}]
  components: {deny: [state.in-memory, state.redis/v1]}
  logging: {apiLogging: {enabled: true, obfuscateURLs: true, omitHealthChecks: true}}
  secrets: {scopes: [{storeName: s, defaultAccess: deny, allowedSecrets: [a], deniedSecrets: [b]}]}
",
    );
    let rule = |name: &str, version: &str, protocol| ApiRule {
        name: name.to_owned(),
        version: version.to_owned(),
        protocol,
    };
    assert_eq!(it.api.allowed, [rule("state", "v1.0", Protocol::Http)]);
    assert_eq!(it.api.denied, [rule("shutdown", "v1", Protocol::Grpc)]);
    assert!(!it.hot_reload && !it.metrics.enabled && it.metrics.record_error_codes);
    assert_eq!(it.metrics.latency_buckets_ms, [1, 5, 25]);
    assert!(!it.metrics.increased_cardinality && it.metrics.exclude_verbs);
    assert_eq!(it.metrics.path_matching, ["/v1.0/state/{store}"]);
    assert_eq!(it.tracing.sampling_rate, Some(1.0));
    assert_eq!(it.tracing.zipkin.as_deref(), Some("http://localhost:9411/api/v2/spans"));
    let otel = it.tracing.otel.unwrap();
    assert_eq!((otel.protocol, otel.timeout_ms), (Protocol::Grpc, Some(500)));
    assert_eq!(otel.headers, [("k".to_owned(), "v".to_owned())]);
    assert!(it.tracing.stdout && !otel.is_secure && it.api_logging.obfuscate_urls);
    assert_eq!(it.denied_components, ["state.in-memory", "state.redis/v1"]);
    assert!(!it.secret_scopes[0].allowed_by_default);
}

#[test]
fn later_files_replace_the_fields_that_they_have() {
    let first = format!(
        "{HEAD}  features: [{{name: HotReload, enabled: false}}]\n  components: {{deny: [a, b]}}\n  metric: {{enabled: false}}\n"
    );
    let second =
        format!("{HEAD}  components: {{deny: [c]}}\n  metrics: {{recordErrorCodes: true}}\n");
    let (it, said) = load_texts(&[&first, &second]);
    assert!(said.is_empty(), "{said:?}");
    assert!(!it.hot_reload && !it.metrics.enabled && it.metrics.record_error_codes);
    assert_eq!(it.denied_components, ["c"]);
}

#[test]
fn environment_variables_are_put_in() {
    assert_eq!(good("  tracing: {samplingRate: \"$RATE\"}\n").tracing.sampling_rate, Some(0.5));
    assert_eq!(good("  tracing: {samplingRate: \"${RATE}\"}\n").tracing.sampling_rate, Some(0.5));
    let it = good("  # costs $NOTHING\n  components: {deny: ['a$', '$1', '${']}\n");
    assert_eq!(it.denied_components, ["a$", "$1", "${"]);
    assert!(
        said("  tracing: {samplingRate: $NONE}\n")
            .contains("problem: 0.yaml:6:1: the environment variable `NONE` is not set")
    );
    assert!(said("  components: {deny: [$LINES]}\n").contains("`LINES` has control characters"));
}

#[test]
fn mistakes_have_a_place_and_a_remedy() {
    let table = [
        (
            "  tracing: {samplingRate: 2}\n",
            "problem: 0.yaml:6: `spec.tracing.samplingRate` is not a number from 0 to 1; write \"1\" to trace every request, \"0\" for none",
        ),
        (
            "  trasing: {}\n",
            "problem: 0.yaml:6: `spec` has no field `trasing`; did you mean `tracing`?",
        ),
        ("  httpPipeline: {}\n", "warning: 0.yaml:6: `spec.httpPipeline` has no effect on state"),
        ("  something: {}\n", "warning: 0.yaml:6: `spec` has no field `something`; it is ignored"),
        (
            "  api: {allowed: [{name: state, version: v1}]}\n",
            "problem: 0.yaml:6: a rule of `spec.api.allowed` has no `protocol`; write `protocol: http` or `protocol: grpc`",
        ),
        (
            "  api: {allowed: {name: state}}\n",
            "problem: 0.yaml:6: `spec.api.allowed` should be a list, not a mapping; begin each of its items with `- `",
        ),
        (
            "  metrics: {enabled: maybe}\n",
            "problem: 0.yaml:6: `spec.metrics.enabled` should be true or false, not text; write `true` or `false`",
        ),
        (
            "  metrics: {latencyDistributionBuckets: [5, 1]}\n",
            "problem: 0.yaml:6: `spec.metrics.latencyDistributionBuckets` should grow from each bound to the next; write milliseconds in rising order, such as [1, 5, 25]",
        ),
        (
            "  secrets: {scopes: [{storeName: a}, {storeName: a}]}\n",
            "problem: 0.yaml:6: there are two scopes for the secret store `a`; make one of them",
        ),
        (
            "  secrets: {scopes: [{storeName: a, defaultAccess: no}]}\n",
            "problem: 0.yaml:6: `spec.secrets.scopes.defaultAccess` is neither allow nor deny; write one of them",
        ),
        (
            "  tracing: 1\n",
            "problem: 0.yaml:6: `spec.tracing` should be a mapping, not a number; indent its fields below it",
        ),
    ];
    for (spec, expected) in table {
        assert_eq!(without_column(&said(spec)), expected);
    }
}

#[test]
fn files_that_are_no_configuration_are_refused() {
    let component = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: a}\n";
    let (_, said) = load_texts(&[
        component,
        "",
        "a: [",
        &format!("{HEAD}  api: {{}}\n---\nkind: Configuration\n"),
    ]);
    let beginnings = [
        "warning: 3.yaml:8:1: only the first document of a configuration file counts",
        "problem: 0.yaml:1:1: this is of kind `Component`, not a configuration",
        "problem: 1.yaml: the file is empty",
        "problem: 2.yaml:",
    ];
    assert_eq!(said.len(), beginnings.len(), "{said:#?}");
    for (line, beginning) in said.iter().zip(beginnings) {
        assert!(line.starts_with(beginning), "{line}");
    }
    let absent = load(&["/does/not/exist.yaml".into()], &Context::default());
    assert!(absent.problems[0].to_string().contains("cannot be opened"), "{:?}", absent.problems);
}
