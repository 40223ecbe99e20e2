use std::fs;

use super::*;
use crate::{Context, load};

const HEAD: &str = "apiVersion: dapr.io/v1alpha1\nkind: Component\n";

#[test]
fn every_component_is_listed_with_what_it_is_to_the_application() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = directory.path().join("secrets.json");
    fs::write(&secrets, "{}").unwrap();
    let text = [
        format!(
            "{HEAD}metadata: {{name: mine}}\nspec: {{type: state.redis, version: v1}}\nscopes: [a, shop]\n"
        ),
        format!("{HEAD}metadata: {{name: theirs}}\nspec: {{type: state.redis}}\nscopes: [a]\n"),
        format!("{HEAD}metadata: {{name: topics}}\nspec: {{type: pubsub.redis, version: v1}}\n"),
        format!("{HEAD}metadata: {{name: wrong}}\nspec: {{version: v1}}\n"),
        format!(
            "{HEAD}metadata: {{name: secrets}}\nspec:\n  type: secretstores.local.file\n  metadata:\n  - name: secretsFile\n    \
             value: {secrets:?}\n"
        ),
        "kind: Configuration\n".to_owned(),
    ];
    let file = directory.path().join("all.yaml");
    fs::write(&file, text.join("---\n")).unwrap();
    let context = Context { app_id: "shop".to_owned(), ..Context::default() };
    let resources = load(&[directory.path().to_owned()], &context);
    let listed: Vec<_> = resources.listed.iter().map(|it| (&*it.name, &it.standing)).collect();
    assert_eq!(
        listed,
        [
            ("mine", &Standing::StateStore),
            ("theirs", &Standing::Skipped(SkipReason::OutOfScope)),
            ("topics", &Standing::Skipped(SkipReason::NotAStateStore)),
            ("wrong", &Standing::Wrong),
            ("secrets", &Standing::SecretStore),
        ]
    );
    let Listed { component_type, version, scopes, source, .. } = &resources.listed[0];
    assert_eq!((&**component_type, &**version), ("state.redis", "v1"));
    assert_eq!(scopes, &["a", "shop"]);
    assert_eq!(source, &resources.components[0].source);
    assert_eq!(resources.secret_files, [secrets]);
}
