//! A folder with text in which very small models are compared.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use percept_compare::{Axis, Budget, Comparison, Ended, Event, Lineup, ModelResult, ModelSpec, Purpose, Spec};
use percept_fault::Result;
use percept_train::Override;
use serde_json::Value;

/// A folder with text and room for comparisons.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

pub(crate) const CONTEXT: usize = 32;
pub(crate) const BATCH: usize = 2;
pub(crate) const LATENTS: usize = 16;
pub(crate) const TOKENS_PER_STEP: u64 = (CONTEXT * BATCH) as u64;

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let texts = folder.path().join("texts");
        std::fs::create_dir(&texts).unwrap();
        for index in 0..12 {
            let text: String =
                (0..20).map(|line| format!("{} sheep and {} more\n", line * index, line + index)).collect();
            std::fs::write(texts.join(format!("{index:02}.txt")), text).unwrap();
        }
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn spec(&self, models: &[&str], budget: &str, changes: &[&str]) -> Spec {
        let mut base = vec![
            Override::flag("--data", "data.sources", vec![self.path("texts").display().to_string()]),
            Override::flag("--cache", "data.cache", self.path("cache").display().to_string()),
        ];
        let small = [
            "data.split.validation=0.2",
            "data.split.test=0.2",
            "model.dim=16",
            "model.depth=2",
            "model.heads=2",
            "model.context=32",
            "model.segment=8",
            "model.latents=16",
            "model.attention_dropout=0.1",
            "train.batch=2",
            "train.warmup=2",
            "train.learning_rate=0.01",
            "train.validation_targets=200",
            "train.device=cpu",
            "sample.tokens=4",
        ];
        base.extend(small.iter().chain(changes).map(|change| Override::set(change).unwrap()));
        Spec {
            name: "sheep".into(),
            models: models.iter().map(|name| ModelSpec::named(name, "")).collect(),
            base,
            budget: Some(budget.parse::<Budget>().unwrap()),
            points: 4,
            ..Spec::default()
        }
    }

    pub(crate) fn lineup(&self, spec: Spec, name: &str) -> Lineup {
        Lineup::new(spec, &self.path(name), Purpose::Run, &mut |_| {}).unwrap()
    }

    /// Runs to the end and returns the report with the names of what was trained.
    pub(crate) fn compare(&self, spec: Spec, name: &str) -> (Comparison, Vec<String>) {
        let (comparison, trained, _) = self.compare_and_time(spec, name);
        (comparison, trained)
    }

    /// The same with the number of steps that were timed.
    pub(crate) fn compare_and_time(&self, spec: Spec, name: &str) -> (Comparison, Vec<String>, usize) {
        let (mut trained, mut timed) = (Vec::new(), 0);
        let ended = self.lineup(spec, name).run(&AtomicBool::new(false), &mut |event| match event {
            Event::Run { label, .. } => trained.push(label),
            Event::Timing { .. } => timed += 1,
            _ => {}
        });
        (finished(ended), trained, timed)
    }

    /// The runs of sweeps whose folder holds a file or folder of this name.
    pub(crate) fn sweep_runs_with(&self, name: &str, part: &str) -> Vec<PathBuf> {
        let runs = std::fs::read_dir(self.path(name).join("sweep")).unwrap().map(|run| run.unwrap().path());
        runs.filter(|run| run.join(part).exists()).collect()
    }

    /// Changes the file of the timing.
    pub(crate) fn change_speed(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let path = self.path(name).join("speed.json");
        let mut value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut value);
        std::fs::write(&path, value.to_string()).unwrap();
    }
}

pub(crate) fn finished(ended: Result<Ended>) -> Comparison {
    match ended.unwrap() {
        Ended::Finished(comparison) => comparison,
        Ended::Interrupted(_) => panic!("nobody asked it to stop"),
    }
}

pub(crate) fn find<'a>(comparison: &'a Comparison, name: &str) -> &'a ModelResult {
    comparison.models.iter().find(|model| model.name == name).unwrap()
}

/// The report without what the clock and the memory say.
pub(crate) fn timeless(mut comparison: Comparison) -> Comparison {
    comparison.timing = None;
    comparison.readings.retain(|reading| reading.axis != Axis::Seconds);
    for model in &mut comparison.models {
        if let Some(usage) = &mut model.usage {
            (usage.seconds, usage.tokens_per_second, usage.targets_per_second) = (0.0, 0.0, 0.0);
            usage.measured_peak_memory_bytes = None;
        }
        for run in &mut model.runs {
            run.curve.iter_mut().for_each(|point| point.seconds = 0.0);
            run.sweep.iter_mut().for_each(|point| point.seconds = 0.0);
        }
    }
    comparison
}
