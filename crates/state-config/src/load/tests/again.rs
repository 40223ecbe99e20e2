//! What is loaded once more: the same files give the same components.

use super::{MEMORY, context, load_files, with_metadata};
use crate::{Component, Context};

fn component(text: &str, context: &Context) -> Component {
    let (_directory, mut resources) = load_files(&[("f.yaml", text)], context);
    assert_eq!(resources.problems, []);
    resources.components.remove(0)
}

#[test]
fn a_uuid_stays_the_same_in_one_process_and_differs_by_place() {
    let text = with_metadata(
        "  - {name: a, value: \"{uuid}/{uuid}\"}
  - {name: b, value: \"{uuid}\"}",
    );
    let uuids = |text: &str, context: &Context| {
        let component = component(text, context);
        let values = ["a", "b"].map(|it| component.properties.get(it).unwrap().to_owned());
        values.join("/").split('/').map(str::to_owned).collect::<Vec<_>>()
    };
    let context = context();
    let first = uuids(&text, &context);
    assert_eq!(first, uuids(&text, &context.clone()));
    // Where a field is written does not matter.
    assert_eq!(first, uuids(&text.replace("  - {name: b", "\n  - {name: b"), &context));

    let other_component = uuids(&text.replace("name: store", "name: other"), &context);
    let other_process = uuids(&text, &super::context());
    let mut all = [first, other_component, other_process].concat();
    for it in &all {
        let uuid = uuid::Uuid::parse_str(it).unwrap();
        assert_eq!((uuid.get_version_num(), uuid.get_variant()), (4, uuid::Variant::RFC4122));
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 9);
}

#[test]
fn a_process_has_one_seed() {
    let text = with_metadata("  - {name: a, value: \"{uuid}\"}");
    let [first, second] =
        [(), ()].map(|()| component(&text, &Context::from_process("shop")).properties);
    assert!(first.is_same_as(&second));
}

#[test]
fn a_component_is_the_same_wherever_it_is_written() {
    let context = context();
    let text = with_metadata("  - {name: a, value: \"{uuid}\"}\n  - {name: b, value: 1}");
    let text = text.replace("auth: {secretStore: vault}\n", "");
    let first = component(&text, &context);
    let moved = format!("# moved\n\n{}", text.replace("name: b", "name: B"));
    let moved = component(&moved, &context);
    assert_ne!(first, moved);
    assert!(first.is_same_as(&moved) && moved.is_same_as(&first));

    for (from, to) in [
        ("name: store", "name: stores"),
        ("state.redis", "state.in-memory"),
        ("  type:", "  version: v1\n  type:"),
        ("  type:", "  ignoreErrors: true\n  type:"),
        ("  type:", "  initTimeout: 6s\n  type:"),
        ("value: 1", "value: 2"),
        ("  - {name: b, value: 1}", ""),
        ("{name: b, value: 1}", "{name: c, value: 1}"),
        ("{name: b, value: 1}", "{name: keyPrefix, value: name}"),
        ("value: 1}", "value: 1}\n  - {name: c, value: 1}"),
    ] {
        let changed = component(&text.replace(from, to), &context);
        assert!(!first.is_same_as(&changed), "{to}");
    }
    assert!(component(MEMORY, &context).is_same_as(&component(MEMORY, &context)));
}
