use super::{metadata::Told, *};

#[test]
fn what_is_known_is_not_replaced_by_what_is_told() {
    let mut instance =
        Instance { app_id: "cart".to_owned(), app_port: Some(80), ..Default::default() };
    instance.facts.cli_pid = Some(7);
    let told = Facts {
        cli_pid: Some(8),
        app_pid: Some(9),
        command: "sh".to_owned(),
        ..Default::default()
    };
    instance.complete(Told { app_id: "other".to_owned(), app_port: Some(81), facts: told });
    assert_eq!((&*instance.app_id, instance.app_port), ("cart", Some(80)));
    let Facts { cli_pid, app_pid, command, .. } = instance.facts;
    assert_eq!((cli_pid, app_pid, &*command), (Some(7), Some(9), "sh"));
}

#[test]
fn a_record_survives_being_written_and_read() {
    let facts = Facts { run_template_path: Some("/a/dapr.yaml".into()), ..Default::default() };
    let instance =
        Instance { app_id: "cart".to_owned(), http_port: Some(1), facts, ..Default::default() };
    let text = serde_json::to_string(&instance).unwrap();
    assert!(text.contains("\"runTemplatePath\":\"/a/dapr.yaml\""), "{text}");
    assert_eq!(serde_json::from_str::<Instance>(&text).unwrap(), instance);
}
