//! What the system tells of the processor.

/// The values of lines of `/proc/cpuinfo`, for the first processor, where there are such lines.
pub(crate) fn told<const N: usize>(names: [&str; N]) -> [Option<String>; N] {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    names.map(|name| value(&text, name))
}

fn value(text: &str, name: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let mut found = lines.filter(|(key, _)| key.trim_end() == name);
    found.next().map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU: 3 GHz\nmodel\t\t: 17\nprocessor\t: 1\nmodel\t\t: 18\n";
        assert_eq!(value(text, "model").as_deref(), Some("17"));
        assert_eq!(value(text, "model name").as_deref(), Some("Some CPU: 3 GHz"));
        assert_eq!(value(text, "microcode"), None);
    }
}
