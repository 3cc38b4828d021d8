//! Numbers and paths as people read them.

use std::path::Path;

/// Text that a model wrote, safe to show: control characters, which could steer a terminal, are replaced.
pub(crate) fn printable(text: &str) -> String {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A path below the current folder without that folder.
pub(crate) fn path(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let short = here.and_then(|here| path.strip_prefix(here).ok()).filter(|short| !short.as_os_str().is_empty());
    short.unwrap_or(path).display().to_string()
}

/// `12.3 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// `214,640,452`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.2k`, `34.0M`: digits at a glance.
pub(crate) fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        magnitude if magnitude >= 1e12 => (value / 1e12, "T"),
        magnitude if magnitude >= 1e9 => (value / 1e9, "G"),
        magnitude if magnitude >= 1e6 => (value / 1e6, "M"),
        magnitude if magnitude >= 1e3 => (value / 1e3, "k"),
        _ => return format!("{value:.0}"),
    };
    format!("{scaled:.1}{unit}")
}

/// `42s`, `3m05s`, `2h07m`, `3d04h`.
pub(crate) fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// `3.1 ms`: a time of any size, to two digits.
pub(crate) fn short_duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 1e-6 => format!("{:.1} ns", seconds * 1e9),
        seconds if seconds < 1e-3 => format!("{:.1} µs", seconds * 1e6),
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        seconds if seconds < 60.0 => format!("{seconds:.1} s"),
        seconds => duration(seconds),
    }
}

/// `2.310 bits/byte`; `1.601 nats` of each target where the tokenizer is lossy.
pub(crate) fn quality(bits_per_byte: Option<f64>, nats: f64) -> String {
    match bits_per_byte {
        Some(bits) => format!("{bits:.3} bits/byte"),
        None => format!("{nats:.3} nats"),
    }
}

/// `1 document`, `2 documents`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_the_current_folder_are_short() {
        let here = std::env::current_dir().unwrap();
        assert_eq!((path(&here.join("runs/mine")), path(&here)), ("runs/mine".into(), here.display().to_string()));
        assert_eq!(path(Path::new("/elsewhere")), "/elsewhere");
    }

    #[test]
    fn text_of_a_model_cannot_steer_a_terminal() {
        assert_eq!(printable("a\tb\n\x1b[2Jé\0"), "a\tb\n\u{fffd}[2Jé\u{fffd}");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!((bytes(0), bytes(1023), bytes(1536)), ("0 B".into(), "1023 B".into(), "1.5 KiB".into()));
        assert_eq!(
            (grouped(7), grouped(1000), grouped(214_640_452)),
            ("7".into(), "1,000".into(), "214,640,452".into())
        );
        assert_eq!((short(999.0), short(12_345.0), short(2.5e9)), ("999".into(), "12.3k".into(), "2.5G".into()));
        assert_eq!((duration(59.4), duration(185.0), duration(7620.0)), ("59s".into(), "3m05s".into(), "2h07m".into()));
        assert_eq!((short_duration(9e-8), short_duration(2e-6)), ("90.0 ns".into(), "2.0 µs".into()));
        assert_eq!((short_duration(1.25), short_duration(185.0)), ("1.2 s".into(), "3m05s".into()));
        assert_eq!((quality(Some(2.3101), 1.6), quality(None, 1.6)), ("2.310 bits/byte".into(), "1.600 nats".into()));
        assert_eq!((plural(1, "document"), plural(2, "document")), ("1 document".into(), "2 documents".into()));
    }
}
