//! Applications that share a database, and the prefixes that keep them apart.

use std::{mem::discriminant, sync::Arc};

use bytes::Bytes;
use state::{Key, Read, Store, Write};
use state_config::{Context, KeyPrefix};
use state_layers::{Plan, stack};

use crate::{components::load_file, recorded::Recorded, sidecar::block_on};

/// Less than any store takes, also for the key of one application behind the prefix of another.
const KEY_LEN_MAX: usize = 1000;

/// An application with a database that it shares with others, and a key of its own.
#[derive(Debug)]
struct Application<'a> {
    key_prefix: &'a str,
    app_id: &'a str,
    namespace: Option<&'a str>,
    component: &'a str,
    key: &'a str,
}

/// Under one strategy, different prefixes or keys are different in the store: neither application
/// can read, replace or list what the other has.
///
/// The input has ten lines: `keyPrefix`, app id, namespace, component and key of two applications.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let (one, other) = (Application::read(&mut lines), Application::read(&mut lines));
    let (Ok(key), Ok(other_key)) = (Key::new(one.key), Key::new(other.key)) else { return };
    let (Some((strategy, prefix)), Some((other_strategy, other_prefix))) =
        (one.prefix(), other.prefix())
    else {
        return;
    };
    // Applications with different strategies may share keys, and say so.
    if discriminant(&strategy) != discriminant(&other_strategy) {
        return;
    }
    let (stored, other_stored) = (key.prefixed(&prefix), other_key.prefixed(&other_prefix));
    assert_eq!(stored.strip_prefix(&prefix).as_ref(), Some(&key));
    // The store takes none that are longer.
    if [&stored, &other_stored].iter().any(|it| it.as_str().len() > KEY_LEN_MAX) {
        return;
    }
    let same = prefix == other_prefix && key == other_key;
    assert_eq!(stored == other_stored, same, "{stored:?} is {prefix:?} and {other_prefix:?}");
    if !same {
        block_on(check_apart((prefix, key), (other_prefix, other_key)));
    }
}

async fn check_apart((prefix, key): (String, Key), (other_prefix, other_key): (String, Key)) {
    let database = Recorded::memory().await;
    let open = |key_prefix: &str| {
        let plan = Plan {
            component: "statestore".to_owned(),
            key_prefix: key_prefix.to_owned(),
            ..Plan::default()
        };
        stack(database.clone(), plan)
    };
    let (one, other) = (open(&prefix), open(&other_prefix));
    put(&one, &key, "mine").await;
    put(&other, &other_key, "yours").await;
    assert_eq!(get(&one, &key).await, Some(Bytes::from("mine")));
    assert_eq!(get(&other, &other_key).await, Some(Bytes::from("yours")));
    if prefix != other_prefix {
        assert_eq!(get(&other, &key).await, (key == other_key).then(|| Bytes::from("yours")));
        let listed = one.list("", None, 10).await.expect("memory can list");
        assert_eq!(listed.keys, [key], "{prefix:?} lists keys of {other_prefix:?}");
    }
}

async fn put(store: &Arc<dyn Store>, key: &Key, value: &'static str) {
    let write = Write::put(key.clone(), Bytes::from_static(value.as_bytes()));
    store.write(&write).await.expect("the key is short");
}

async fn get(store: &Arc<dyn Store>, key: &Key) -> Option<Bytes> {
    let item = store.get(&Read::new(key.clone())).await.expect("memory can read");
    item.map(|it| it.value)
}

impl<'a> Application<'a> {
    fn read(lines: &mut impl Iterator<Item = &'a str>) -> Application<'a> {
        let mut next = || lines.next().unwrap_or_default();
        Application {
            key_prefix: next(),
            app_id: next(),
            namespace: Some(next()).filter(|it| !it.is_empty()),
            component: next(),
            key: next(),
        }
    }

    /// What stands before its keys, and why. `None` if no sidecar would start like this.
    fn prefix(&self) -> Option<(KeyPrefix, String)> {
        // Source: `check_app_id` of the program.
        let good = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_';
        if self.app_id.is_empty() || !self.app_id.chars().all(good) {
            return None;
        }
        // JSON is YAML.
        let file = serde_json::json!({
            "apiVersion": "dapr.io/v1alpha1",
            "kind": "Component",
            "metadata": { "name": self.component },
            "spec": {
                "type": "state.in-memory",
                "metadata": [{ "name": "keyPrefix", "value": self.key_prefix }],
            },
        });
        let context = Context {
            app_id: self.app_id.to_owned(),
            namespace: self.namespace.map(str::to_owned),
            ..Context::default()
        };
        let loaded = load_file(file.to_string().as_bytes(), &context);
        let component = loaded.components.into_iter().next()?;
        let prefix = component.key_prefix.resolve(self.app_id, &component.name, self.namespace);
        Some((component.key_prefix, prefix))
    }
}
