//! Budgets as people write them: `20m`, `6M targets`, `1e15 flops`.

use std::str::FromStr;

use percept_fault::{Fault, Result};

use super::result::{Axis, Budget};

const SCALES: [(char, f64); 6] = [('k', 1e3), ('M', 1e6), ('G', 1e9), ('B', 1e9), ('T', 1e12), ('P', 1e15)];

impl FromStr for Budget {
    type Err = Fault;

    /// A number and a unit of time (`s`, `m`, `h`, `d`), or a number, a scale (`k`, `M`, `G`, `T`, `P`) and what is counted
    /// (`tokens`, `targets`, `flops`).
    fn from_str(text: &str) -> Result<Self> {
        let refused = |what: &str| {
            Fault::usage(format!("budget `{text}`: {what}"))
                .hint("write for example 20m, 6M tokens, 6M targets, or 1e15 flops")
        };
        let (number, rest) = number(text.trim()).ok_or_else(|| refused("it does not begin with a number"))?;
        let (kind, unit) = match rest {
            "" => return Err(refused("of what?")),
            "s" | "sec" | "seconds" => (Axis::Seconds, 1.0),
            "m" | "min" | "minutes" => (Axis::Seconds, 60.0),
            "h" | "hours" => (Axis::Seconds, 3600.0),
            "d" | "days" => (Axis::Seconds, 86_400.0),
            rest => counted(rest).ok_or_else(|| refused("unknown unit"))?,
        };
        let amount = number * unit;
        match amount.is_finite() && amount > 0.0 {
            true => Ok(Self { kind, amount }),
            false => Err(refused("it must be above 0")),
        }
    }
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Axis::Seconds => write!(f, "{} seconds of training", self.amount),
            Axis::Tokens => write!(f, "{} tokens", self.amount),
            Axis::Targets => write!(f, "{} trained targets", self.amount),
            Axis::Flops => write!(f, "{:e} FLOPs", self.amount),
        }
    }
}

/// The longest number at the start of a text, and what follows it.
fn number(text: &str) -> Option<(f64, &str)> {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let ends = (1..=text.len()).rev().filter(|end| digits && text.is_char_boundary(*end));
    ends.into_iter().find_map(|end| Some((text[..end].parse().ok()?, text[end..].trim_start())))
}

/// `M tokens`: what is counted, and the scale.
fn counted(text: &str) -> Option<(Axis, f64)> {
    let scale = SCALES.into_iter().find(|(letter, _)| {
        text.starts_with(*letter) && text[1..].starts_with(|c: char| c.is_whitespace() || c.is_ascii_lowercase())
    });
    let (unit, scale) = scale.map_or((text, 1.0), |(_, scale)| (text[1..].trim_start(), scale));
    let kind = match unit.to_ascii_lowercase().as_str() {
        "token" | "tokens" => Axis::Tokens,
        "target" | "targets" => Axis::Targets,
        "flop" | "flops" => Axis::Flops,
        _ => return None,
    };
    Some((kind, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Budget>().map(|budget| (budget.kind, budget.amount)).unwrap();
        assert_eq!((read("20m"), read("1.5 h"), read("90 s")).0, (Axis::Seconds, 1200.0));
        assert_eq!((read("1.5 h"), read("2d")), ((Axis::Seconds, 5400.0), (Axis::Seconds, 172_800.0)));
        assert_eq!((read("6M tokens"), read("6Mtargets")), ((Axis::Tokens, 6e6), (Axis::Targets, 6e6)));
        assert_eq!((read("1e15 flops"), read("3P FLOPs")), ((Axis::Flops, 1e15), (Axis::Flops, 3e15)));
        assert_eq!(read("500 targets"), (Axis::Targets, 500.0));
    }

    #[test]
    fn what_is_no_budget_is_refused_with_examples() {
        for (text, what) in [
            ("", "begin with a number"),
            ("inf tokens", "begin with a number"),
            ("6M", "unknown unit"),
            ("6", "of what?"),
            ("3 parsecs", "unknown unit"),
            ("0 tokens", "above 0"),
            ("1é", "unknown unit"),
        ] {
            let fault = text.parse::<Budget>().unwrap_err();
            assert!(fault.is_usage() && fault.to_string().contains(what), "{text}: {fault}");
            assert!(fault.hint_text().unwrap().contains("20m"));
        }
    }
}
