//! The stores: whether they open, answer, and keep what they acknowledge.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{Access, access, statvfs};
use state::{Capabilities, Store};
use state_config::Component;

use super::{Finding, Level, Warnings};
use crate::opening::{self, Opening};

/// How often a store is asked, to know how long it takes.
const PINGS: usize = 5;

/// A store that takes longer is far away, or busy.
const SLOW: Duration = Duration::from_millis(50);

/// How long a store may take to answer, and to close.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a database should have left to grow.
const ROOM: u64 = 1 << 30;
const ROOM_MIN: u64 = 64 << 20;

pub(super) async fn look(
    app_id: &str,
    components: Vec<Component>,
    warnings: &Warnings,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for component in components {
        if let Err(mistake) = opening::driver(&component) {
            findings.push(Finding::bare(Level::Fail, &component.name, mistake));
            continue;
        }
        let openings = opening::openings(app_id, vec![component], &mut Vec::new());
        for opening in openings.into_iter().flatten() {
            findings.extend(look_at(&opening, warnings).await);
        }
    }
    findings
}

async fn look_at(opening: &Opening, warnings: &Warnings) -> Vec<Finding> {
    let Component { name, component_type, source, .. } = opening.component();
    let mut findings = Vec::new();
    if let Some(file) = sqlite_file(opening.component()) {
        let can_open = look_at_disk(name, &file, &mut findings);
        if !can_open {
            return findings;
        }
    }
    // What was said before was not about this one.
    drop(warnings.take());
    let started = Instant::now();
    let opened = opening.open().await;
    let elapsed = started.elapsed();
    let overheard = warnings.take();
    findings.extend(overheard.into_iter().map(|it| Finding::bare(Level::Warn, name, it)));
    let store = match opened {
        Ok(store) => store,
        Err(e) => {
            let place = format!("{}:{}", source.file.display(), source.line);
            findings.push(Finding::fail(
                name,
                format!("{component_type} cannot be opened: {e}"),
                format!("start the server, or correct {place}"),
            ));
            return findings;
        }
    };
    let open = format!("{component_type} was open after {} ms", elapsed.as_millis());
    findings.push(Finding::ok(name, open));
    findings.push(look_at_answers(name, &*store).await);
    findings.extend(promises(name, store.capabilities()));
    if tokio::time::timeout(PATIENCE, store.close()).await.is_err() {
        findings.push(Finding::warn(name, "takes long to close", "look at its load"));
    }
    findings
}

async fn look_at_answers(name: &str, store: &dyn Store) -> Finding {
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let started = Instant::now();
        match tokio::time::timeout(PATIENCE, store.ping()).await {
            Ok(Ok(())) => times.push(started.elapsed()),
            Ok(Err(e)) => {
                let text = format!("opened, but gives no answer: {e}");
                return Finding::fail(name, text, "look at the server's log and its load");
            }
            Err(_) => {
                let text = format!("opened, but gives no answer within {PATIENCE:?}");
                return Finding::fail(name, text, "look at the server's log and its load");
            }
        }
    }
    times.sort_unstable();
    let median = times[PINGS / 2];
    let text = format!("answers in {:.2} ms (median of {PINGS})", median.as_secs_f64() * 1e3);
    match median > SLOW {
        true => Finding::warn(name, text, "every request takes as long: move the two closer"),
        false => Finding::ok(name, text),
    }
}

/// What the store promises as it is configured, with the settings of the server that this follows from.
fn promises(name: &str, can: &Capabilities) -> Vec<Finding> {
    let survives = can.durability;
    let events = [
        (survives.process_crash, "a crash of the store"),
        (survives.power_loss, "a power loss"),
        (survives.memory_pressure, "a full memory"),
    ];
    let named = |wanted: bool| {
        let these = events.iter().filter(|(holds, _)| *holds == wanted).map(|(_, it)| *it);
        these.collect::<Vec<_>>().join(", ")
    };
    let mut text = match (named(true).as_str(), named(false).as_str()) {
        (all, "") => format!("acknowledged writes survive {all}"),
        ("", none) => format!("acknowledged writes may not survive {none}"),
        (some, others) => {
            format!("acknowledged writes survive {some}; they may not survive {others}")
        }
    };
    if survives.failover == Some(false) {
        text += "; a failover may lose some that were not strong";
    }
    let is_safe = survives.process_crash && survives.memory_pressure;
    let mut findings = vec![match is_safe {
        true => Finding::ok(name, text),
        false => {
            let remedy = format!("docs/stores says which settings of {name}'s type change that");
            Finding::warn(name, text, remedy)
        }
    }];
    if let Some(strong) = &can.consistency.strong_write {
        findings.push(Finding::ok(name, format!("a strong write is: {strong}")));
    }
    if !can.server_settings.is_empty() {
        let settings = can.server_settings.iter().map(|(name, value)| format!("{name} = {value}"));
        let settings: Vec<_> = settings.collect();
        findings.push(Finding::ok(name, format!("server settings: {}", settings.join(", "))));
    }
    findings
}

/// The file of a SQLite database, unless it is in memory.
fn sqlite_file(component: &Component) -> Option<PathBuf> {
    let is_sqlite = ["state.sqlite", "state.sqlite3"]
        .iter()
        .any(|it| component.component_type.eq_ignore_ascii_case(it));
    let properties = &component.properties;
    let text = properties.get("connectionString").or_else(|| properties.get("url"))?.trim();
    let path = text.strip_prefix("file:").unwrap_or(text).split('?').next().unwrap_or_default();
    let is_memory = path.is_empty() || path == ":memory:" || text.contains("mode=memory");
    (is_sqlite && !is_memory).then(|| PathBuf::from(path))
}

/// Looks at where a database is. Returns whether it can be opened without creating it.
fn look_at_disk(name: &str, file: &Path, findings: &mut Vec<Finding>) -> bool {
    let folder = match file.parent() {
        Some(it) if !it.as_os_str().is_empty() => it,
        _ => Path::new("."),
    };
    let shown = folder.display();
    if !folder.is_dir() {
        let text = format!("the folder {shown} of the database is not there");
        findings.push(Finding::fail(name, text, format!("mkdir -p {shown}")));
        return false;
    }
    if access(folder, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let text = format!("the folder {shown} of the database cannot be written by this user");
        let remedy = "give the user the right: SQLite makes files beside the database";
        findings.push(Finding::fail(name, text, remedy));
    }
    if let Some(what) = network(folder) {
        let text = format!("the database is on {what}, a file system over a network");
        let remedy = "move it to a local disk: locks over a network do not keep processes apart";
        findings.push(Finding::fail(name, text, remedy));
    }
    if let Ok(it) = statvfs(folder) {
        let free = it.f_bavail.saturating_mul(it.f_frsize);
        let text = format!("{} MiB are free in {shown}", free >> 20);
        let remedy = "make room: without it, writes are refused";
        findings.push(match free {
            ..ROOM_MIN => Finding::fail(name, text, remedy),
            ROOM_MIN..ROOM => Finding::warn(name, text, remedy),
            ROOM.. => Finding::ok(name, text),
        });
    }
    if !file.exists() {
        let text = format!("{} is not there yet: the first sidecar creates it", file.display());
        findings.push(Finding::ok(name, text));
        return false;
    }
    true
}

/// The network that a folder is on, if it is on one, where SQLite's locks and shared memory do not work.
#[cfg(target_os = "linux")]
fn network(folder: &Path) -> Option<&'static str> {
    /// Source: Linux, magic.h.
    const NETWORK: [(u32, &str); 8] = [
        (0x6969, "NFS"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB"),
        (0x517B, "SMB"),
        (0x0102_1997, "9P"),
        (0x00C3_6400, "Ceph"),
        (0x5346_414F, "AFS"),
        (0x7461_636F, "OCFS2"),
    ];
    // The width of the field differs between machines; the numbers have 32 bits.
    let kind = rustix::fs::statfs(folder).ok()?.f_type as u32;
    NETWORK.iter().find(|(magic, _)| *magic == kind).map(|(_, what)| *what)
}

#[cfg(not(target_os = "linux"))]
fn network(_: &Path) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use state_config::{KeyPrefix, Source};

    use super::*;

    fn file(component_type: &str, connection: &str) -> Option<PathBuf> {
        sqlite_file(&Component {
            name: "a".to_owned(),
            component_type: component_type.to_owned(),
            version: "v1".to_owned(),
            properties: [("connectionString", connection)].into_iter().collect(),
            key_prefix: KeyPrefix::default(),
            ignore_errors: false,
            init_timeout: Duration::from_secs(5),
            source: Source { file: PathBuf::from("a.yaml"), line: 1 },
        })
    }

    #[test]
    fn the_file_of_a_database_is_found_in_its_connection_string() {
        assert_eq!(file("state.sqlite", "/a/b.db"), Some("/a/b.db".into()));
        assert_eq!(file("State.SQLite3", "file:b.db?mode=rw&_pragma=x(1)"), Some("b.db".into()));
        assert_eq!(file("state.sqlite", ":memory:"), None);
        assert_eq!(file("state.sqlite", "file::memory:"), None);
        assert_eq!(file("state.sqlite", "file:x?mode=memory"), None);
        assert_eq!(file("state.postgresql", "/a/b.db"), None);
    }
}
