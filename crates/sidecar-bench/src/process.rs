//! What a process has used. Source: proc_pid_stat(5), proc_pid_status(5).

use std::{fs, time::Duration};

use anyhow::Context;

/// A process that runs, by its id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// Its CPU time so far, user and system, of all its threads. Steps of a clock tick, 10 ms.
    pub(crate) fn cpu_time(self) -> anyhow::Result<Duration> {
        let ticks = ticks_in(&self.read("stat")?).context("/proc has an unknown format")?;
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
    }

    /// Its resident memory in bytes, shared pages included.
    pub(crate) fn resident_bytes(self) -> anyhow::Result<u64> {
        resident_in(&self.read("status")?).context("/proc has an unknown format")
    }

    fn read(self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(path).context("the server has ended")
    }
}

/// `utime` and `stime`, the 14th and 15th fields.
fn ticks_in(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses, and may contain anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

fn resident_in(status: &str) -> Option<u64> {
    let text = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    let kib: u64 = text.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_program_name() {
        let stat = "42 (a) b ( c) S 1 42 42 0 -1 4194304 900 0 0 0 17 25 3 4 20 0 5 0 100 1 2";
        assert_eq!(ticks_in(stat), Some(42));
        assert_eq!(ticks_in("42 (a) S 1"), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        let status = "Name:\tsteadfast\nVmHWM:\t    9000 kB\nVmRSS:\t    3320 kB\n";
        assert_eq!(resident_in(status), Some(3320 * 1024));
        assert_eq!(resident_in("Name:\tzombie\n"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let own = Process(std::process::id());
        own.cpu_time().unwrap();
        assert!(own.resident_bytes().unwrap() > 0);
    }
}
