//! The files that grow while a run trains: metrics, samples, checkpoints and the names of two of them.

use std::path::{Path, PathBuf};

use percept_fault::{Fault, Result};

use super::checkpoint::Checkpoints;
use super::lock::Lock;
use super::metrics::{Metrics, MetricsLog};
use super::progress::Progress;
use super::run_folder::RunFolder;
use crate::config::TrainConfig;

/// What one process of a run writes.
#[derive(Debug)]
pub(crate) struct RunFiles {
    folder: RunFolder,
    checkpoints: Checkpoints,
    metrics: MetricsLog,
    /// Step of the newest checkpoint.
    saved: Option<u64>,
    /// How many checkpoints stay.
    keep: usize,
    _lock: Lock,
}

impl RunFiles {
    /// Opens the files of a run that goes on from `progress`, whose checkpoint is there unless it is the beginning; and what to tell of
    /// them.
    pub(crate) fn open(
        folder: RunFolder,
        lock: Lock,
        train: &TrainConfig,
        progress: &Progress,
    ) -> Result<(Self, Vec<String>)> {
        let (mut metrics, warning) = MetricsLog::open(&folder.metrics_path(), progress.step)?;
        let mut warnings: Vec<String> = warning.into_iter().collect();
        if metrics.was_empty() && progress.step >= train.log_every {
            warnings.push(format!("{} holds no line of the steps so far", folder.metrics_path().display()));
        }
        if train.tensorboard {
            metrics = metrics.with_events(&folder.tensorboard_path(), progress.seconds)?;
        }
        percept_files::remove_file(&folder.diverged_path())?;
        let saved = (progress.step > 0).then_some(progress.step);
        folder.write_names(saved, progress.best.map(|best| best.step))?;
        let checkpoints = folder.checkpoints();
        Ok((Self { folder, checkpoints, metrics, saved, keep: train.keep, _lock: lock }, warnings))
    }

    /// Appends a line of metrics.
    pub(crate) fn log(&mut self, metrics: &Metrics) -> Result<()> {
        self.metrics.add(metrics)
    }

    /// Keeps a sample.
    pub(crate) fn write_sample(&self, step: u64, text: &str) -> Result<()> {
        percept_files::write_file(&self.folder.samples_path().join(format!("step-{step:06}.txt")), text.as_bytes())
    }

    /// Saves a checkpoint, moves the names to it and removes old ones; where it is.
    pub(crate) fn save(&mut self, progress: &mut Progress, write: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let step = progress.step;
        self.metrics.sync()?;
        let path = self.checkpoints.save(progress, write).map_err(|fault| self.cannot_save(step, fault))?;
        self.saved = Some(step);
        let best = progress.best.map(|best| best.step);
        self.folder.write_names(Some(step), best)?;
        self.checkpoints.prune(self.keep, best)?;
        Ok(path)
    }

    fn cannot_save(&self, step: u64, fault: Fault) -> Fault {
        let kept = match self.saved {
            Some(step) => format!("the checkpoint of step {step} is kept"),
            None => "there is no earlier checkpoint".to_owned(),
        };
        let hint = fault.hint_text().unwrap_or("check the disk").to_owned();
        Fault::new(fault.kind(), format!("cannot save step {step} ({kept}): {fault}"))
            .hint(format!("{hint}; `percept resume {}` goes on", self.folder.path().display()))
    }

    /// Notes why the run diverged.
    pub(crate) fn mark_diverged(&self, fault: &Fault) -> Result<()> {
        percept_files::write_file(&self.folder.diverged_path(), format!("{fault}\n").as_bytes())
    }
}
