use std::{fs, time::Duration};

use tempfile::TempDir;

use super::{Resources, load};
use crate::{Context, KeyPrefix, SkipReason};

mod again;
mod secrets;
mod texts;

/// Loads files with these names and texts from a directory of their own.
fn load_files(files: &[(&str, &str)], context: &Context) -> (TempDir, Resources) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let resources = load(&[directory.path().to_owned()], context);
    (directory, resources)
}

fn context() -> Context {
    let variables = [
        ("POD_NAME", "pod-7"),
        ("REDIS_PASSWORD", "hunter2"),
        ("APP_HOST", "redis:6379"),
        ("EMPTY", ""),
        ("DAPR_API_TOKEN", "hunter3"),
        ("APP_API_TOKEN", "hunter4"),
    ];
    Context {
        app_id: "shop".to_owned(),
        namespace: Some("prod".to_owned()),
        environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..Context::default()
    }
}

/// One line for everything found: warnings, problems, what was skipped, and components.
fn render(directory: &TempDir, resources: &Resources) -> Vec<String> {
    let place = format!("{}/", directory.path().display());
    let mut lines = Vec::new();
    lines.extend(resources.warnings.iter().map(|it| format!("warning: {it}")));
    lines.extend(resources.problems.iter().map(|it| format!("problem: {it}")));
    lines.extend(resources.skipped.iter().map(|it| format!("skipped {}: {}", it.name, it.reason)));
    for it in &resources.components {
        let properties: Vec<_> = it
            .properties
            .names()
            .map(|name| format!("{name}={}", it.properties.get(name).unwrap()))
            .collect();
        lines.push(format!("{} {}: {}", it.name, it.component_type, properties.join(", ")));
    }
    lines.iter().map(|it| it.replace(&place, "").trim().to_owned()).collect()
}

fn check(files: &[(&str, &str)]) -> Vec<String> {
    let (directory, resources) = load_files(files, &context());
    render(&directory, &resources)
}

const MEMORY: &str = "apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: store}
spec: {type: state.in-memory}
";

/// A component with these lines of `spec.metadata`; its first line is line 7.
fn with_metadata(metadata: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {{name: store}}
spec:
  type: state.redis
  metadata:
{metadata}
auth: {{secretStore: vault}}
"
    )
}

const VAULT: (&str, &str) = (
    "0-vault.yaml",
    "apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: vault}
spec: {type: secretstores.local.env, version: v1}
",
);

#[test]
fn a_missing_directory_is_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("components");
    let resources = load(std::slice::from_ref(&missing), &context());
    let problem = &resources.problems[0];
    assert_eq!((&problem.file, problem.line), (&missing, None));
    assert!(problem.to_string().contains("components: the directory cannot be read"));
}

#[test]
fn only_yaml_files_directly_in_the_directory_count_and_in_order_of_name() {
    let directory = tempfile::tempdir().unwrap();
    for (file, name) in [("b.yaml", "b"), ("a.yml", "a"), ("c.txt", "c"), ("c.YAML", "d")] {
        let text = MEMORY.replace("store", name);
        fs::write(directory.path().join(file), text).unwrap();
    }
    fs::create_dir(directory.path().join("z.yaml")).unwrap();
    fs::write(directory.path().join("z.yaml").join("e.yaml"), MEMORY).unwrap();
    let resources = load(&[directory.path().to_owned()], &context());
    assert_eq!(
        render(&directory, &resources),
        ["a state.in-memory:", "b state.in-memory:", "d state.in-memory:"]
    );
}

#[test]
fn a_bad_document_does_not_hide_the_others_of_its_file() {
    let first = MEMORY.replace("store", "first");
    let last = MEMORY.replace("store", "last");
    let text = format!("# comment\n---\n{first}--- # bad\nkind: [\n---\n---\n{last}---\n");
    let (directory, resources) = load_files(&[("all.yaml", &text)], &context());
    assert_eq!(
        render(&directory, &resources),
        [
            "problem: all.yaml:8:7: this is not YAML: unclosed bracket '['; \
             close the bracket, or put the value in quotes",
            "first state.in-memory:",
            "last state.in-memory:",
        ]
    );
    assert_eq!(resources.components[0].source.line, 3);
    assert_eq!(resources.components[1].source.line, 11);
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_fine() {
    let text = format!("\u{feff}---\n{MEMORY}---\n").replace('\n', "\r\n");
    assert_eq!(check(&[("f.yaml", &text)]), ["store state.in-memory:"]);
}

#[test]
fn a_large_file_is_refused_and_the_others_are_read() {
    let large = format!("{MEMORY}#{}", "x".repeat(1024 * 1024));
    let lines = check(&[("a.yaml", &large), ("b.yaml", MEMORY)]);
    assert_eq!(
        lines,
        [
            "problem: a.yaml: the file is larger than 1 MiB; divide it into several",
            "store state.in-memory:"
        ]
    );
}

#[test]
fn a_file_that_is_not_text_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("f.yaml"), b"name: \xff").unwrap();
    let resources = load(&[directory.path().to_owned()], &context());
    assert_eq!(
        render(&directory, &resources),
        ["problem: f.yaml: the file is not UTF-8 text in line 1; save it as UTF-8"]
    );
}

#[test]
fn bombs_are_refused_at_once() {
    const REFUSED: &str = "the document has too many values, nested too deeply or repeated too \
                           often; write values out instead of repeating them with `*`";
    let mut laughs = "a0: &a0 [lol]\n".to_owned();
    for i in 1..30 {
        let before = vec![format!("*a{}", i - 1); 9].join(", ");
        laughs += &format!("a{i}: &a{i} [{before}]\n");
    }
    let many = format!("a: &a 1\nb: [{}]\n", vec!["*a"; 101].join(", "));
    let deep = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
    let wide = format!("a: [{}]", "1,".repeat(200_000));
    let endless = "a: &a [*a]\n".to_owned();
    for bomb in [laughs, many, deep, wide, endless] {
        let lines = check(&[("f.yaml", &format!("{bomb}\n---\n{MEMORY}"))]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].ends_with(REFUSED), "{lines:?}");
    }
}

#[test]
fn aliases_within_bounds_are_followed() {
    let text = with_metadata(
        "  - {name: redisHost, value: &host \"localhost:6379\"}
  - {name: sentinel, value: *host}",
    );
    assert_eq!(
        check(&[("f.yaml", &text)]),
        ["store state.redis: redisHost=localhost:6379, sentinel=localhost:6379"]
    );
}

#[test]
fn everything_a_component_says_is_taken_over() {
    let text = "apiVersion: dapr.io/v1alpha1
Kind: Component
metadata:
  name: 123
  namespace: prod
  labels: {app: shop}
spec:
  type: State.PostgreSQL
  version: V2
  initTimeout: 1m30s
  ignoreErrors: true
  metadata:
  - name: connectionString
    value: host=localhost
  - name: keyprefix
    value: name
scopes: [shop, other]
";
    let (_directory, resources) = load_files(&[("f.yaml", text)], &context());
    assert_eq!((&resources.problems, &resources.warnings), (&vec![], &vec![]));
    let component = &resources.components[0];
    assert_eq!(component.name, "123");
    assert_eq!(component.component_type, "State.PostgreSQL");
    assert_eq!(component.version, "v2");
    assert!(!component.has_no_version());
    assert_eq!(component.init_timeout, Duration::from_secs(90));
    assert!(component.ignore_errors);
    assert_eq!(component.key_prefix, KeyPrefix::Name);
    assert_eq!(component.properties.line_of("CONNECTIONSTRING"), Some(13));
}

#[test]
fn a_component_that_says_little_has_daprs_defaults() {
    let (_directory, resources) = load_files(&[("f.yaml", MEMORY)], &context());
    let component = &resources.components[0];
    assert_eq!(component.version, "");
    assert!(component.has_no_version());
    assert_eq!(component.init_timeout, Duration::from_secs(5));
    assert!(!component.ignore_errors);
    assert_eq!(component.key_prefix, KeyPrefix::AppId);
}

#[test]
fn what_is_for_others_is_skipped_however_wrong_it_is() {
    let scoped =
        format!("{MEMORY}  bad: 1\nscopes: [other]\n").replace("{type: state.in-memory}", "");
    let elsewhere = MEMORY.replace("{name: store}", "{name: b, namespace: test}");
    let pubsub = MEMORY.replace("state.in-memory", "pubsub.redis").replace("store", "c");
    let vault = MEMORY.replace("state.in-memory", "secretstores.hashicorp.vault");
    let files =
        [("a.yaml", &*scoped), ("b.yaml", &elsewhere), ("c.yaml", &pubsub), ("d.yaml", &vault)];
    let (_directory, resources) = load_files(&files, &context());
    assert_eq!(resources.problems, []);
    let reasons: Vec<_> = resources.skipped.iter().map(|it| it.reason.clone()).collect();
    assert_eq!(
        reasons,
        [
            SkipReason::OutOfScope,
            SkipReason::OtherNamespace("test".to_owned()),
            SkipReason::NotAStateStore,
            SkipReason::NotAStateStore,
        ]
    );
}

#[test]
fn without_a_namespace_of_its_own_a_sidecar_takes_those_of_all() {
    let context = Context { namespace: None, ..context() };
    let text = MEMORY.replace("{name: store}", "{name: store, namespace: test}");
    assert_eq!(load_files(&[("f.yaml", &text)], &context).1.components.len(), 1);
}

#[test]
fn two_components_of_one_name_are_a_problem_that_names_both() {
    let lines = check(&[("a.yaml", MEMORY), ("b.yaml", MEMORY)]);
    assert_eq!(
        lines[0],
        "problem: b.yaml:1:1: there are two components named `store`; \
         rename this one or the one at a.yaml:1"
    );
}

#[test]
fn the_same_name_out_of_scope_is_no_duplicate_in_either_order() {
    let other = format!("{MEMORY}scopes: [other]\n");
    for files in
        [[("a.yaml", MEMORY), ("b.yaml", &*other)], [("a.yaml", &*other), ("b.yaml", MEMORY)]]
    {
        let (_directory, resources) = load_files(&files, &context());
        assert_eq!((resources.components.len(), resources.problems.len()), (1, 0));
    }
}

#[test]
fn a_duplicate_cannot_be_ignored() {
    let again = MEMORY.replace("spec: {", "spec: {ignoreErrors: true, ");
    let (_directory, resources) = load_files(&[("a.yaml", MEMORY), ("b.yaml", &again)], &context());
    assert!(!resources.problems[0].ignorable);
}

#[test]
fn a_problem_knows_its_component_and_whether_that_may_fail() {
    let text = with_metadata("  - {name: redisPassword, envRef: NONE}");
    let (_directory, resources) = load_files(&[("f.yaml", &text)], &context());
    let problem = &resources.problems[0];
    assert_eq!((problem.component.as_deref(), problem.ignorable), (Some("store"), false));

    let text = text.replace("  type:", "  ignoreErrors: true\n  type:");
    let (_directory, resources) = load_files(&[("f.yaml", &text)], &context());
    assert!(resources.problems[0].ignorable);
    assert_eq!(resources.components, []);
}

#[test]
fn secrets_are_used_exactly_as_they_are() {
    let mut context = context();
    let secret = "\"quoted\" {appID} \n";
    context.environment.insert("SECRET".to_owned(), secret.to_owned());
    let text = with_metadata(
        "  - {name: a, secretKeyRef: {name: SECRET}}
  - {name: b, envRef: SECRET}",
    );
    let (_directory, resources) = load_files(&[("f.yaml", &text), VAULT], &context);
    assert_eq!(resources.components[0].properties.get("a"), Some(secret));
    assert_eq!(resources.components[0].properties.get("b"), Some(secret));
}

#[test]
fn a_secret_store_serves_files_before_and_after_its_own() {
    let text = with_metadata("  - {name: p, secretKeyRef: {name: REDIS_PASSWORD}}");
    for file in ["0-first.yaml", "9-last.yaml"] {
        assert_eq!(check(&[(file, &text), VAULT]), ["store state.redis: p=hunter2"]);
    }
}

#[test]
fn a_secret_store_may_take_its_settings_from_an_earlier_one() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = directory.path().join("secrets.json");
    fs::write(&secrets, r#"{"redis": {"password": "hunter5"}}"#).unwrap();
    let file = "apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: file}
spec:
  type: secretstores.local.file
  metadata:
  - {name: secretsFile, secretKeyRef: {name: SECRETS_FILE}}
auth: {secretStore: vault}
";
    let mut context = context();
    let path = secrets.display().to_string();
    context.environment.insert("SECRETS_FILE".to_owned(), path);
    let store = with_metadata("  - {name: p, secretKeyRef: {name: \"redis:password\"}}");
    let store = store.replace("secretStore: vault", "secretStore: file");
    let (directory, resources) =
        load_files(&[VAULT, ("file.yaml", file), ("store.yaml", &store)], &context);
    assert_eq!(render(&directory, &resources), ["store state.redis: p=hunter5"]);

    // The wrong way round.
    let (directory, resources) =
        load_files(&[("0.yaml", file), ("store.yaml", &store), ("vault.yaml", VAULT.1)], &context);
    assert_eq!(
        render(&directory, &resources),
        [
            "problem: 0.yaml:7:5: metadata field `secretsFile`: the secret store `vault` cannot \
             be used: it is opened later; move it to an earlier file",
            "problem: store.yaml:7:5: metadata field `p`: the secret store `file` cannot be used: \
             there is a problem with it",
        ]
    );
}

#[test]
fn a_secret_store_that_cannot_be_asked_says_why() {
    let store = with_metadata("  - {name: p, secretKeyRef: {name: REDIS_PASSWORD}}");
    let ends = |vault: &str, expected: &str| {
        let (directory, resources) =
            load_files(&[("a.yaml", &store), ("vault.yaml", vault)], &context());
        let lines = render(&directory, &resources);
        assert!(lines.iter().any(|it| it.ends_with(expected)), "{lines:?}");
        assert_eq!(resources.components, []);
    };
    let local = VAULT.1;
    ends(
        &local.replace("name: vault", "name: valt"),
        "there is no secret store `vault`; did you mean `valt`?",
    );
    ends(
        "",
        "there is no secret store `vault`; add one, of type `secretstores.local.file` or \
         `secretstores.local.env`",
    );
    ends(
        &local.replace("local.env", "aws"),
        "the secret store `vault` cannot be used: `secretstores.aws` is not a type of secret \
         store that there is here; there are secretstores.local.env, secretstores.local.file, \
         secretstores.kubernetes",
    );
    ends(
        &format!("{local}scopes: [other]"),
        "the secret store `vault` cannot be used: its scopes do not name this application",
    );
    ends(
        &local.replace("version: v1", "metadata: {prefix: x}"),
        "the secret store `vault` cannot be used: there is a problem with it",
    );
}

#[test]
fn unknown_fields_of_a_secret_store_are_warned_of() {
    let vault = VAULT.1.replace("version: v1", "metadata: [{name: prefx, value: a}]");
    assert_eq!(
        check(&[("f.yaml", &vault)]),
        ["warning: f.yaml:4:49: unknown metadata field `prefx`; did you mean `prefix`?"]
    );
}

#[test]
fn templates_are_filled_in() {
    let text = with_metadata(
        "  - {name: a, value: \"{podName}/{namespace}/{appID}\"}
  - {name: b, value: \"{uuid}{uuid}\"}",
    );
    let (_directory, resources) = load_files(&[("f.yaml", &text)], &context());
    let properties = &resources.components[0].properties;
    assert_eq!(properties.get("a"), Some("pod-7/prod.shop/shop"));
    let uuids = properties.get("b").unwrap();
    assert_eq!(uuids.len(), 72);
    assert_ne!(uuids[..36], uuids[36..]);

    let bare = Context { app_id: "shop".to_owned(), ..Context::default() };
    let (directory, resources) = load_files(&[("f.yaml", &text)], &bare);
    assert_eq!(
        render(&directory, &resources),
        ["problem: f.yaml:7:5: metadata field `a`: `{podName}` stands for the environment \
          variable `POD_NAME`, which is not set; set it, or use `{uuid}`"]
    );
    let text = text.replace("{podName}/", "");
    let resources = load_files(&[("f.yaml", &text)], &bare).1;
    assert_eq!(resources.components[0].properties.get("a"), Some("default.shop/shop"));
}

#[test]
fn prefixes_that_keys_could_continue_are_refused() {
    let check = |name: &str, key_prefix: &str, namespace: &str| {
        let text = with_metadata(&format!("  - {{name: keyPrefix, value: {key_prefix:?}}}"));
        let text = text.replace("name: store", &format!("name: {name:?}"));
        let context = Context { namespace: Some(namespace.to_owned()), ..context() };
        load_files(&[("f.yaml", &text)], &context).1.components.len()
    };
    assert_eq!(check("store|", "name", "prod"), 0);
    assert_eq!(check("store", "shop|", "prod"), 0);
    assert_eq!(check("store", "namespace", "prod||x"), 0);
    assert_eq!(check("store|", "appid", "prod||x"), 1);
    assert_eq!(check("|store", "name", "prod|"), 1);
    assert_eq!(check("store", "namespace", "prod|"), 1);
}

#[test]
fn a_file_full_of_templates_is_filled_in_at_once() {
    let text = with_metadata(&format!("  - {{name: a, value: \"{}\"}}", "{uuid}".repeat(150_000)));
    let (_directory, resources) = load_files(&[("f.yaml", &text)], &context());
    assert_eq!(resources.components[0].properties.get("a").unwrap().len(), 150_000 * 36);
}

#[test]
fn only_variables_on_the_list_may_be_read_if_there_is_one() {
    let mut context = context();
    context.environment.insert("DAPR_ENV_KEYS".to_owned(), "APP_HOST OTHER".to_owned());
    let text = with_metadata(
        "  - {name: a, envRef: APP_HOST}
  - {name: b, envRef: REDIS_PASSWORD}
  - {name: c, envRef: DAPR_API_TOKEN}",
    );
    let (directory, resources) = load_files(&[("f.yaml", &text)], &context);
    assert_eq!(
        render(&directory, &resources),
        [
            "problem: f.yaml:8:5: metadata field `b`: components may not read the environment \
             variable `REDIS_PASSWORD`; add it to `DAPR_ENV_KEYS`, which lists those that they may",
            "problem: f.yaml:9:5: metadata field `c`: components may not read the environment \
             variable `DAPR_API_TOKEN`; use a variable of another name",
        ]
    );
}

#[test]
fn no_value_is_ever_shown() {
    let text = with_metadata(
        "  - {name: redisPassword, value: hunter1}
  - {name: other, secretKeyRef: {name: REDIS_PASSWORD}}
  - {name: other, secretKeyRef: {name: REDIS_PASSWORD}}
  - {name: keyPrefix, value: \"hunter1||\"}
  - {name: list, value: [hunter1], vale: hunter1}
  - {name: hunter, values: hunter1}
  - hunter1",
    );
    let good =
        with_metadata("  - {name: p, value: hunter1}\n  - {name: q, envRef: REDIS_PASSWORD}");
    let files = [
        ("a.yaml", text.as_str()),
        ("b.yaml", "a: hunter1: hunter1"),
        ("c.yaml", "hunter1"),
        ("d.yaml", &good),
    ];
    let (_directory, resources) = load_files(&[&files[..], &[VAULT]].concat(), &context());
    assert!(resources.problems.len() > 5, "{:?}", resources.problems);
    let shown = format!("{resources:?} {:?}", context());
    let displayed: Vec<_> = resources.problems.iter().map(ToString::to_string).collect();
    for secret in ["hunter1", "hunter2", "hunter3", "hunter4"] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!displayed.concat().contains(secret), "{displayed:?}");
    }
}

#[test]
fn settings_are_read_with_the_place_of_what_is_wrong() {
    #[derive(Debug, serde::Deserialize)]
    struct Settings {
        redishost: String,
        #[serde(default)]
        redisdb: u8,
    }
    let text = with_metadata(
        "  - {name: redisHost, value: localhost}
  - {name: redisDB, value: 300}
  - {name: redisDBs, value: 300}
  - {name: actorStateStore, value: true}",
    );
    let (directory, resources) = load_files(&[("f.yaml", &text)], &context());
    let place = format!("{}/", directory.path().display());
    let component = &resources.components[0];
    let problem = component.settings::<Settings>().unwrap_err().to_string();
    assert_eq!(
        problem.replace(&place, ""),
        "f.yaml:8: metadata field `redisDB` should be a whole number from 0 to 255"
    );
    let unknown = component.unknown_settings::<Settings>();
    assert_eq!(unknown.len(), 1);
    assert_eq!(
        unknown[0].to_string().replace(&place, ""),
        "f.yaml:9: `state.redis` has no metadata field `redisDBs`; did you mean `redisdb`?"
    );

    let text = text.replace("300", "3");
    let resources = load_files(&[("f.yaml", &text)], &context()).1;
    let settings: Settings = resources.components[0].settings().unwrap();
    assert_eq!((settings.redishost.as_str(), settings.redisdb), ("localhost", 3));
}

#[test]
fn a_property_tells_the_name_of_its_secret_and_no_other_source_has_one() {
    let text = with_metadata(
        "  - {name: a, secretKeyRef: {name: \"redis:password\"}}
  - {name: b, value: redis:password}
  - {name: c, envRef: APP_HOST}",
    );
    let vault = "apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: vault}
spec:
  type: secretstores.local.file
  metadata:
  - {name: secretsFile, value: SECRETS}
";
    let directory = tempfile::tempdir().unwrap();
    let secrets = directory.path().join("secrets.json");
    fs::write(&secrets, r#"{"redis": {"password": "hunter2"}}"#).unwrap();
    let vault = vault.replace("SECRETS", &secrets.display().to_string());
    let resources = load_files(&[("a.yaml", &vault), ("b.yaml", &text)], &context()).1;
    let properties = &resources.components[0].properties;
    assert_eq!(properties.get("a"), Some("hunter2"));
    let secrets = ["A", "b", "c", "d"].map(|it| properties.secret_of(it));
    assert_eq!(secrets, [Some("redis:password"), None, None, None]);
}
