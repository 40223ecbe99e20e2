//! Secret stores, scopes, lists of what is denied, and what is left of components that may fail.

use std::{collections::BTreeMap, sync::Arc};

use super::{MEMORY, VAULT, context, load_files, render, with_metadata};
use crate::{
    Context, Kubernetes, Rejected, Secret, SecretRefusal, SecretSource, SkipReason,
    configuration::SecretScope,
};

/// One secret in one namespace.
struct Cluster;

impl SecretSource for Cluster {
    fn read(&self, namespace: &str, name: &str) -> Result<Secret, SecretRefusal> {
        match (namespace, name) {
            ("prod", "redis") => Ok([("password".to_owned(), b"hunter2".to_vec())].into()),
            _ => Err(SecretRefusal {
                message: format!("there is no Secret `{name}` in the namespace `{namespace}`"),
                hint: "create it".to_owned(),
                is_unreachable: false,
            }),
        }
    }

    fn namespace(&self) -> Option<String> {
        None
    }
}

fn in_kubernetes(has_built_in_store: bool) -> Context {
    let kubernetes = Kubernetes { secrets: Arc::new(Cluster), has_built_in_store };
    let environment = BTreeMap::from([("NAMESPACE".to_owned(), "prod".to_owned())]);
    Context { kubernetes: Some(kubernetes), environment, ..context() }
}

fn lines(files: &[(&str, &str)], context: &Context) -> Vec<String> {
    let (directory, resources) = load_files(files, context);
    render(&directory, &resources)
}

const REFERENCE: &str = "  - {name: p, secretKeyRef: {name: redis, key: password}}";

#[test]
fn in_kubernetes_a_component_that_names_no_secret_store_means_the_clusters() {
    let unnamed = with_metadata(REFERENCE).replace("auth: {secretStore: vault}\n", "");
    let context = in_kubernetes(true);
    assert_eq!(lines(&[("f.yaml", &unnamed)], &context), ["store state.redis: p=hunter2"]);
    let named = with_metadata(REFERENCE).replace("vault", "kubernetes");
    assert_eq!(lines(&[("f.yaml", &named)], &context), ["store state.redis: p=hunter2"]);
    assert_eq!(
        lines(&[("f.yaml", &unnamed)], &super::context()),
        ["problem: f.yaml:7:5: metadata field `p`: the component does not say which secret store \
          `redis` is in; write `auth: {secretStore: <name>}` at the top level"]
    );
    let missing = unnamed.replace("name: redis", "name: redsi");
    assert_eq!(
        lines(&[("f.yaml", &missing)], &context),
        ["problem: f.yaml:7:5: metadata field `p`: secret store `kubernetes`: there is no Secret \
          `redsi` in the namespace `prod`; create it"]
    );
    let off = lines(&[("f.yaml", &unnamed)], &in_kubernetes(false));
    assert!(off[0].contains("it is switched off by"), "{off:?}");
}

#[test]
fn a_component_may_be_the_clusters_secret_store_under_any_name() {
    let vault = VAULT.1.replace("local.env", "kubernetes");
    let text = with_metadata(REFERENCE);
    for has_built_in_store in [true, false] {
        let context = in_kubernetes(has_built_in_store);
        let found = lines(&[("f.yaml", &text), ("v.yaml", &vault)], &context);
        assert_eq!(found, ["store state.redis: p=hunter2"]);
        let (text, vault) =
            (text.replace("vault", "kubernetes"), vault.replace("vault", "kubernetes"));
        let found = lines(&[("f.yaml", &text), ("v.yaml", &vault)], &context);
        assert_eq!(found, ["store state.redis: p=hunter2"]);
    }
    let outside = lines(&[("f.yaml", &text), ("v.yaml", &vault)], &context());
    assert_eq!(
        outside,
        [
            "warning: v.yaml:1:1: the secret store `vault` cannot be used: this sidecar does not \
             run in a pod of Kubernetes, where `KUBERNETES_SERVICE_HOST` is set",
            "problem: f.yaml:7:5: metadata field `p`: the secret store `vault` cannot be used: \
             this sidecar does not run in a pod of Kubernetes, where `KUBERNETES_SERVICE_HOST` is \
             set",
        ]
    );
}

#[test]
fn another_component_of_its_name_does_not_hide_the_built_in_secret_store() {
    let text = with_metadata(REFERENCE).replace("auth: {secretStore: vault}\n", "");
    let pubsub = MEMORY.replace("state.in-memory", "pubsub.redis").replace("store", "kubernetes");
    let found = lines(&[("f.yaml", &text), ("p.yaml", &pubsub)], &in_kubernetes(true));
    assert_eq!(
        found,
        ["skipped kubernetes: it is not a state store", "store state.redis: p=hunter2"]
    );
}

#[test]
fn a_component_may_use_a_secret_that_its_application_may_not_have() {
    let scopes = |scope: SecretScope| Context { secret_scopes: vec![scope], ..context() };
    let text = with_metadata("  - {name: p, secretKeyRef: {name: REDIS_PASSWORD}}");
    let files = [("f.yaml", text.as_str()), VAULT];
    let scope = SecretScope {
        store_name: "vault".to_owned(),
        allowed_by_default: true,
        allowed_secrets: vec![],
        denied_secrets: vec!["REDIS_PASSWORD".to_owned()],
    };
    assert_eq!(
        lines(&files, &scopes(scope.clone())),
        [
            "warning: f.yaml:7:5: metadata field `p`: the secret scopes keep secret \
             `REDIS_PASSWORD` of `vault` from the application, but its components use it; if the \
             application may have it: remove it from `deniedSecrets` in the `Configuration`",
            "store state.redis: p=hunter2"
        ]
    );
    let scope = SecretScope { allowed_by_default: false, denied_secrets: vec![], ..scope };
    assert_eq!(
        lines(&files, &scopes(scope.clone())),
        [
            "warning: f.yaml:7:5: metadata field `p`: the secret scopes keep secret \
             `REDIS_PASSWORD` of `vault` from the application, but its components use it; if the \
             application may have it: `defaultAccess` is `deny`: add it to `allowedSecrets` in the \
             `Configuration`",
            "store state.redis: p=hunter2"
        ]
    );
    let scope = SecretScope { allowed_secrets: vec!["REDIS_PASSWORD".to_owned()], ..scope };
    assert_eq!(lines(&files, &scopes(scope)), ["store state.redis: p=hunter2"]);
}

#[test]
fn a_denied_type_is_passed_over_with_a_warning_in_daprs_words() {
    let check = |denied: &str, component_type: &str, version: &str| {
        let context = Context { denied_types: vec![denied.to_owned()], ..context() };
        let version =
            if version.is_empty() { String::new() } else { format!(", version: {version}") };
        let spec = format!("spec: {{type: {component_type}{version}}}");
        let text = MEMORY.replace("spec: {type: state.in-memory}", &spec);
        let (directory, resources) = load_files(&[("f.yaml", &text)], &context);
        let denied: Vec<_> = resources.skipped.iter().map(|it| it.reason.clone()).collect();
        assert_eq!(denied.len() + resources.components.len(), 1);
        (denied == [SkipReason::Denied], render(&directory, &resources))
    };
    for (denied, component_type, version) in [
        ("state.redis", "state.redis", "v1"),
        ("State.Redis", "state.redis", ""),
        ("state.redis", "STATE.REDIS", "v2"),
        ("state.redis/V1", "state.Redis", "v1"),
        ("state.redis/v1", "state.redis", ""),
        ("state.redis/v0", "state.redis", "v1"),
    ] {
        let (is_denied, lines) = check(denied, component_type, version);
        assert!(is_denied, "{lines:?}");
        let expected = format!(
            "warning: f.yaml:1:1: component 'store' cannot be loaded because components of type \
             'store ({component_type}/{version})' are not allowed; `spec.components.deny` of the \
             `Configuration` names the type"
        );
        assert_eq!(lines[0], expected);
    }
    // Also without a version, which would be dropped in silence elsewhere.
    for (denied, component_type, version) in [
        ("state.redis", "state.in-memory", ""),
        ("state.redis/v2", "state.redis", "v1"),
        ("state.redis/v2", "state.redis", ""),
        ("", "state.redis", "v1"),
    ] {
        assert!(!check(denied, component_type, version).0, "{denied} {component_type} {version}");
    }
}

#[test]
fn a_denied_secret_store_says_so_to_those_who_ask_it() {
    let text = with_metadata("  - {name: p, secretKeyRef: {name: REDIS_PASSWORD}}");
    let context = Context { denied_types: vec!["secretstores.local.env".to_owned()], ..context() };
    let lines = lines(&[("f.yaml", &text), VAULT], &context);
    let expected = "problem: f.yaml:7:5: metadata field `p`: the secret store `vault` cannot be \
                    used: components of its type are not allowed";
    assert!(lines.iter().any(|it| it == expected), "{lines:?}");
}

#[test]
fn a_component_without_its_secret_store_is_never_dropped_in_silence() {
    let text = with_metadata("  - {name: p, secretKeyRef: {name: REDIS_PASSWORD}}");
    let (_directory, resources) = load_files(&[("f.yaml", &text)], &context());
    assert_eq!((resources.components.len(), resources.problems.len()), (0, 1));
    assert_eq!(resources.rejected, []);
    assert!(!resources.problems[0].ignorable);

    let text = text.replace("  type:", "  ignoreErrors: true\n  version: V1\n  type:");
    let (directory, resources) = load_files(&[("f.yaml", &text)], &context());
    assert!(resources.problems[0].ignorable);
    let place = format!("{}/", directory.path().display());
    let rejected: Vec<_> = resources.rejected.into_iter().collect();
    let [Rejected { name, component_type, version, reason }] = &rejected[..] else {
        panic!("{rejected:?}")
    };
    assert_eq!(
        (name.as_str(), component_type.as_str(), version.as_str()),
        ("store", "state.redis", "v1")
    );
    assert_eq!(
        reason.replace(&place, ""),
        "f.yaml:9:5: metadata field `p`: there is no secret store `vault`; add one, of type \
         `secretstores.local.file` or `secretstores.local.env`"
    );
}

#[test]
fn whatever_is_wrong_with_a_component_that_may_fail_is_left_of_it() {
    let check = |text: &str| {
        let (directory, resources) = load_files(&[("f.yaml", text)], &context());
        let place = format!("{}/", directory.path().display());
        let line = |it: Rejected| format!("{} {} {}", it.name, it.component_type, it.reason);
        resources.rejected.into_iter().map(|it| line(it).replace(&place, "")).collect::<Vec<_>>()
    };
    let ignoring = MEMORY.replace("spec: {", "spec: {ignoreErrors: true, ");
    assert_eq!(check(&ignoring), Vec::<String>::new());
    assert_eq!(
        check(&ignoring.replace("state.in-memory", "redis")),
        ["store redis f.yaml:4:34: `spec.type` is `redis`, which does not say what it is a type \
          of; if it is a state store, write `type: state.redis`"]
    );
    assert_eq!(
        check(&ignoring.replace("type: state.in-memory", "typ: state.in-memory, metdata: []")),
        [
            "store  f.yaml:4:7: `spec.type` is missing; write `type: state.redis`, with the store of \
          your choice; f.yaml:4:28: `spec` has no field `typ`; did you mean `type`?; f.yaml:4:50: \
          `spec` has no field `metdata`; did you mean `metadata`?"
        ]
    );
    // Neither what must not fail, nor what is no state store, nor what is for others.
    assert_eq!(check(&MEMORY.replace("state.in-memory", "redis")), Vec::<String>::new());
    let secrets = ignoring.replace("state.in-memory", "secretstores.local.file");
    assert_eq!(check(&secrets), Vec::<String>::new());
    assert_eq!(
        check(&format!("{}scopes: [other]\n", ignoring.replace("state.", ""))),
        Vec::<String>::new()
    );
}
