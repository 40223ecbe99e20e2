//! A workload under strace: what the sidecar did to its files, what its clients were told, and in
//! which order.

use std::{collections::HashMap, ffi::OsString, fs, path::Path, sync::Arc};

use anyhow::{Context, Result, bail, ensure};
use tokio::task::JoinSet;

use crate::{
    crash::{
        chance::Chance,
        client::Client,
        disk::{Event, FOLDER},
        history::{Step, Text},
        lab::{Journal, Lab},
        strace::{self, Call, leading_number},
        writer::{Sizes, Writer},
    },
    sidecar::Sidecar,
};

const WRITERS: usize = 8;

/// How the sessions on the database end, one after the other.
const SESSIONS: [End; 3] = [End::Killed, End::Gracefully, End::Killed];

/// Operations of each writer in each session. By the store's count, which is 8 KiB for a small
/// write, that is more than the 4 MiB that make a checkpoint.
const OPERATIONS: usize = 60;
const SIZES: Sizes = Sizes { large_one_in: 30, large_bytes: 30_000 };

/// What changes files or answers clients. Answers go out by `sendto` and `writev`; `write` would
/// only add the runtime's own signals. The last ones are here to notice if SQLite changes.
const CALLS: &str = "openat,close,writev,sendto,sendmsg,pwrite64,fdatasync,fsync,ftruncate,unlink,\
                     unlinkat,rename,renameat,renameat2,mkdir,pwritev,pwritev2,fallocate,truncate,\
                     sync_file_range,copy_file_range,link,linkat";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Gracefully,
}

#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) events: Vec<Event>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) keys: Vec<Text>,
}

/// What each writer did, with the port of its connection.
pub(crate) type Session = Vec<(u16, Vec<Step>)>;

impl Recording {
    pub(crate) async fn make(program: &Path, journal: Journal, seed: u64) -> Result<Recording> {
        let lab = Lab::new(journal)?;
        let mut writers: Vec<Writer> = (0..WRITERS)
            .map(|id| {
                Writer::new(id, Chance::new(seed).branch(u64::try_from(id).expect("small")), SIZES)
            })
            .collect();
        let mut keys: Vec<_> = writers.iter().flat_map(Writer::keys).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut recording = Recording { events: Vec::new(), sessions: Vec::new(), keys };
        for (i, end) in SESSIONS.into_iter().enumerate() {
            let trace = lab.path("trace");
            let plan = lab.plan(program).under(wrapper(&trace));
            let mut sidecar = Sidecar::start(&plan).await?;
            let session;
            (writers, session) = work(&sidecar, writers, i > 0).await?;
            match end {
                End::Gracefully => drop(sidecar.end().await?),
                End::Killed => {
                    sidecar.kill();
                    sidecar.wait().await?;
                }
            }
            let events = events(&fs::read_to_string(&trace)?, &lab.data(), recording.events.len())?;
            check_answers(&events, &session)?;
            recording.events.extend(events);
            recording.events.push(Event::Restart);
            recording.sessions.push(session);
        }
        Ok(recording)
    }

    /// How many writes there were to a file of this name between two answers: not while a sidecar
    /// started or ended.
    pub(crate) fn writes_under_load(&self, wanted: &str) -> usize {
        let (mut open, mut counted, mut waiting, mut answered) = (HashMap::new(), 0, 0, false);
        for event in &self.events {
            match event {
                Event::Open { descriptor, name, .. } => drop(open.insert(*descriptor, name)),
                Event::Write { descriptor, .. } if answered => {
                    waiting += usize::from(open.get(descriptor).is_some_and(|it| &***it == wanted));
                }
                Event::Answer { .. } => {
                    (counted, waiting, answered) = (counted + waiting, 0, true);
                }
                Event::Restart => (waiting, answered) = (0, false),
                _ => {}
            }
        }
        counted
    }

    /// What each writer has asked for, when it had got `answers` in the session `session`: of the
    /// request after those, nothing is known.
    pub(crate) fn journals(&self, session: usize, answers: &HashMap<u16, usize>) -> Vec<Vec<Step>> {
        let mut journals = vec![Vec::new(); WRITERS];
        for (i, writers) in self.sessions.iter().enumerate().take(session + 1) {
            for (journal, (port, steps)) in journals.iter_mut().zip(writers) {
                if i < session {
                    journal.extend(steps.iter().cloned());
                    continue;
                }
                let answered = answers.get(port).copied().unwrap_or(0).min(steps.len());
                journal.extend(steps[..answered].iter().cloned());
                journal.extend(steps.get(answered).and_then(Step::unanswered));
            }
        }
        journals
    }
}

/// All write at the same time, each on its own connection.
async fn work(
    sidecar: &Sidecar,
    writers: Vec<Writer>,
    look: bool,
) -> Result<(Vec<Writer>, Session)> {
    let port = sidecar.port();
    let mut tasks = JoinSet::new();
    for (i, mut writer) in writers.into_iter().enumerate() {
        tasks.spawn(async move {
            let mut client = Client::connect(port).await?;
            if look {
                writer.look(&mut client).await?;
            }
            for _ in 0..OPERATIONS {
                writer.step(&mut client).await?;
            }
            anyhow::Ok((i, writer, client.local_port))
        });
    }
    let mut done = Vec::new();
    while let Some(it) = tasks.join_next().await {
        done.push(it?.context("a connection was lost")?);
    }
    done.sort_unstable_by_key(|it| it.0);
    let (mut writers, mut session) = (Vec::new(), Vec::new());
    for (_, mut writer, port) in done {
        session.push((port, writer.take_journal()));
        writers.push(writer);
    }
    Ok((writers, session))
}

fn wrapper(trace: &Path) -> Vec<OsString> {
    let words = "strace -f -qq -yy -xx -s 10000000 --seccomp-bpf";
    let mut words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
    words.extend(["-e".into(), format!("trace={CALLS}").into(), "-o".into(), trace.into()]);
    words
}

/// What a trace says of the files in `folder`, and of answers.
pub(crate) fn events(trace: &str, folder: &Path, first_id: usize) -> Result<Vec<Event>> {
    let mut reader = Reader {
        folder: folder.to_string_lossy().into_owned(),
        events: Vec::new(),
        under_way: HashMap::new(),
        next_id: first_id,
    };
    strace::calls(trace).try_for_each(|it| reader.read(&it))?;
    Ok(reader.events)
}

struct Reader<'a> {
    folder: String,
    events: Vec<Event>,
    /// What each thread is doing.
    under_way: HashMap<&'a str, usize>,
    next_id: usize,
}

impl<'a> Reader<'a> {
    fn read(&mut self, call: &Call<'a>) -> Result<()> {
        match call.name {
            "openat" => self.open(call),
            "close" => {
                if let (true, Some(descriptor)) = (call.begins(), call.descriptor()) {
                    self.events.push(Event::Close { descriptor });
                }
                Ok(())
            }
            "pwrite64" | "ftruncate" => self.change(call),
            "fdatasync" | "fsync" => self.flush(call),
            "unlink" => self.unlink(call),
            "writev" | "sendto" | "sendmsg" => {
                self.answer(call);
                Ok(())
            }
            other => {
                let texts = call.texts().flatten();
                let mut texts = texts.map(|it| String::from_utf8_lossy(&it).into_owned());
                let near = texts.any(|it| it.starts_with(&self.folder))
                    || call.file().is_some_and(|it| it.starts_with(&hexadecimal(&self.folder)));
                ensure!(!near, "the database was changed by {other}, which is not emulated");
                Ok(())
            }
        }
    }

    /// The name of a file in the folder.
    fn name(&self, call: &Call<'_>) -> Option<Arc<str>> {
        let path = String::from_utf8(call.texts().next()??).ok()?;
        let name = path.strip_prefix(&self.folder)?.trim_start_matches('/');
        // The index of the log is made anew after a crash.
        let name = if name.is_empty() { FOLDER } else { name };
        (!name.ends_with("-shm")).then(|| name.into())
    }

    fn open(&mut self, call: &Call<'_>) -> Result<()> {
        let Some(name) = self.name(call) else { return Ok(()) };
        let Some(descriptor) = call.result().and_then(leading_number) else { return Ok(()) };
        ensure!(!call.arguments.contains("O_TRUNC"), "{name} was opened with O_TRUNC");
        let creates = call.arguments.contains("O_CREAT");
        self.events.push(Event::Open { descriptor, name, creates });
        Ok(())
    }

    fn change(&mut self, call: &Call<'a>) -> Result<()> {
        if call.begins() {
            let descriptor = call.descriptor().context("a change without a descriptor")?;
            let id = self.begin(call.thread);
            let last = call.arguments.rsplit(", ").next().unwrap_or_default();
            let place: usize = last.parse().context("a change without a place")?;
            self.events.push(if call.name == "ftruncate" {
                Event::Truncate { id, descriptor, len: place }
            } else {
                let data = call.texts().next().flatten().context("a write without data")?;
                Event::Write { id, descriptor, offset: place, data: data.into() }
            });
        }
        let id = self.under_way[call.thread];
        match call.result() {
            None | Some("?") => {}
            Some(it) if it.starts_with('-') => bail!("{} failed: {it}", call.name),
            Some(_) => self.events.push(Event::Done { id }),
        }
        Ok(())
    }

    fn flush(&mut self, call: &Call<'a>) -> Result<()> {
        if call.begins() {
            let descriptor = call.descriptor().context("a flush without a descriptor")?;
            let id = self.begin(call.thread);
            self.events.push(Event::FlushBegins { id, descriptor });
        }
        if call.result() == Some("0") {
            self.events.push(Event::FlushEnds { id: self.under_way[call.thread] });
        }
        Ok(())
    }

    fn unlink(&mut self, call: &Call<'_>) -> Result<()> {
        let failed = call.result().is_some_and(|it| it.starts_with('-'));
        if let (true, false, Some(name)) = (call.begins(), failed, self.name(call)) {
            self.events.push(Event::Unlink { name });
        }
        Ok(())
    }

    /// An answer counts as given as soon as it begins to be sent.
    fn answer(&mut self, call: &Call<'_>) {
        let is_head = call
            .arguments
            .split_once('"')
            .is_some_and(|(_, it)| it.starts_with(r"\x48\x54\x54\x50\x2f\x31\x2e\x31\x20"));
        if let (true, true, Some(port)) = (call.begins(), is_head, call.peer_port()) {
            self.events.push(Event::Answer { port });
        }
    }

    fn begin(&mut self, thread: &'a str) -> usize {
        self.next_id += 1;
        self.under_way.insert(thread, self.next_id);
        self.next_id
    }
}

fn hexadecimal(text: &str) -> String {
    text.bytes().map(|it| format!("\\x{it:02x}")).collect()
}

/// The trace must have an answer for each request: otherwise answers go another way, and what was
/// acknowledged is not known.
fn check_answers(events: &[Event], session: &Session) -> Result<()> {
    for (port, steps) in session {
        let answers = events.iter().filter(|it| **it == Event::Answer { port: *port }).count();
        ensure!(
            answers == steps.len(),
            "the trace has {answers} answers to {} requests of one connection",
            steps.len()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
