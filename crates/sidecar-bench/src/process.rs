//! What a process has used. Source: proc_pid_stat(5), proc_pid_status(5), and for `schedstat`
//! Documentation/scheduler/sched-stats.rst of Linux.

use std::{fs, io, time::Duration};

use anyhow::Context;

/// A process that runs, by its id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// Its CPU time so far, user and system, of all its threads, and of all processes that it has
    /// started and that they have: PostgreSQL has one for each client.
    ///
    /// To the nanosecond, unless threads or processes have ended: then it is known in ticks of
    /// 10 ms.
    pub(crate) fn cpu_time(self) -> anyhow::Result<Duration> {
        let [own, of_ended_children] =
            ticks_in(&self.read("stat")?).context("/proc has an unknown format")?;
        // A thread that has ended is missing in the one, and less than a tick in the other.
        let mut time = duration(own).max(self.threads_time()?) + duration(of_ended_children);
        for child in self.children() {
            // It may have ended, and then counts as such from now on.
            time += child.cpu_time().unwrap_or_default();
        }
        Ok(time)
    }

    /// Of the threads that there are. Zero where the system does not tell.
    fn threads_time(self) -> anyhow::Result<Duration> {
        let mut time = Duration::ZERO;
        let threads = fs::read_dir(format!("/proc/{}/task", self.0));
        for thread in threads.context("the server has ended")? {
            match fs::read_to_string(thread?.path().join("schedstat")) {
                Ok(text) => {
                    let ran = text.split(' ').next().and_then(|it| it.parse().ok());
                    time += Duration::from_nanos(ran.context("/proc has an unknown format")?);
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                // It has ended meanwhile.
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                Err(e) => return Err(e).context("cannot read what a thread has used"),
            }
        }
        Ok(time)
    }

    fn children(self) -> Vec<Process> {
        let list = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.0));
        let list = list.unwrap_or_default();
        list.split_whitespace().filter_map(|it| it.parse().ok()).map(Process).collect()
    }

    /// Its resident memory in bytes, shared pages included.
    pub(crate) fn resident_bytes(self) -> anyhow::Result<u64> {
        self.memory("VmRSS:")
    }

    /// What of its resident memory is nobody else's, in bytes: all but the pages of files, which are the program and its
    /// libraries, and which all processes of the same program share.
    pub(crate) fn own_bytes(self) -> anyhow::Result<u64> {
        self.memory("RssAnon:")
    }

    fn memory(self, field: &str) -> anyhow::Result<u64> {
        bytes_in(&self.read("status")?, field).context("/proc has an unknown format")
    }

    fn read(self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(path).context("the server has ended")
    }
}

/// `utime` and `stime`, the 14th and 15th fields, and the same of children that have ended.
fn ticks_in(stat: &str) -> Option<[u64; 2]> {
    // The second field is the program's name in parentheses, and may contain anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some([next()? + next()?, next()? + next()?])
}

fn duration(ticks: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second();
    Duration::from_secs_f64(ticks as f64 / per_second as f64)
}

fn bytes_in(status: &str, field: &str) -> Option<u64> {
    let text = status.lines().find_map(|it| it.strip_prefix(field))?;
    let kib: u64 = text.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_program_name() {
        let stat = "42 (a) b ( c) S 1 42 42 0 -1 4194304 900 0 0 0 17 25 3 4 20 0 5 0 100 1 2";
        assert_eq!(ticks_in(stat), Some([42, 7]));
        assert_eq!(ticks_in("42 (a) S 1"), None);
    }

    #[test]
    fn memory_is_in_bytes() {
        let status = "Name:\tsteadfast\nVmRSS:\t    3320 kB\nRssAnon:\t     12 kB\n";
        assert_eq!(bytes_in(status, "VmRSS:"), Some(3320 * 1024));
        assert_eq!(bytes_in(status, "RssAnon:"), Some(12 * 1024));
        assert_eq!(bytes_in("Name:\tzombie\n", "VmRSS:"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let own = Process(std::process::id());
        let before = own.cpu_time().unwrap();
        let until = std::time::Instant::now() + Duration::from_millis(1);
        while std::time::Instant::now() < until {}
        assert!(own.cpu_time().unwrap() > before, "it is not counted to less than a tick");
        assert!(own.resident_bytes().unwrap() > own.own_bytes().unwrap());
    }
}
