//! `steadfast list`: which sidecars run.

use std::{fmt::Write as _, path::Path, process::ExitCode, time::SystemTime};

use serde_json::{Map, Value, json};

use super::{
    Instance,
    arguments::{ListArgs, Output},
    process::age_seconds,
    running,
};

/// How much of a command the table shows. Source: Dapr's CLI.
const COMMAND_LEN_MAX: usize = 20;

pub(crate) fn main(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let now = SystemTime::now();
    let rows: Vec<Row> = running().into_iter().map(|it| Row::of(it, now)).collect();
    let text = match args.output {
        Output::Json => format!("{}\n", serde_json::to_string_pretty(&entries(&rows))?),
        Output::Yaml => yaml(&entries(&rows)),
        Output::Table if rows.is_empty() => "No Dapr instances found.\n".to_owned(),
        Output::Table => table(&rows),
    };
    anstream::print!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// An instance, with what the clock says of it.
struct Row {
    instance: Instance,
    age: String,
    created: String,
}

impl Row {
    fn of(instance: Instance, now: SystemTime) -> Row {
        let seconds = age_seconds(instance.start_time);
        let created = now - std::time::Duration::from_secs(seconds);
        Row { instance, age: age(seconds), created: timestamp(created) }
    }
}

/// In the greatest unit of which there is one. Source: Dapr's CLI.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

/// In Dapr's form, which has a dot before the seconds, in UTC.
fn timestamp(at: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(at).to_string().replace('T', " ");
    let (minutes, seconds) = text.trim_end_matches('Z').rsplit_once(':').unwrap_or((&text, "00"));
    format!("{minutes}.{seconds}")
}

/// Under the names of Dapr's CLI. What is not known is empty or 0, as there.
fn entries(rows: &[Row]) -> Vec<Map<String, Value>> {
    let text = |it: &Option<std::path::PathBuf>| shown(it.as_deref());
    let entry = |Row { instance: it, age, created }: &Row| {
        let facts = &it.facts;
        let entry = json!({
            "appId": it.app_id,
            "httpPort": it.http_port.unwrap_or_default(),
            "grpcPort": it.grpc_port.unwrap_or_default(),
            "appPort": it.app_port.unwrap_or_default(),
            "metricsEnabled": true,
            "command": facts.command,
            "age": age,
            "created": created,
            "daprdPid": it.sidecar_pid,
            "cliPid": facts.cli_pid.unwrap_or_default(),
            "appPid": facts.app_pid.unwrap_or_default(),
            "maxRequestBodySize": it.max_request_body_size,
            "httpReadBufferSize": it.http_read_buffer_size,
            "runTemplatePath": text(&facts.run_template_path),
            "appLogPath": text(&facts.app_log_path),
            "daprdLogPath": text(&facts.daprd_log_path),
            "runTemplateName": facts.run_template_name.clone().unwrap_or_default(),
        });
        let mut entry = entry.as_object().cloned().unwrap_or_default();
        if let (Some(http), Some(grpc)) = (&it.http_socket, &it.grpc_socket) {
            entry.insert("httpSocket".to_owned(), shown(Some(http)).into());
            entry.insert("grpcSocket".to_owned(), shown(Some(grpc)).into());
        }
        entry
    };
    rows.iter().map(entry).collect()
}

fn shown(path: Option<&Path>) -> String {
    path.map(|it| it.display().to_string()).unwrap_or_default()
}

/// A list of flat mappings; every JSON value is YAML.
fn yaml(entries: &[Map<String, Value>]) -> String {
    if entries.is_empty() {
        return "[]\n".to_owned();
    }
    let mut text = String::new();
    for entry in entries {
        for (i, (name, value)) in entry.iter().enumerate() {
            let dash = if i == 0 { "- " } else { "  " };
            // Writing to a string does not fail.
            let _ = writeln!(text, "{dash}{name}: {value}");
        }
    }
    text
}

fn table(rows: &[Row]) -> String {
    let number = |it: Option<i64>| it.map(|it| it.to_string()).unwrap_or_default();
    let cells = |row: &Row| {
        let (it, facts) = (&row.instance, &row.instance.facts);
        let socket = it.http_socket.as_deref().map(|it| it.display().to_string());
        let command: String = facts.command.chars().take(COMMAND_LEN_MAX).collect();
        let is_cut = facts.command.chars().nth(COMMAND_LEN_MAX).is_some();
        vec![
            printable(&it.app_id),
            number(it.http_port.map(Into::into)),
            number(it.grpc_port.map(Into::into)),
            socket.unwrap_or_default(),
            number(it.app_port.map(Into::into)),
            printable(&command) + if is_cut { "..." } else { "" },
            row.age.clone(),
            row.created.clone(),
            it.sidecar_pid.to_string(),
            number(facts.cli_pid.map(Into::into)),
            number(facts.app_pid.map(Into::into)),
            printable(&shown(facts.run_template_path.as_deref())),
            printable(&shown(facts.app_log_path.as_deref())),
            printable(&shown(facts.daprd_log_path.as_deref())),
        ]
    };
    const HEADS: [&str; 14] = [
        "APP ID",
        "HTTP PORT",
        "GRPC PORT",
        "HTTP SOCKET",
        "APP PORT",
        "COMMAND",
        "AGE",
        "CREATED",
        "DAPRD PID",
        "CLI PID",
        "APP PID",
        "RUN_TEMPLATE_PATH",
        "APP_LOG_PATH",
        "DAPRD_LOG_PATH",
    ];
    let mut lines = vec![HEADS.map(ToOwned::to_owned).to_vec()];
    lines.extend(rows.iter().map(cells));
    let mut text = vec![String::new(); lines.len()];
    for column in 0..HEADS.len() {
        if lines[1..].iter().all(|it| it[column].is_empty()) {
            continue;
        }
        let width = lines.iter().map(|it| it[column].chars().count()).max().unwrap_or_default();
        for (text, line) in text.iter_mut().zip(&lines) {
            let _ = write!(text, "{:width$}  ", line[column]);
        }
    }
    text.iter().map(|it| format!("{}\n", it.trim_end())).collect()
}

/// What others wrote must not colour a terminal.
fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::{super::Facts, *};

    fn rows() -> Vec<Row> {
        let row = |app_id: &str, http_port, facts| Row {
            instance: Instance {
                app_id: app_id.to_owned(),
                http_port,
                sidecar_pid: 7,
                facts,
                ..Default::default()
            },
            age: "3m".to_owned(),
            created: "2026-11-28 16:00.01".to_owned(),
        };
        let facts = Facts {
            command: "python3 a-very-long-name.py\u{1b}[31m".to_owned(),
            app_pid: Some(9),
            ..Default::default()
        };
        vec![row("cart", Some(3500), facts), row("x", None, Facts::default())]
    }

    #[test]
    fn the_table_leaves_out_empty_columns_and_what_would_colour_the_terminal() {
        assert_eq!(
            table(&rows()),
            "APP ID  HTTP PORT  COMMAND                  AGE  CREATED              DAPRD PID  APP PID\n\
             cart    3500       python3 a-very-long-...  3m   2026-11-28 16:00.01  7          9\n\
             x                                           3m   2026-11-28 16:00.01  7\n"
        );
    }

    #[test]
    fn json_and_yaml_have_the_names_of_daprs_cli() {
        let entries = entries(&rows());
        assert_eq!(entries[0]["httpPort"], 3500);
        assert_eq!(
            (&entries[1]["httpPort"], &entries[1]["runTemplatePath"]),
            (&json!(0), &json!(""))
        );
        let yaml = yaml(&entries);
        assert!(yaml.starts_with("- age: \"3m\"\n  appId: \"cart\"\n"), "{yaml}");
        assert_eq!(super::yaml(&[]), "[]\n");
    }

    #[test]
    fn times_are_in_daprs_form() {
        assert_eq!(timestamp(SystemTime::UNIX_EPOCH), "1970-01-01 00:00.00");
        assert_eq!([0, 59, 60, 7200, 86400 * 3].map(age), ["0s", "59s", "1m", "2h", "3d"]);
    }
}
