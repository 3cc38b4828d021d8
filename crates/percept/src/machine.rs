//! What the machine has: cores, SIMD instruction sets, memory.

use serde::Serialize;

/// Memory in bytes.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Memory {
    /// Installed.
    pub(crate) total: u64,
    /// Free for new work without swapping.
    pub(crate) available: u64,
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The SIMD instruction sets that matter to the kernels and are present.
pub(crate) fn simd() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        let sets = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
            ("avx512bf16", std::arch::is_x86_feature_detected!("avx512bf16")),
        ];
        sets.into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect()
    }
    #[cfg(target_arch = "aarch64")]
    {
        vec!["neon"]
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        Vec::new()
    }
}

/// The memory, where the system tells (Linux).
pub(crate) fn memory() -> Option<Memory> {
    parse_meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

/// The most resident memory in bytes that this process has had, where the system tells (Linux). Unlike `getrusage`, it
/// does not count what the parent had when this process was started.
pub(crate) fn peak_resident() -> Option<u64> {
    parse_peak(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn parse_peak(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn parse_meminfo(text: &str) -> Option<Memory> {
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    Some(Memory { total: field("MemTotal:")?, available: field("MemAvailable:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_bytes() {
        assert_eq!(parse_peak("VmPeak:\t 9 kB\nVmHWM:\t    3 kB\nVmRSS:\t 1 kB\n"), Some(3072));
        assert_eq!(parse_peak("nothing"), None);
    }

    #[test]
    fn meminfo_is_read_in_bytes() {
        let memory = parse_meminfo("MemTotal:  2 kB\nMemFree: 9 kB\nMemAvailable:   1 kB\n").unwrap();
        assert_eq!((memory.total, memory.available), (2048, 1024));
        assert!(parse_meminfo("nothing").is_none());
    }
}
