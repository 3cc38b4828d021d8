//! One model at one context length in one task.

use std::time::Duration;

use clap::ValueEnum;
use percept::Result;
use percept::model::ModelConfig;
use percept::model::config::LayerSpec;
use percept::plan::{Plan, plan};
use percept::train::Memory;
use serde::Serialize;

use super::super::child::{self, Object};
use super::super::timing::{Times, WARM_UP};
use crate::arguments::Global;
use crate::arguments::config::resolve_named;
use crate::human;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Training steps
    Train,
    /// Reading a prompt of that length
    Prefill,
    /// Writing after that many tokens
    Decode,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::Train, Kind::Prefill, Kind::Decode];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Train => "train",
            Kind::Prefill => "prefill",
            Kind::Decode => "decode",
        }
    }
}

/// What all points share.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) preset: String,
    pub(super) set: Vec<String>,
    pub(super) tokens_per_step: usize,
    pub(super) steps: usize,
    pub(super) tokens: usize,
    pub(super) limit_seconds: u64,
    /// The shortest context, whose offset in the segment all positions of decoding take.
    pub(super) shortest: usize,
}

/// What is known about a model and a task from shorter contexts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// Operations per second at the last length that was measured.
    rate: Option<f64>,
    /// A shorter length took too long already.
    exceeded: Option<usize>,
}

/// A point with what was measured, once per round.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) model: String,
    pub(super) context: usize,
    pub(super) kind: Kind,
    /// What the child processes printed.
    pub(super) runs: Vec<Object>,
    /// Why it was left out.
    pub(super) skipped: Option<String>,
}

impl Point {
    pub(super) fn new(model: &str, context: usize, kind: Kind) -> Self {
        Self { model: model.to_owned(), context, kind, runs: Vec::new(), skipped: None }
    }

    pub(super) fn describe(&self) -> String {
        format!("{} at {}, {}", self.model, human::grouped(self.context as u64), self.kind.name())
    }

    /// The median over the rounds of a number that the children print.
    pub(super) fn median(&self, key: &str) -> Option<f64> {
        let values: Vec<f64> = self.runs.iter().filter_map(|run| run.get(key)?.as_f64()).collect();
        (!values.is_empty()).then(|| Times::new(values).median())
    }

    /// Measures it in a fresh process, or says why not.
    pub(super) fn measure(&mut self, setting: &Setting, limits: &mut Limits, global: &Global) -> Result<()> {
        let set = self.settings(setting);
        let config = resolve_named(Some(&setting.preset), &set, Vec::new())?;
        config.check_language_model()?;
        let plan = plan(&config)?;
        self.skipped = self.obstacle(&plan, setting, limits);
        if self.skipped.is_some() {
            return Ok(());
        }
        let arguments = self.arguments(setting, &set, &config.model);
        let limit = Duration::from_secs(setting.limit_seconds);
        match child::measure(&mut child::own(&arguments, global)?, &self.describe(), Some(limit))? {
            Some(run) => {
                let median = run.get("median_ms").and_then(serde_json::Value::as_f64);
                limits.rate = median.map(|milliseconds| self.operations(&plan, setting) / milliseconds * 1e3);
                self.runs.push(run);
            }
            None => {
                limits.exceeded = Some(self.context);
                self.skipped = Some(format!("it took more than {} s", setting.limit_seconds));
            }
        }
        Ok(())
    }

    /// Why it cannot be measured, as far as that can be told before.
    fn obstacle(&self, plan: &Plan, setting: &Setting, limits: &mut Limits) -> Option<String> {
        if let Some(context) = limits.exceeded {
            return Some(format!("{} tokens took too long already", human::grouped(context as u64)));
        }
        let free = Memory::of_this_process().map(|memory| memory.available);
        if let Some(free) = free.filter(|&free| self.kind == Kind::Train && plan.peak_memory_bytes > free) {
            let (needed, free) = (human::bytes(plan.peak_memory_bytes), human::bytes(free));
            return Some(format!("it needs about {needed} and {free} are free"));
        }
        // Decoding has no estimate: most of its time is the reading before, which the limit cuts off.
        let rate = limits.rate.filter(|_| self.kind != Kind::Decode)?;
        let seconds = self.operations(plan, setting) * (setting.steps + WARM_UP) as f64 / rate;
        if seconds <= setting.limit_seconds as f64 {
            return None;
        }
        limits.exceeded = Some(self.context);
        Some(format!("it would take about {}, the limit is {} s", human::duration(seconds), setting.limit_seconds))
    }

    /// Operations of a step or a prompt.
    fn operations(&self, plan: &Plan, setting: &Setting) -> f64 {
        match self.kind {
            Kind::Train => plan.training_flops_per_token * setting.tokens_per_step as f64,
            Kind::Prefill | Kind::Decode => plan.flops_per_token * self.context as f64,
        }
    }

    fn settings(&self, setting: &Setting) -> Vec<String> {
        let batch = (setting.tokens_per_step / self.context).max(1);
        let own = [
            format!("model.layers={}", self.model),
            format!("model.context={}", self.context),
            format!("train.batch={batch}"),
            "train.accumulate=1".to_owned(),
        ];
        setting.set.iter().cloned().chain(own).collect()
    }

    /// The child's arguments.
    fn arguments(&self, setting: &Setting, set: &[String], model: &ModelConfig) -> Vec<String> {
        let mut arguments = vec!["bench".to_owned(), self.kind.name().to_owned(), setting.preset.clone()];
        arguments.extend(set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]));
        let numbers = match self.kind {
            Kind::Train => vec![("--steps", setting.steps)],
            Kind::Prefill => vec![("--steps", setting.steps), ("--tokens", self.context)],
            Kind::Decode => {
                let layers = model.layer_specs().unwrap_or_default();
                let segment = layers.iter().filter_map(LayerSpec::segment).max().unwrap_or(1);
                let position = aligned(self.context, setting.shortest, segment);
                vec![("--position", position), ("--tokens", setting.tokens)]
            }
        };
        arguments.extend(numbers.into_iter().flat_map(|(flag, number)| [flag.to_owned(), number.to_string()]));
        arguments
    }
}

/// The position near `context` with the offset in its segment that `shortest` has.
fn aligned(context: usize, shortest: usize, segment: usize) -> usize {
    context - context % segment + shortest % segment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting() -> Setting {
        Setting {
            preset: "none".into(),
            set: vec!["model.segment=256".into()],
            tokens_per_step: 4096,
            steps: 2,
            tokens: 8,
            limit_seconds: 10,
            shortest: 1000,
        }
    }

    #[test]
    fn positions_have_equal_offsets() {
        assert_eq!((aligned(1000, 1000, 256), aligned(1_000_000, 1000, 256)), (1000, 1_000_168));
        assert_eq!(aligned(2048, 1024, 256), 2048);
    }

    #[test]
    fn tokens_per_step_are_equal_at_every_length() {
        for (context, batch) in [(1024, 4), (4096, 1)] {
            let set = Point::new("llp", context, Kind::Train).settings(&setting());
            assert!(set.contains(&format!("train.batch={batch}")), "{set:?}");
        }
    }

    #[test]
    fn points_that_would_take_too_long_rule_out_longer_ones() {
        let config = resolve_named(Some("none"), &["model.vocab=300".into()], Vec::new()).unwrap();
        let plan = plan(&config).unwrap();
        let mut limits = Limits::default();
        let point = Point::new("llp", 1024, Kind::Prefill);
        assert_eq!(point.obstacle(&plan, &setting(), &mut limits), None);
        limits.rate = Some(point.operations(&plan, &setting()));
        // Four prompts of a second each are within ten seconds.
        assert_eq!(point.obstacle(&plan, &setting(), &mut limits), None);
        limits.rate = limits.rate.map(|rate| rate / 3.0);
        let reason = point.obstacle(&plan, &setting(), &mut limits).unwrap();
        assert!(reason.contains("about 12s"), "{reason}");
        let longer = Point::new("llp", 4096, Kind::Decode);
        assert!(longer.obstacle(&plan, &setting(), &mut limits).unwrap().contains("1,024 tokens took too long"));
    }
}
