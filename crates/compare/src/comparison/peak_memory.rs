//! The most memory that this process held since some moment, where the system tells (Linux).

use std::fs;

/// Forgets the peak so far. Best effort: without it, the peak is that of the whole process.
pub(super) fn reset() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Peak resident memory in bytes since [`reset`].
pub(super) fn read() -> Option<u64> {
    parse(&fs::read_to_string("/proc/self/status").ok()?)
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_bytes() {
        assert_eq!(parse("Name:\tpercept\nVmHWM:\t    12 kB\nVmRSS:\t 3 kB\n"), Some(12 * 1024));
        assert_eq!(parse("Name:\tpercept\n"), None);
    }
}
