//! The memory that this process may use: what the machine has, within the limits that are set for the process (control
//! groups, as containers and batch systems set them, and `ulimit`). Known on Linux.

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use percept_fault::{Fault, Result};
use serde::Serialize;

/// Memory in bytes.
///
/// ```
/// use percept_train::Memory;
/// let gibibyte = 1 << 30;
/// let memory = Memory { total: 8 * gibibyte, available: 6 * gibibyte, limit: 10 * gibibyte };
/// let fault = memory.refusal(24 * gibibyte, "the model of runs/large");
/// assert_eq!(fault.exit_code(), 3);
/// assert!(fault.to_string().starts_with("the model of runs/large needs about 24"), "{fault}");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// What this process can have at most, without swapping.
    pub total: u64,
    /// Free for new work without swapping.
    pub available: u64,
    /// What it can have at most with all swap space: nothing larger fits.
    pub limit: u64,
}

impl Memory {
    /// The memory for this process; `None` where the system does not tell.
    pub fn of_this_process() -> Option<Self> {
        let read = |path: &str| fs::read_to_string(path).ok();
        let machine = of_machine(&read("/proc/meminfo")?)?;
        let groups = read("/proc/self/cgroup").map(|text| groups(&text, &read)).unwrap_or_default();
        let own =
            of_process(&read("/proc/self/limits").unwrap_or_default(), &read("/proc/self/status").unwrap_or_default());
        Some(groups.into_iter().chain(own).fold(machine, Self::within))
    }

    /// Refuses what is to be held for `device` and is larger than all memory. Where that is not known, and for devices with a
    /// memory of their own, nothing.
    ///
    /// # Errors
    /// An environment fault: `WHAT needs about ...`.
    pub fn check(needed: u64, what: &str, device: &Device) -> Result<()> {
        match Self::of_this_process() {
            Some(memory) if *device == Device::flex() && needed > memory.limit => Err(memory.refusal(needed, what)),
            _ => Ok(()),
        }
    }

    /// That something does not fit.
    pub fn refusal(&self, needed: u64, what: &str) -> Fault {
        let (needed, limit) = (gibibytes(needed), gibibytes(self.limit));
        Fault::environment(format!("{what} needs about {needed} of memory; this process can have {limit} at most"))
            .hint("use a machine, or a limit (control group, ulimit), with more memory")
    }

    /// What both allow.
    fn within(self, other: Self) -> Self {
        Self {
            total: self.total.min(other.total),
            available: self.available.min(other.available),
            limit: self.limit.min(other.limit),
        }
    }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30))
}

/// `Name:   12 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024))
}

fn of_machine(meminfo: &str) -> Option<Memory> {
    let total = kilobytes(meminfo, "MemTotal")?;
    let swap = kilobytes(meminfo, "SwapTotal").unwrap_or(0);
    Some(Memory { total, available: kilobytes(meminfo, "MemAvailable")?, limit: total.saturating_add(swap) })
}

/// What `ulimit -v` and `ulimit -d` leave.
fn of_process(limits: &str, status: &str) -> Vec<Memory> {
    let of = |limit: &str, used: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(limit))?;
        let total: u64 = line.split_whitespace().next()?.parse().ok()?;
        let used = kilobytes(status, used).unwrap_or(0);
        Some(Memory { total, available: total.saturating_sub(used), limit: total })
    };
    [of("Max address space", "VmSize"), of("Max data size", "VmData")].into_iter().flatten().collect()
}

/// The limits of the control groups that `/proc/self/cgroup` names, and of those around them.
fn groups(names: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<Memory> {
    let mut found = Vec::new();
    for line in names.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, files) = match controllers {
            "" => ("/sys/fs/cgroup", &UNIFIED),
            _ if controllers.split(',').any(|name| name == "memory") => ("/sys/fs/cgroup/memory", &SEPARATE),
            _ => continue,
        };
        // In a container the path may be that of the host; the container's own group is then the root.
        let around = Path::new(path.trim_start_matches('/')).ancestors().filter_map(Path::to_str);
        found.extend(around.filter_map(|group| files.read(&format!("{root}/{group}"), read)));
    }
    found
}

/// What the files of a kind of control group are called.
struct GroupFiles {
    most: &'static str,
    used: &'static str,
    /// Of swap alone, or of memory and swap together.
    swap: &'static str,
    together: bool,
    /// File contents that are kept and can be dropped at any time, in `memory.stat`.
    dropped: &'static str,
}

/// Version 2: one tree.
const UNIFIED: GroupFiles = GroupFiles {
    most: "memory.max",
    used: "memory.current",
    swap: "memory.swap.max",
    together: false,
    dropped: "inactive_file",
};

/// Version 1: a tree for memory.
const SEPARATE: GroupFiles = GroupFiles {
    most: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    swap: "memory.memsw.limit_in_bytes",
    together: true,
    dropped: "total_inactive_file",
};

impl GroupFiles {
    /// The limit of a group; `None` where it has none.
    fn read(&self, group: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<Memory> {
        let number = |name: &str| read(&format!("{group}/{name}"))?.trim().parse::<u64>().ok();
        let total = number(self.most)?;
        let stat = read(&format!("{group}/memory.stat")).unwrap_or_default();
        let dropped = stat.lines().find_map(|line| line.strip_prefix(self.dropped)?.trim().parse::<u64>().ok());
        let used = number(self.used).unwrap_or(0).saturating_sub(dropped.unwrap_or(0));
        let limit = match number(self.swap) {
            Some(both) if self.together => both,
            Some(swap) => total.saturating_add(swap),
            // No limit on swap: that of the machine holds.
            None => u64::MAX,
        };
        Some(Memory { total, available: total.saturating_sub(used), limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    /// Files by path.
    fn files<'a>(files: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
    }

    #[test]
    fn the_machine_s_memory_is_read_in_bytes() {
        let memory = of_machine("MemTotal:  2 kB\nMemFree: 9 kB\nMemAvailable:   1 kB\nSwapTotal: 3 kB\n").unwrap();
        assert_eq!(memory, Memory { total: 2 * KIB, available: KIB, limit: 5 * KIB });
        assert!(of_machine("nothing").is_none());
    }

    #[test]
    fn limits_of_the_process_count() {
        let limits = "Limit   Soft Limit   Hard Limit   Units\nMax data size   unlimited   unlimited   bytes\n\
                      Max address space   9000   unlimited   bytes\n";
        let memory = of_process(limits, "VmSize:\t  2 kB\nVmData:\t 1 kB\n");
        assert_eq!(memory, [Memory { total: 9000, available: 9000 - 2 * KIB, limit: 9000 }]);
        assert!(of_process("", "").is_empty());
    }

    #[test]
    fn the_tightest_control_group_counts() {
        let read = files(&[
            ("/sys/fs/cgroup/job/step/memory.max", "max\n"),
            ("/sys/fs/cgroup/job/memory.max", "1000\n"),
            ("/sys/fs/cgroup/job/memory.current", "700\n"),
            ("/sys/fs/cgroup/job/memory.stat", "anon 500\ninactive_file 150\n"),
            ("/sys/fs/cgroup/job/memory.swap.max", "20\n"),
            ("/sys/fs/cgroup//memory.max", "5000\n"),
        ]);
        let groups = groups("1:cpu:/x\n0::/job/step\n", &read);
        assert_eq!(groups[0], Memory { total: 1000, available: 450, limit: 1020 });
        assert_eq!(groups[1], Memory { total: 5000, available: 5000, limit: u64::MAX });
        let machine = Memory { total: 3000, available: 2000, limit: 3500 };
        let memory = groups.into_iter().fold(machine, Memory::within);
        assert_eq!(memory, Memory { total: 1000, available: 450, limit: 1020 });
    }

    #[test]
    fn a_group_of_the_older_kind_counts_where_the_container_s_root_is_all_that_is_seen() {
        let read = files(&[
            ("/sys/fs/cgroup/memory//memory.limit_in_bytes", "1000\n"),
            ("/sys/fs/cgroup/memory//memory.usage_in_bytes", "400\n"),
            ("/sys/fs/cgroup/memory//memory.stat", "inactive_file 1\ntotal_inactive_file 100\n"),
            ("/sys/fs/cgroup/memory//memory.memsw.limit_in_bytes", "1300\n"),
        ]);
        let memory = groups("4:memory:/docker/abc\n0::/\n", &read);
        assert_eq!(memory, [Memory { total: 1000, available: 700, limit: 1300 }]);
    }
}
