//! What the system is asked for: cores, open files, and what processes use.

use anyhow::Context;
use rustix::{
    process::{Pid, Resource, Rlimit, getrlimit, setrlimit},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// Which cores the server has, and which the generator.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    /// The servers'.
    pub(crate) servers: Vec<usize>,
    /// The generator's.
    pub(crate) generator: Vec<usize>,
}

impl Cores {
    /// The generator has the last of the machine's cores and the servers the first; nobody has one for itself
    /// where there is only one, or unless they are to be `apart`.
    ///
    /// # Errors
    ///
    /// The system does not say.
    pub(crate) fn deal(apart: bool, servers: &[usize]) -> anyhow::Result<Self> {
        let set = sched_getaffinity(None)?;
        let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|it| set.is_set(*it)).collect();
        Ok(match all.as_slice() {
            [.., last] if apart && all.len() > 1 => Self {
                servers: if servers.is_empty() {
                    vec![all[0]]
                } else {
                    servers.to_vec()
                },
                generator: vec![*last],
            },
            _ => Self {
                servers: all.clone(),
                generator: all,
            },
        })
    }

    /// Moves this thread, and what it starts from now on, to the generator's cores.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub(crate) fn take_generators(&self) -> anyhow::Result<()> {
        take(&self.generator)
    }

    /// Starts something on the servers' cores: processes inherit them from the thread that starts them.
    ///
    /// # Errors
    ///
    /// The system refuses, or what `start` says.
    pub(crate) fn on_servers<T>(
        &self,
        start: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        take(&self.servers)?;
        let started = start();
        take(&self.generator)?;
        started
    }
}

fn take(cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    sched_setaffinity(None, &set).context("cannot move to other cores")
}

/// Lets this process, and those that it starts, have as many open sockets as the system allows at all.
pub(crate) fn open_many_files() {
    let now = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    // Whoever may not has as many as before; connections say so when they fail.
    let _refused = setrlimit(Resource::Nofile, most);
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Seconds on a core, its own and the system's for it.
    pub(crate) cpu_seconds: f64,
    /// Bytes of memory now.
    pub(crate) memory_bytes: u64,
}

/// What the process uses; nothing if it is gone.
#[must_use]
pub(crate) fn usage(process: u32) -> Usage {
    read_usage(process).unwrap_or_default()
}

fn read_usage(process: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before may hold anything, also brackets.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|it| it.parse::<u64>().ok())
        .sum();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|it| it.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(Usage {
        cpu_seconds: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        memory_bytes: kib << 10,
    })
}

/// The process with this id.
///
/// # Errors
///
/// There can be none.
pub(crate) fn process(id: u32) -> anyhow::Result<Pid> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    id.context("no process has this id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let used = usage(std::process::id());
        assert!(used.memory_bytes > 100_000, "{used:?}");
        assert_eq!(usage(u32::MAX), Usage::default());
    }
}
