//! Processes as Linux shows them.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use super::{Facts, Instance};

/// When a process was started, in ticks since the machine was. `None` if it has ended.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    // The name, in parentheses, may have anything in it. Source: proc_pid_stat(5).
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let has_ended = matches!(*fields.first()?, "Z" | "X" | "x");
    // The 22nd of all, of which two were before the parenthesis.
    fields.get(19)?.parse().ok().filter(|_| !has_ended)
}

/// The seconds since a process was started.
pub(super) fn age_seconds(start_time: u64) -> u64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let uptime = uptime.split('.').next().and_then(|it| it.parse::<u64>().ok()).unwrap_or_default();
    uptime.saturating_sub(start_time / rustix::param::clock_ticks_per_second())
}

/// The sidecars among the processes of this user, by their names and flags.
pub(super) fn sidecars() -> Vec<Instance> {
    let own = rustix::process::geteuid().as_raw();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let of = |pid: i32| {
        let folder = format!("/proc/{pid}");
        let is_own = fs::metadata(&folder).is_ok_and(|it| it.uid() == own);
        let line = is_own.then(|| fs::read(format!("{folder}/cmdline")).ok()).flatten()?;
        let arguments: Vec<_> =
            line.split(|it| *it == 0).map(|it| String::from_utf8_lossy(it).into_owned()).collect();
        let sidecar = sidecar(&arguments)?;
        Some(Instance { sidecar_pid: pid, start_time: start_time(pid)?, ..sidecar })
    };
    let pids = entries.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok());
    pids.filter_map(of).collect()
}

/// Whether a process is one that starts sidecars. Anybody who may call a sidecar can tell it the number of any process.
pub(super) fn is_cli(pid: i32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let name =
        String::from_utf8_lossy(line.split(|it| *it == 0).next().unwrap_or_default()).into_owned();
    let name = Path::new(&name).file_stem().unwrap_or_default();
    name == "steadfast" || name == "dapr"
}

/// What the command line of a sidecar says; `None` if it is none of a sidecar.
fn sidecar(arguments: &[String]) -> Option<Instance> {
    let name = Path::new(arguments.first()?).file_stem()?.to_str()?;
    let (own, rest) = match (name, arguments.get(1).map(String::as_str)) {
        ("steadfast", Some("run" | "serve" | "daprd")) => (true, &arguments[2..]),
        ("daprd", _) => (false, &arguments[1..]),
        _ => return None,
    };
    let flags = rest.split(|it| it == "--").next().unwrap_or_default();
    if own && flags.iter().any(|it| it.starts_with("-f") || it.starts_with("--run-file")) {
        return None;
    }
    let value = |long: &str, short: &str| flag(flags, long, short);
    let port =
        |long, short| value(long, short).and_then(|it| it.parse().ok()).filter(|it| *it != 0);
    let (default_http, default_grpc) = if own { (None, None) } else { (Some(3500), Some(50001)) };
    let command: Vec<_> = rest.iter().skip_while(|it| *it != "--").skip(1).collect();
    let command = command.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    Some(Instance {
        app_id: value("app-id", "a").unwrap_or_default().to_owned(),
        http_port: port("dapr-http-port", "H").or(default_http),
        grpc_port: port("dapr-grpc-port", "G").or(default_grpc),
        app_port: port("app-port", "p"),
        facts: Facts { command: command.trim().to_owned(), ..Facts::default() },
        ..Instance::default()
    })
}

/// The value of a flag, in one of the forms that daprd and we take.
fn flag<'a>(flags: &'a [String], long: &str, short: &str) -> Option<&'a str> {
    let mut found = None;
    for (i, it) in flags.iter().enumerate() {
        let Some(name) = it.strip_prefix('-') else { continue };
        let name = name.strip_prefix('-').unwrap_or(name);
        match name.split_once('=') {
            Some((name, value)) if name == long || name == short => found = Some(value),
            None if name == long || name == short => found = flags.get(i + 1).map(String::as_str),
            Some(_) | None => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str) -> Option<(String, Option<u16>, Option<u16>, Option<u16>, String)> {
        let arguments: Vec<_> = line.split(' ').map(ToOwned::to_owned).collect();
        let it = sidecar(&arguments)?;
        Some((it.app_id, it.http_port, it.grpc_port, it.app_port, it.facts.command))
    }

    #[test]
    fn a_sidecar_is_known_by_its_command_line() {
        let own = |id: &str, http, grpc, app, command: &str| {
            Some((id.to_owned(), http, grpc, app, command.to_owned()))
        };
        assert_eq!(
            check("/home/me/.dapr/bin/daprd --app-id cart --dapr-http-port 3601 --app-port=80"),
            own("cart", Some(3601), Some(50001), Some(80), "")
        );
        assert_eq!(
            check("daprd -app-id cart -dapr-grpc-port=5"),
            own("cart", Some(3500), Some(5), None, "")
        );
        assert_eq!(
            check("steadfast run -a cart -H 0 -- sh -c --app-id"),
            own("cart", None, None, None, "sh -c --app-id")
        );
        assert_eq!(
            check("target/debug/steadfast serve --app-id x -H 1"),
            own("x", Some(1), None, None, "")
        );
        for other in [
            "steadfast list",
            "steadfast run -f .",
            "steadfast launch-app -- daprd",
            "python3 daprd",
            "",
        ] {
            assert_eq!(check(other), None, "{other}");
        }
    }

    #[test]
    fn a_process_has_started_and_ends() {
        let own = std::process::id().cast_signed();
        let started = start_time(own).unwrap();
        assert!(age_seconds(started) < 3600);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id().cast_signed();
        child.wait().unwrap();
        assert_eq!(start_time(pid), None);
    }
}
