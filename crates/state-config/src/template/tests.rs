use std::path::Path;

use super::{Template, Use, Value};

/// Everything that is wrong with a template, one line each.
fn check(text: &str) -> Vec<String> {
    match Template::from_reader(Path::new("dapr.yaml"), text.as_bytes()) {
        Ok(it) => it.warnings.iter().map(|it| format!("warning: {it}")).collect(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

const GOOD: &str = "version: 1
name: shop
common:
  resourcesPath: ./resources
  logLevel: debug
  env: {A: b, N: 1, E: , SWITCH: yes}
apps:
- appDirPath: ./cart
  appID: cart
  appPort: 8080
  command: [python3, app.py, 1]
  enableApiLogging: true
  env:
    A: c
- appDirPath: ./orders
  containerImage: shop/orders
";

#[test]
fn a_template_is_read_with_the_lines_of_its_fields() {
    let template = Template::from_reader(Path::new("dapr.yaml"), GOOD.as_bytes()).unwrap();
    assert_eq!(template.name.as_deref(), Some("shop"));
    let variables = &template.common.get("env").unwrap().value;
    let own = |it: &[(&str, &str)]| {
        Value::Variables(it.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect())
    };
    assert!(*variables == own(&[("A", "b"), ("N", "1"), ("E", ""), ("SWITCH", "yes")]));
    let [cart, orders] = &template.apps[..] else { panic!("two applications") };
    assert_eq!((cart.line, orders.line), (8, 15));
    let port = cart.get("appPort").unwrap();
    assert_eq!((port.text(), port.line, port.used()), (Some("8080"), 10, Use::Flag("app-port")));
    assert_eq!(cart.get("command").unwrap().words(), ["python3", "app.py", "1"]);
    assert!(cart.get("enableApiLogging").unwrap().value == Value::Switch(true));
    assert!(matches!(orders.get("containerImage").unwrap().used(), Use::None(_)));
    assert!(template.warnings.is_empty());
}

#[test]
fn no_value_is_shown() {
    let text = "version: 1\ncommon: {env: {A: hunter2}}\napps: [{appDirPath: x}]";
    let template = Template::from_reader(Path::new("dapr.yaml"), text.as_bytes()).unwrap();
    assert!(!format!("{template:?}").contains("hunter2"));
    let said = check("version: 1\napps: [{appDirPath: x, env: [hunter2], appPort: hunter2}]");
    assert!(!said.concat().contains("hunter2"), "{said:?}");
}

#[test]
fn every_mistake_has_its_place_and_a_remedy() {
    const TABLE: &[(&str, &[&str])] = &[
        ("", &["dapr.yaml: the file is empty; write `version: 1` and `apps:`"]),
        (
            "- a",
            &[
                "dapr.yaml:1:1: a run template should be a mapping, not a list; write `version: 1` and `apps:`",
            ],
        ),
        (
            "name: x",
            &[
                "dapr.yaml:1:1: `version` is missing; write `version: 1`",
                "dapr.yaml:1:1: `apps` is missing; write `apps:` and, below it, `- appDirPath: ./folder` for each application",
            ],
        ),
        (
            "version: 2\napps: [{appDirPath: x}]",
            &["dapr.yaml:1:10: there is only `version` 1; write `version: 1`"],
        ),
        (
            "version: one\napps: [{appDirPath: x}]",
            &["dapr.yaml:1:10: `version` should be a number, not text; write `version: 1`"],
        ),
        (
            "version: 1\napps: []",
            &[
                "dapr.yaml:2:7: `apps` names no application; write `apps:` and, below it, `- appDirPath: ./folder` for each application",
            ],
        ),
        (
            "version: 1\napps:\n  appDirPath: x",
            &[
                "dapr.yaml:3:3: `apps` should be a list, not a mapping; write `apps:` and, below it, `- appDirPath: ./folder` for each application",
            ],
        ),
        (
            "version: 1\napps:\n- appID: x",
            &[
                "dapr.yaml:3:3: an application has no `appDirPath`; write `appDirPath: ./folder`, relative to this file",
            ],
        ),
        (
            "version: 1\napps:\n- appDirPath: x\n  apiPort: 1\n  appport: 1\n  farAway: 2",
            &[
                "dapr.yaml:4:3: an application has no field `apiPort`; did you mean `appPort`?",
                "dapr.yaml:5:3: an application has no field `appport`; did you mean `appPort`?",
            ],
        ),
        (
            "version: 1\napps:\n- appDirPath: x\n  somethingElse: 2",
            &["warning: dapr.yaml:4:3: an application has no field `somethingElse`; it is ignored"],
        ),
        (
            "version: 1\ncommon:\n  appPort: 1\napps:\n- appDirPath: x\n  version: 1",
            &[
                "dapr.yaml:3:3: `common` has no field `appPort`; each application has its own: write it below `apps`",
                "dapr.yaml:6:3: an application has no field `version`; write it at the top level, without indentation",
            ],
        ),
        (
            "version: 1\nlogLevel: debug\napps: [{appDirPath: x}]",
            &[
                "dapr.yaml:2:1: the template has no field `logLevel`; write it below an application, or below `common` if it holds for all",
            ],
        ),
        (
            "version: 1\napps:\n- appDirPath: x\n  command: python3 app.py\n  enableProfiling: 'true'\n  appPort: high",
            &[
                "dapr.yaml:4:12: `command` should be a list, not text; write it as `[\"one\", \"two\"]`",
                "dapr.yaml:5:20: `enableProfiling` should be true or false, not text; write `true` or `false`, without quotes",
                "dapr.yaml:6:12: `appPort` should be a whole number, not text; write digits alone",
            ],
        ),
        (
            "version: 1\napps:\n- appDirPath: x\n  appLogDestination: both\n  env: [A]\n",
            &[
                "dapr.yaml:4:22: `appLogDestination` is none of console, file, fileAndConsole; write one of these words",
                "dapr.yaml:5:8: `env` should be a mapping, not a list; write `env:` and, indented below it, `NAME: value`",
            ],
        ),
        (
            "version: 1\napps:\n- appDirPath: x\n  env:\n    A=B: c\n    D: [e]\n  env: {}",
            &[
                "dapr.yaml:5:5: `A=B` cannot be a variable; write `NAME: value`, both as text",
                "dapr.yaml:6:5: `D` cannot be a variable; write `NAME: value`, both as text",
                "dapr.yaml:7:3: `env` is here for the second time; remove one of the two; the other is in line 4",
            ],
        ),
        (
            "version: 1\napps: [{appDirPath: x}]\n---\nversion: 1",
            &[
                "dapr.yaml:4:1: a run template is one document, and here is another; put each run into a file of its own",
            ],
        ),
        (
            "version: 1\napps:\n- appDirPath: 'x",
            &[
                "dapr.yaml:3:15: this is not YAML: unclosed quote; end the value with the quote it begins with",
            ],
        ),
    ];
    for (text, expected) in TABLE {
        assert_eq!(check(text), *expected, "{text}");
    }
}
