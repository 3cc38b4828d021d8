//! What a run folder tells without its model being loaded: for lists of runs, and for watching one.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use percept_data::Identity;
use percept_fault::{Fault, IoContext, Result};
use percept_files::json;
use percept_model::LanguageModel;
use percept_model::encoder::Encoder;
use serde::Serialize;

use crate::config::RunConfig;
use crate::config::task_kind::TaskKind;
use crate::run::lock;
use crate::run::metrics::{Metrics, StepMetrics, ValidationMetrics};
use crate::run::metrics_file::{MetricsFile, read_metrics};
use crate::run::run_folder::RunFolder;
use crate::run::run_model::RunModel;

/// How deep below a folder runs are looked for.
const DEPTH: usize = 3;

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// A process trains it now.
    Running,
    /// All steps are done.
    Finished,
    /// It stopped before its last step; `percept resume` goes on.
    Interrupted,
    /// Loss or gradient were no longer finite.
    Diverged,
    /// Weights for use: imported or exported, never trained here.
    Exported,
    /// The folder cannot be read as a run.
    Broken,
}

impl RunStatus {
    /// How the run in this folder stands.
    pub fn of(path: &Path) -> Self {
        let folder = RunFolder::new(path);
        if lock::is_held(&folder.lock_path()) {
            return RunStatus::Running;
        }
        let Ok(config) = folder.config() else { return RunStatus::Broken };
        if folder.is_export() {
            return RunStatus::Exported;
        }
        if folder.diverged_path().exists() {
            return RunStatus::Diverged;
        }
        let (step, last) = match folder.newest_progress() {
            Some(progress) => (progress.step, progress.planned.unwrap_or(config.train.steps)),
            // Its checkpoints were removed, or there is none yet.
            None => (
                metrics(&folder).ok().and_then(|lines| lines.last().map(Metrics::step)).unwrap_or(0),
                config.train.steps,
            ),
        };
        if step >= last { RunStatus::Finished } else { RunStatus::Interrupted }
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            RunStatus::Running => "running",
            RunStatus::Finished => "finished",
            RunStatus::Interrupted => "interrupted",
            RunStatus::Diverged => "diverged",
            RunStatus::Exported => "exported",
            RunStatus::Broken => "broken",
        }
    }
}

/// A run at a glance.
///
/// ```
/// use percept_train::{Overview, RunStatus, find_runs};
/// # fn main() -> percept_fault::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut config = percept_train::resolve_preset("llp-tiny")?;
/// # config.data = percept_data::DataConfig::from_paths(["synthetic:copy?length=8"]);
/// # config.data.cache = Some(folder.path().join("cache"));
/// # (config.model.dim, config.model.depth, config.model.heads) = (16, 1, 2);
/// # (config.model.context, config.model.layers) = (32, "llp(segment=8)".into());
/// # (config.train.steps, config.train.warmup, config.sample.tokens) = (3, 1, 4);
/// # let run = folder.path().join("run");
/// # percept_train::train(&config, &run, &std::sync::atomic::AtomicBool::new(false), &mut |_| ())?;
/// let runs = find_runs(folder.path())?;
/// let overview = Overview::of(&runs[0]);
/// assert_eq!((overview.status, overview.step, overview.steps), (RunStatus::Finished, 3, Some(3)));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    /// The run folder.
    #[serde(serialize_with = "json::path")]
    pub run: PathBuf,
    /// How it stands.
    pub status: RunStatus,
    /// What is wrong with the folder, or why the run diverged.
    pub problem: Option<String>,
    /// The mixer schedule.
    pub layers: Option<String>,
    /// Weights.
    pub parameters: Option<u64>,
    /// Steps done, as far as metrics and checkpoints tell.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: Option<u64>,
    /// Positions fed.
    pub tokens: u64,
    /// Training time in seconds.
    pub seconds: f64,
    /// Training loss of the last line of metrics, in nats per target.
    pub loss: Option<f64>,
    /// The same in bits per byte.
    pub bits_per_byte: Option<f64>,
    /// Lowest validation loss, in nats per target.
    pub best_loss: Option<f64>,
    /// The same in bits per byte.
    pub best_bits_per_byte: Option<f64>,
    /// Its step.
    pub best_step: Option<u64>,
    /// Seconds since the run last wrote.
    pub age_seconds: Option<f64>,
}

impl Overview {
    /// Reads a run folder. Never fails: what cannot be read is said in `problem`.
    pub fn of(path: &Path) -> Self {
        let folder = RunFolder::new(path);
        let mut overview = Self::unknown(&folder);
        match folder.config() {
            Ok(config) => overview.add_config(&config),
            Err(fault) => overview.problem = Some(unreadable_config(&folder, &fault)),
        }
        let problem = overview.read_metrics(&folder.metrics_path());
        overview.problem = overview.problem.or(problem);
        if let Some(progress) = folder.newest_progress() {
            overview.step = overview.step.max(progress.step);
            overview.steps = progress.planned.or(overview.steps);
        }
        overview.status = RunStatus::of(path);
        if overview.status == RunStatus::Diverged {
            overview.problem = fs::read_to_string(folder.diverged_path()).ok().map(|reason| reason.trim().to_owned());
        }
        overview
    }

    fn unknown(folder: &RunFolder) -> Self {
        Self {
            run: folder.path().to_owned(),
            status: RunStatus::Broken,
            problem: None,
            layers: None,
            parameters: None,
            step: 0,
            steps: None,
            tokens: 0,
            seconds: 0.0,
            loss: None,
            bits_per_byte: None,
            best_loss: None,
            best_bits_per_byte: None,
            best_step: None,
            age_seconds: age(folder),
        }
    }

    fn add_config(&mut self, config: &RunConfig) {
        let (layers, parameters) = match config.task {
            TaskKind::NextToken => (config.model.layers.clone(), LanguageModel::parameters(config)),
            TaskKind::Masked => (config.encoder.layer.to_string(), Encoder::parameters(config)),
        };
        (self.layers, self.parameters) = (Some(layers), parameters.ok());
        self.steps = Some(config.train.steps);
    }

    /// Takes the figures of a metrics file, if there is one; what is wrong with it.
    fn read_metrics(&mut self, path: &Path) -> Option<String> {
        if !path.exists() {
            return None;
        }
        match MetricsFile::read(path) {
            Ok(file) => {
                self.add_metrics(&file.lines);
                file.warning(path)
            }
            Err(fault) => Some(fault.to_string()),
        }
    }

    fn add_metrics(&mut self, lines: &[Metrics]) {
        self.step = lines.last().map_or(0, Metrics::step);
        if let Some(last) = last_step(lines) {
            self.tokens = last.tokens;
            self.seconds = last.seconds;
            self.loss = Some(last.loss);
            self.bits_per_byte = last.bits_per_byte;
        }
        if let Some(best) = best_validation(lines) {
            self.best_loss = Some(best.loss);
            self.best_bits_per_byte = best.bits_per_byte;
            self.best_step = Some(best.step);
        }
    }
}

/// The run folders in `folder` and below it, sorted by path; `folder` itself where it is one.
///
/// A folder that holds parts of a run counts, so that broken runs are seen.
///
/// # Errors
/// An environment fault where `folder` cannot be read.
pub fn find_runs(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Err(Fault::environment(format!("{} is no folder", folder.display()))
            .hint("name the folder that holds your runs, e.g. runs"));
    }
    fs::read_dir(folder).at("read", folder)?;
    let (mut runs, mut seen, mut level) = (Vec::new(), HashSet::new(), vec![folder.to_owned()]);
    for _ in 0..=DEPTH {
        level = below(level, &mut seen, &mut runs);
    }
    runs.sort();
    Ok(runs)
}

/// The folders just below those of a level, which are sorted. Those that are runs go to `runs` instead.
///
/// Links are followed, but a folder counts once, under the first of its names: there may be circles.
fn below(level: Vec<PathBuf>, seen: &mut HashSet<Identity>, runs: &mut Vec<PathBuf>) -> Vec<PathBuf> {
    const PARTS: [&str; 4] = ["config.toml", "metrics.jsonl", "environment.json", "checkpoints"];
    let mut next = Vec::new();
    for folder in level {
        if Identity::at(&folder).is_ok_and(|identity| !seen.insert(identity)) {
            continue;
        }
        if PARTS.iter().any(|part| folder.join(part).exists()) {
            runs.push(folder);
            continue;
        }
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        next.extend(entries.filter(|path| path.is_dir()));
    }
    next.sort();
    next
}

/// The lines of metrics of a run that count; none where it has not written any yet.
///
/// # Errors
/// An environment fault where the file is there and cannot be read.
pub fn metrics(folder: &RunFolder) -> Result<Vec<Metrics>> {
    let path = folder.metrics_path();
    if path.exists() { read_metrics(&path) } else { Ok(Vec::new()) }
}

fn last_step(lines: &[Metrics]) -> Option<&StepMetrics> {
    lines.iter().rev().find_map(|line| match line {
        Metrics::Train(step) => Some(step),
        Metrics::Validation(_) => None,
    })
}

fn best_validation(lines: &[Metrics]) -> Option<&ValidationMetrics> {
    let validations = lines.iter().filter_map(|line| match line {
        Metrics::Validation(validation) => Some(validation),
        Metrics::Train(_) => None,
    });
    validations.min_by(|a, b| a.loss.total_cmp(&b.loss))
}

fn unreadable_config(folder: &RunFolder, fault: &Fault) -> String {
    match folder.holds_a_run() {
        true => fault.to_string(),
        false if folder.holds_checkpoints() => "it has no config.toml: `percept resume` restores it".to_owned(),
        false => "it has no config.toml".to_owned(),
    }
}

/// Seconds since metrics, or else the configuration, were written.
fn age(folder: &RunFolder) -> Option<f64> {
    let written = [folder.metrics_path(), folder.config_path()].iter().find_map(|path| fs::metadata(path).ok())?;
    let age = SystemTime::now().duration_since(written.modified().ok()?);
    Some(age.map_or(0.0, |age| age.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::lock::Lock;

    fn run() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut config = RunConfig::default();
        config.model.vocab = 257;
        config.train.steps = 7;
        fs::write(folder.path().join("config.toml"), config.to_toml().unwrap()).unwrap();
        folder
    }

    #[test]
    fn a_run_is_running_as_long_as_its_lock_is_held() {
        let folder = run();
        assert_eq!(Overview::of(folder.path()).status, RunStatus::Interrupted);
        let lock = Lock::acquire(&folder.path().join("lock")).unwrap();
        assert_eq!(Overview::of(folder.path()).status, RunStatus::Running);
        drop(lock);
        assert_eq!(Overview::of(folder.path()).status, RunStatus::Interrupted);
    }

    #[test]
    fn metrics_are_summed_up() {
        let folder = run();
        let lines = [
            r#"{"kind":"train","step":1,"tokens":10,"targets":10,"loss":3.0,"bits_per_byte":4.0,"learning_rate":0.1,"gradient_norm":1.0,"tokens_per_second":5.0,"seconds":2.0}"#,
            r#"{"kind":"validation","step":1,"targets":5,"loss":2.5,"bits_per_byte":3.5,"best":true}"#,
            r#"{"kind":"validation","step":3,"targets":5,"loss":2.6,"bits_per_byte":3.6,"best":false}"#,
            r#"{"kind":"trai"#,
        ];
        fs::write(folder.path().join("metrics.jsonl"), lines.join("\n")).unwrap();
        let overview = Overview::of(folder.path());
        assert_eq!((overview.step, overview.tokens, overview.loss), (3, 10, Some(3.0)));
        assert_eq!((overview.best_step, overview.best_bits_per_byte), (Some(1), Some(3.5)));
        assert_eq!((overview.steps, overview.status), (Some(7), RunStatus::Interrupted));
        fs::write(folder.path().join("metrics.jsonl"), lines[1].replace("\"step\":1", "\"step\":7")).unwrap();
        assert_eq!(RunStatus::of(folder.path()), RunStatus::Finished, "a run whose checkpoints were removed");
        assert!(overview.parameters.unwrap() > 1_000_000 && overview.age_seconds.unwrap() < 600.0);
    }

    #[test]
    fn broken_folders_say_what_is_wrong() {
        let folder = run();
        fs::write(folder.path().join("config.toml"), "[model]\ndims = 3\n").unwrap();
        let overview = Overview::of(folder.path());
        assert_eq!(overview.status, RunStatus::Broken);
        assert!(overview.problem.unwrap().contains("config.toml:2: unknown key `model.dims`"));
        fs::remove_file(folder.path().join("config.toml")).unwrap();
        assert_eq!(Overview::of(folder.path()).problem.as_deref(), Some("it has no config.toml"));
    }

    #[test]
    fn runs_are_found_below_a_folder_and_not_inside_each_other() {
        let root = tempfile::tempdir().unwrap();
        for part in ["b/config.toml", "a/deep/metrics.jsonl", "b/checkpoints/step-000001/config.toml", "notes/x.txt"] {
            let path = root.path().join(part);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let runs = find_runs(root.path()).unwrap();
        assert_eq!(runs, [root.path().join("a/deep"), root.path().join("b")]);
        assert_eq!(find_runs(&root.path().join("b")).unwrap(), [root.path().join("b")]);
        // A deep link is met before the folder itself in the order of names, and hides nothing below it.
        #[cfg(unix)]
        for (to, link) in [("../../..", "a/deep2/x/up"), ("..", "notes/up"), ("b", "z")] {
            let link = root.path().join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(to, link).unwrap();
        }
        assert_eq!(find_runs(root.path()).unwrap(), runs);
        assert!(find_runs(&root.path().join("nothing")).unwrap_err().is_environment());
    }
}
