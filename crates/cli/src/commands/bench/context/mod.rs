//! `percept bench context`: cost per token and memory over context lengths and models.
//!
//! Each point is a fresh process of this program (`bench train`, `bench prefill`, `bench decode`), so that peaks of memory
//! do not mix. Training takes the same number of tokens per step at every length; decoding begins at the same offset
//! in the segment.

mod plot;
mod point;
mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use percept::{Fault, Result};

use point::{Kind, Limits, Point, Setting};
use report::ContextReport;

use crate::arguments::Global;
use crate::human;
use crate::meter::Meter;

/// The model where none is named: width and depth of configuration S with the default options.
const BASE: [&str; 5] = ["model.dim=256", "model.depth=4", "model.heads=4", "model.vocab=4096", "model.segment=256"];

/// The longest context that a configuration may have.
const LONGEST: usize = 1 << 28;

/// Arguments of `percept bench context`.
#[derive(Debug, Args)]
#[command(after_help = "For example: percept bench context --models llp --contexts 2k,64k --tasks train --rounds 3\n\
    Lengths: 4k is 4,096. Points that need more memory than is free or more time than the limit are left out, with the reason.")]
pub(super) struct Context {
    /// A preset or a configuration file [default: the shape of S with the default options, segments of 256]
    #[arg(value_name = "PRESET|FILE")]
    preset: Option<String>,
    /// Set one key of the configuration; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Context lengths
    #[arg(long, value_name = "LENGTHS", value_delimiter = ',', value_parser = length,
        default_value = "1k,2k,4k,8k,16k,32k,64k,128k")]
    contexts: Vec<usize>,
    /// Mixers
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "llp,transformer")]
    models: Vec<String>,
    /// What is measured
    #[arg(long, value_name = "TASKS", value_delimiter = ',', default_value = "train,prefill,decode")]
    tasks: Vec<Kind>,
    /// Tokens of a training step; by default the longest context
    #[arg(long, value_name = "N", value_parser = length)]
    tokens_per_step: Option<usize>,
    /// Training steps and prompts on the clock, after two that warm up
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = super::at_least_one)]
    steps: usize,
    /// Tokens that are written at each length
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = super::at_least_one)]
    tokens: usize,
    /// Turns through all points; the medians count
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = super::at_least_one)]
    rounds: usize,
    /// Longest time of a measurement in seconds
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = super::at_least_one)]
    limit_seconds: usize,
    /// Plot into this SVG file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Context {
    pub(super) fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let setting = self.setting();
        let mut points = self.points(&setting)?;
        let mut meter = Meter::new(terminal, "points", (points.len() as u64).saturating_mul(self.rounds as u64));
        let mut done = 0;
        for _ in 0..self.rounds {
            // A length that took too long rules out the longer ones of its model and task.
            let mut limits: BTreeMap<(String, Kind), Limits> = BTreeMap::new();
            for point in &mut points {
                done += 1;
                if point.skipped.is_some() {
                    continue;
                }
                meter.set(done - 1, || point.describe());
                let limits = limits.entry((point.model.clone(), point.kind)).or_default();
                point.measure(&setting, limits, global)?;
                if let Some(reason) = &point.skipped {
                    meter.say(&format!("left out: {}: {reason}", point.describe()));
                }
            }
        }
        drop(meter);
        if points.iter().all(|point| point.runs.is_empty()) {
            return Err(Fault::check("no point was measured").hint("shorter --contexts, or a higher --limit-seconds"));
        }
        let report = ContextReport::new(self.preset.as_deref(), &setting, &points)?;
        report.print(&terminal)?;
        if let Some(path) = &self.svg {
            percept::files::write_with_folder(path, plot::svg(&points).as_bytes())?;
            terminal.say(format!("plot: {}", human::path(path)));
        }
        terminal.json(&report)
    }

    fn setting(&self) -> Setting {
        let longest = self.contexts.iter().copied().max().unwrap_or(1);
        let base = if self.preset.is_none() { &BASE[..] } else { &[] };
        Setting {
            preset: self.preset.clone().unwrap_or_else(|| percept::train::NO_PRESET.to_owned()),
            set: base.iter().map(|set| (*set).to_owned()).chain(self.set.iter().cloned()).collect(),
            tokens_per_step: self.tokens_per_step.unwrap_or(longest),
            steps: self.steps,
            tokens: self.tokens,
            limit_seconds: self.limit_seconds as u64,
            shortest: self.contexts.iter().copied().min().unwrap_or(1),
        }
    }

    /// All points, shorter contexts first.
    fn points(&self, setting: &Setting) -> Result<Vec<Point>> {
        let mut contexts = self.contexts.clone();
        contexts.sort_unstable();
        contexts.dedup();
        if let Some(long) = contexts.iter().find(|&&context| context > setting.tokens_per_step) {
            let (long, step) = (human::grouped(*long as u64), human::grouped(setting.tokens_per_step as u64));
            return Err(Fault::usage(format!("a context of {long} tokens is longer than a step of {step}"))
                .hint("--tokens-per-step must be at least the longest context"));
        }
        let mut points = Vec::new();
        for model in &self.models {
            for &context in &contexts {
                points.extend(self.tasks.iter().map(|&kind| Point::new(model, context, kind)));
            }
        }
        Ok(points)
    }
}

/// `4k` is 4,096, `1M` is 1,048,576.
fn length(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1 << 10),
        None => text.strip_suffix('M').map_or((text, 1), |digits| (digits, 1 << 20)),
    };
    let length = digits.parse::<usize>().ok().and_then(|count| count.checked_mul(unit));
    let length = length.filter(|length| (1..=LONGEST).contains(length));
    length.ok_or_else(|| "use a number of tokens such as 4096, 4k or 1M, at most 256M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read() {
        assert_eq!((length("1000"), length("4k"), length("1M")), (Ok(1000), Ok(4096), Ok(1 << 20)));
        for text in ["", "k", "0", "-1", "4kk", "1.5k", "257M"] {
            assert!(length(text).is_err(), "{text}");
        }
    }
}
