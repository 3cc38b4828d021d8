//! What the machine has: cores, SIMD instruction sets; and the memory that this process had.

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
            ("amx-bf16", percept_kernels::Product::Amx.is_available()),
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

/// The most resident memory in bytes that this process has had, where the system tells (Linux). Unlike `getrusage`, it
/// does not count what the parent had when this process was started.
pub(crate) fn peak_resident() -> Option<u64> {
    parse_peak(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn parse_peak(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_bytes() {
        assert_eq!(parse_peak("VmPeak:\t 9 kB\nVmHWM:\t    3 kB\nVmRSS:\t 1 kB\n"), Some(3072));
        assert_eq!(parse_peak("nothing"), None);
    }
}
