use std::sync::Mutex;

use super::*;
use crate::secrets::{NotOpened, SecretStores, open};

/// A cluster that is a table, and keeps count of what it is asked.
#[derive(Default)]
struct Cluster {
    secrets: BTreeMap<(&'static str, &'static str), Secret>,
    pod: Option<&'static str>,
    refusal: Option<SecretRefusal>,
    asked: Mutex<Vec<String>>,
}

impl SecretSource for Cluster {
    fn read(&self, namespace: &str, name: &str) -> Result<Secret, SecretRefusal> {
        self.asked.lock().unwrap().push(format!("{namespace}/{name}"));
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let found = self.secrets.iter().find(|(it, _)| **it == (namespace, name));
        found.map(|(_, it)| it.clone()).ok_or_else(|| SecretRefusal {
            message: format!("there is no Secret `{name}` in `{namespace}`"),
            hint: "create it".to_owned(),
            is_unreachable: false,
        })
    }

    fn namespace(&self) -> Option<String> {
        self.pod.map(str::to_owned)
    }
}

fn cluster() -> Cluster {
    let values = [("password", &b"hunter2"[..]), ("empty", b""), ("binary", b"hunter\xff")];
    let values = values.map(|(key, value)| (key.to_owned(), value.to_vec()));
    Cluster {
        secrets: [(("prod", "redis"), values.into()), (("test", "redis"), Secret::default())]
            .into(),
        ..Cluster::default()
    }
}

fn context(cluster: Cluster, environment: &[(&str, &str)]) -> (Arc<Cluster>, Context) {
    let cluster = Arc::new(cluster);
    let kubernetes = Kubernetes { secrets: cluster.clone(), has_built_in_store: true };
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment = environment.iter().map(owned).collect();
    (cluster, Context { environment, kubernetes: Some(kubernetes), ..Context::default() })
}

fn get(context: &Context, namespace: Option<&str>, secret: &str, key: &str) -> String {
    let stores = SecretStores::built_in(context);
    let reference = Reference { store: BUILT_IN, secret, key, namespace };
    stores.get(&reference, context).unwrap_or_else(|e| format!("{}; {}", e.message, e.hint))
}

#[test]
fn a_value_is_found_by_name_and_key_or_its_absence_explained() {
    let (_, context) = context(cluster(), &[("NAMESPACE", "prod")]);
    let check = |secret, key| get(&context, None, secret, key);
    assert_eq!(check("redis", "password"), "hunter2");
    assert_eq!(
        check("redis", "pasword"),
        "Secret `redis` of the namespace `prod` has no key `pasword`; did you mean `password`?"
    );
    assert_eq!(
        check("redis", "redis"),
        "Secret `redis` of the namespace `prod` has no key `redis`; write `key` below \
         `secretKeyRef`"
    );
    assert_eq!(
        check("redis", "empty"),
        "key `empty` of the Secret `redis` is empty; write `value: \"\"` if nothing is meant"
    );
    assert_eq!(check("redis", "binary"), "key `binary` of the Secret `redis` is not UTF-8 text; ");
    assert_eq!(
        check("mysql", "a"),
        "secret store `kubernetes`: there is no Secret `mysql` in `prod`; create it"
    );
}

#[test]
fn the_namespace_is_the_components_own_or_the_sidecars_or_the_stores_or_the_pods() {
    for (component, variable, default, pod, expected) in [
        (Some("prod"), "test", "test", Some("test"), "hunter2"),
        (None, "prod", "test", Some("test"), "hunter2"),
        (Some(""), "", "prod", Some("test"), "hunter2"),
        (None, "", "", Some("prod"), "hunter2"),
        (
            None,
            "",
            "",
            None,
            "nothing says which namespace secret `redis` is in; set the environment variable \
             `NAMESPACE`",
        ),
    ] {
        let cluster = Cluster { pod, ..cluster() };
        let (_, context) = context(cluster, &[("NAMESPACE", variable)]);
        let properties = [("defaultNamespace", default)].into_iter().collect();
        let opened = open("SecretStores.Kubernetes", &properties, &context);
        let Ok(store) = opened else { panic!("{expected}") };
        let mut stores = SecretStores::default();
        stores.open("vault".to_owned(), store);
        let reference =
            Reference { store: "vault", secret: "redis", key: "password", namespace: component };
        let found = stores.get(&reference, &context);
        let found = found.unwrap_or_else(|e| format!("{}; {}", e.message, e.hint));
        assert_eq!(found, expected);
    }
}

#[test]
fn names_that_would_lead_elsewhere_are_not_asked_for() {
    let (cluster, context) = context(cluster(), &[("NAMESPACE", "prod")]);
    for name in ["../../pods", "a/b", "a?b", "", ".", "..", "A", "a_b", "-a", "é", &"a".repeat(254)]
    {
        let answer = get(&context, None, name, "password");
        assert!(answer.starts_with("no Secret of Kubernetes can be called"), "{answer}");
        if !name.is_empty() {
            let answer = get(&context, Some(name), "redis", "password");
            assert!(answer.starts_with("no namespace of Kubernetes can be called"), "{answer}");
        }
    }
    assert!(cluster.asked.lock().unwrap().is_empty());
    get(&context, None, "a.b-c.9", "password");
    assert_eq!(*cluster.asked.lock().unwrap(), ["prod/a.b-c.9"]);
}

#[test]
fn a_secret_is_asked_for_once_and_a_source_out_of_reach_only_once() {
    let check = |cluster: Cluster| {
        let (cluster, context) = context(cluster, &[("NAMESPACE", "prod")]);
        let stores = SecretStores::built_in(&context);
        for (secret, key) in [("redis", "password"), ("redis", "empty"), ("a", "b"), ("a", "c")] {
            let reference = Reference { store: BUILT_IN, secret, key, namespace: None };
            let _ = stores.get(&reference, &context);
        }
        cluster.asked.lock().unwrap().join(" ")
    };
    assert_eq!(check(cluster()), "prod/redis prod/a");
    let refusal = |is_unreachable| {
        let (message, hint) = ("no".to_owned(), "none".to_owned());
        Some(SecretRefusal { message, hint, is_unreachable })
    };
    assert_eq!(check(Cluster { refusal: refusal(false), ..cluster() }), "prod/redis prod/a");
    assert_eq!(check(Cluster { refusal: refusal(true), ..cluster() }), "prod/redis");
}

#[test]
fn what_cannot_be_done_here_is_said() {
    let check = |settings: &[(&str, &str)], context: &Context| match open(
        TYPE,
        &settings.iter().copied().collect(),
        context,
    ) {
        Err(NotOpened::Unusable(reason)) => reason,
        _ => panic!("it is usable"),
    };
    let (_, inside) = context(cluster(), &[]);
    let reason = check(&[("kubeconfigPath", "/home/a/.kube/config")], &inside);
    assert!(reason.starts_with("`kubeconfigPath` is not supported"), "{reason}");
    let reason = check(&[], &Context::default());
    assert!(reason.starts_with("this sidecar does not run in a pod"), "{reason}");
}

#[test]
fn a_store_that_is_switched_off_says_so() {
    let (_, mut context) = context(cluster(), &[("NAMESPACE", "prod")]);
    context.kubernetes.as_mut().unwrap().has_built_in_store = false;
    assert_eq!(
        get(&context, None, "redis", "password"),
        "the secret store `kubernetes` cannot be used: it is switched off by \
         `--disable-builtin-k8s-secret-store`; name another with `auth: {secretStore: <name>}`; "
    );
}
