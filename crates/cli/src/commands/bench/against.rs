//! `--against COMMAND`: ours and another command, turn by turn, each time in a fresh process.

use clap::Args;
use percept::{Fault, Result};
use serde::Serialize;

use super::child::{self, Object};
use super::timing::Times;
use crate::arguments::Global;
use crate::meter::Meter;
use crate::terminal::{Style, Terminal};

/// What is compared where no key is asked for: the first that both sides print.
const KEYS: [&str; 2] = ["median_ms", "ms_per_token"];
/// Weights, gradients and AdamW's two moments in f32: what any implementation holds per parameter.
const BYTES_PER_PARAMETER: f64 = 16.0;

/// What is compared with.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Comparison")]
pub(super) struct AgainstArgs {
    /// Alternate with this shell command, which prints one JSON object, and report the ratio of medians
    #[arg(long, value_name = "COMMAND")]
    against: Option<String>,
    /// Turns of each side, at least 3
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..))]
    rounds: u32,
    /// The key to compare; by default median_ms, else ms_per_token
    #[arg(long, value_name = "KEY", requires = "against")]
    key: Option<String>,
}

/// A comparison that was asked for.
pub(super) struct Other<'a> {
    command: &'a str,
    rounds: u32,
    key: Option<&'a str>,
}

impl AgainstArgs {
    pub(super) fn other(&self) -> Option<Other<'_>> {
        let command = self.against.as_deref()?;
        Some(Other { command, rounds: self.rounds, key: self.key.as_deref() })
    }
}

/// One turn of each side.
#[derive(Debug, Clone, Copy, Serialize)]
struct Round {
    ours: f64,
    theirs: f64,
    ratio: f64,
}

/// Peak resident memory in MiB; theirs without what its imports took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Memory {
    ours: f64,
    theirs: f64,
    ratio: f64,
    /// Without 16 bytes per parameter on either side.
    beyond_parameters: Option<Beyond>,
}

/// Memory beyond weights, gradients and moments, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Beyond {
    ours: f64,
    theirs: f64,
    ratio: f64,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Comparison {
    task: String,
    config: String,
    precision: String,
    against: String,
    key: String,
    rounds: Vec<Round>,
    ours_median: f64,
    theirs_median: f64,
    /// Ratio of the medians, ours over theirs.
    ratio: f64,
    /// Least and most of the ratios of the rounds.
    ratio_min: f64,
    ratio_max: f64,
    memory_mib: Option<Memory>,
    /// The last turn of each side, as it was printed.
    ours: Object,
    theirs: Object,
}

impl Other<'_> {
    /// Compares and prints.
    pub(super) fn compare(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let comparison = self.run(terminal)?;
        comparison.print(&terminal)?;
        terminal.json(&comparison)
    }

    fn run(&self, terminal: Terminal) -> Result<Comparison> {
        let ours = || child::measure(&mut child::own_again(&["--against", "--rounds", "--key"])?, "percept", None);
        let theirs = || child::measure(&mut child::shell(self.command), self.command, None);
        self.alternate(terminal, &mut || finished(ours()?), &mut || finished(theirs()?))
    }

    /// Ours and theirs, turn by turn: what slows the machine down for a while meets both.
    fn alternate(
        &self,
        terminal: Terminal,
        ours: &mut dyn FnMut() -> Result<Object>,
        theirs: &mut dyn FnMut() -> Result<Object>,
    ) -> Result<Comparison> {
        let mut meter = Meter::new(terminal, "turns", 2 * u64::from(self.rounds));
        let (mut key, mut rounds, mut last) = (self.key.map(str::to_owned), Vec::new(), None);
        for round in 0..self.rounds {
            let ours = ours()?;
            meter.set(u64::from(2 * round + 1), || "ours".into());
            let theirs = theirs()?;
            meter.set(u64::from(2 * round + 2), || "theirs".into());
            let key = match &key {
                Some(key) => key.clone(),
                None => key.insert(common_key(&ours, &theirs, self.command)?).clone(),
            };
            let (ours_value, theirs_value) = (number(&ours, &key, "percept")?, number(&theirs, &key, self.command)?);
            meter.say(&format!("round {}: {ours_value:.3} against {theirs_value:.3}", round + 1));
            rounds.push(Round { ours: ours_value, theirs: theirs_value, ratio: ours_value / theirs_value });
            last = Some((ours, theirs));
        }
        let (ours, theirs) = last.ok_or_else(|| Fault::internal("a comparison without rounds"))?;
        Ok(self.summarise(key.unwrap_or_default(), rounds, ours, theirs))
    }

    fn summarise(&self, key: String, rounds: Vec<Round>, ours: Object, theirs: Object) -> Comparison {
        let column = |value: fn(&Round) -> f64| Times::new(rounds.iter().map(value).collect());
        let (our_times, their_times) = (column(|round| round.ours), column(|round| round.theirs));
        let ratios = column(|round| round.ratio);
        let text = |key: &str| ours.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        Comparison {
            task: text("task"),
            config: text("config"),
            precision: text("precision"),
            against: self.command.to_owned(),
            key,
            ours_median: our_times.median(),
            theirs_median: their_times.median(),
            ratio: our_times.median() / their_times.median(),
            ratio_min: ratios.min(),
            ratio_max: ratios.max(),
            memory_mib: Memory::of(&ours, &theirs),
            rounds,
            ours,
            theirs,
        }
    }
}

/// Without a limit every child finishes.
fn finished(object: Option<Object>) -> Result<Object> {
    object.ok_or_else(|| Fault::internal("a measurement without a limit was cut off"))
}

fn common_key(ours: &Object, theirs: &Object, command: &str) -> Result<String> {
    let both = KEYS.iter().find(|key| ours.contains_key(**key) && theirs.contains_key(**key));
    both.map(|key| (*key).to_owned()).ok_or_else(|| {
        let keys: Vec<&str> = theirs.keys().map(String::as_str).collect();
        Fault::usage(format!("`{command}` prints neither median_ms nor ms_per_token, but: {}", keys.join(", ")))
            .hint("--key KEY names what to compare; both sides must print it")
    })
}

fn number(object: &Object, key: &str, what: &str) -> Result<f64> {
    let value = object.get(key).and_then(serde_json::Value::as_f64).filter(|value| *value > 0.0);
    value.ok_or_else(|| {
        let found = object.get(key).map_or("nothing".to_owned(), ToString::to_string);
        Fault::usage(format!("`{what}`: `{key}` is {found}, not a number above 0")).hint("--key KEY names another key")
    })
}

impl Memory {
    /// Where both sides print their peak.
    fn of(ours: &Object, theirs: &Object) -> Option<Self> {
        let value = |object: &Object, key: &str| object.get(key).and_then(serde_json::Value::as_f64);
        let peak =
            |object: &Object| Some(value(object, "peak_rss_mib")? - value(object, "import_rss_mib").unwrap_or(0.0));
        let fixed = |object: &Object| {
            let parameters = value(object, "parameters").or_else(|| value(object, "params"))?;
            Some(parameters * BYTES_PER_PARAMETER / f64::from(1 << 20))
        };
        let (our_peak, their_peak) = (peak(ours)?, peak(theirs)?);
        let beyond = |our_fixed: f64, their_fixed: f64| {
            let (ours, theirs) = (our_peak - our_fixed, their_peak - their_fixed);
            Beyond { ours, theirs, ratio: ours / theirs }
        };
        Some(Self {
            ours: our_peak,
            theirs: their_peak,
            ratio: our_peak / their_peak,
            beyond_parameters: fixed(ours).zip(fixed(theirs)).map(|(ours, theirs)| beyond(ours, theirs)),
        })
    }
}

impl Comparison {
    fn print(&self, terminal: &Terminal) -> Result<()> {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING).set_header(["", "ours", "theirs", "ours / theirs"]);
        for (index, round) in self.rounds.iter().enumerate() {
            table.add_row(row(&format!("round {}", index + 1), round.ours, round.theirs, round.ratio));
        }
        table.add_row(row(&format!("median {}", self.key), self.ours_median, self.theirs_median, self.ratio));
        if let Some(memory) = &self.memory_mib {
            table.add_row(row("peak memory, MiB", memory.ours, memory.theirs, memory.ratio));
            if let Some(beyond) = &memory.beyond_parameters {
                table.add_row(row("beyond 16 bytes per parameter", beyond.ours, beyond.theirs, beyond.ratio));
            }
        }
        terminal.text(table.to_string())?;
        let spread = format!("{:.3} ({:.3} to {:.3})", self.ratio, self.ratio_min, self.ratio_max);
        terminal.text(format!("{} {spread} of `{}`", Style::Bold.out(&self.key), self.against))
    }
}

fn row(name: &str, ours: f64, theirs: f64, ratio: f64) -> [String; 4] {
    [name.to_owned(), format!("{ours:.3}"), format!("{theirs:.3}"), format!("{ratio:.3}")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::{Format, Talk};

    fn object(json: &str) -> Object {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_key_is_the_first_that_both_print() {
        let ours = object(r#"{"median_ms": 1, "ms_per_token": 2}"#);
        assert_eq!(common_key(&ours, &object(r#"{"median_ms": 1}"#), "x").unwrap(), "median_ms");
        assert_eq!(common_key(&ours, &object(r#"{"ms_per_token": 1}"#), "x").unwrap(), "ms_per_token");
        assert!(common_key(&ours, &object(r#"{"seconds": 1}"#), "x").unwrap_err().to_string().contains("seconds"));
        assert!(number(&object(r#"{"a": "1"}"#), "a", "x").unwrap_err().is_usage());
    }

    #[test]
    fn the_ratio_is_of_medians_and_the_spread_of_rounds() {
        let other = Other { command: "x", rounds: 3, key: None };
        let round = |ours: f64, theirs: f64| Round { ours, theirs, ratio: ours / theirs };
        let rounds = vec![round(1.0, 4.0), round(9.0, 6.0), round(2.0, 2.0)];
        let result = other.summarise("k".into(), rounds, object("{}"), object("{}"));
        assert_eq!((result.ours_median, result.theirs_median, result.ratio), (2.0, 4.0, 0.5));
        assert_eq!((result.ratio_min, result.ratio_max, result.memory_mib), (0.25, 1.5, None));
    }

    #[test]
    fn both_sides_take_turns() {
        let turns = std::cell::RefCell::new(Vec::new());
        let turn = |who: &'static str, times: [f64; 3]| {
            let (turns, mut times) = (&turns, times.into_iter());
            move || {
                turns.borrow_mut().push(who);
                Ok(object(&format!("{{\"ms_per_token\": {}}}", times.next().unwrap())))
            }
        };
        let other = Other { command: "x", rounds: 3, key: None };
        let quiet = Terminal { talk: Talk::Quiet, format: Format::Text };
        let (mut ours, mut theirs) = (turn("ours", [1.0, 2.0, 3.0]), turn("theirs", [4.0, 4.0, 2.0]));
        let result = other.alternate(quiet, &mut ours, &mut theirs).unwrap();
        assert_eq!(*turns.borrow(), ["ours", "theirs", "ours", "theirs", "ours", "theirs"]);
        assert_eq!((result.key.as_str(), result.ratio, result.ratio_max), ("ms_per_token", 0.5, 1.5));
        assert_eq!((&result.ours["ms_per_token"], &result.theirs["ms_per_token"]), (&3.into(), &2.into()));
    }

    #[test]
    fn memory_is_compared_without_imports_and_parameters() {
        let ours = object(r#"{"peak_rss_mib": 100, "parameters": 1048576}"#);
        let theirs = object(r#"{"peak_rss_mib": 700, "import_rss_mib": 500, "params": 2097152}"#);
        let memory = Memory::of(&ours, &theirs).unwrap();
        assert_eq!((memory.ours, memory.theirs, memory.ratio), (100.0, 200.0, 0.5));
        assert_eq!(memory.beyond_parameters, Some(Beyond { ours: 84.0, theirs: 168.0, ratio: 0.5 }));
        assert_eq!(Memory::of(&ours, &object("{}")), None);
    }
}
