//! The folder of a run: what lies where, and which checkpoint is meant.

use std::fs;
use std::path::{Path, PathBuf};

use percept_data::Tokenizer;
use percept_fault::{Fault, IoContext, Result};

use crate::config::RunConfig;
use crate::config::layering::Override;
use crate::config::resolve::resolve_over;
use crate::run::checkpoint::{Broken, Checkpoint, Checkpoints};
use crate::run::lock::Lock;
use crate::run::progress::{Progress, Used};

/// Name of the weights in a checkpoint.
pub(crate) const MODEL: &str = "model.safetensors";
/// Name of the folder of the checkpoints.
pub(crate) const CHECKPOINTS: &str = "checkpoints";
/// Name of the configuration, in a run and in a checkpoint.
pub(crate) const CONFIG: &str = "config.toml";
/// Name of the tokenizer, in a run and in a checkpoint.
pub(crate) const TOKENIZER: &str = "tokenizer.json";
/// Name of the moments in a checkpoint.
pub(crate) const OPTIMIZER: &str = "optimizer.safetensors";

/// A run folder.
///
/// ```text
/// config.toml  environment.json  metrics.jsonl  tokenizer.json  samples/  lock
/// checkpoints/step-000500/{model,optimizer}.safetensors, config.toml, tokenizer.json, progress.json
/// latest, best; diverged, tensorboard/, text/ (what came from pipes) where that applies
/// .percept: says that none of this is text
/// ```
///
/// ```
/// use percept_train::RunFolder;
/// # use std::sync::atomic::AtomicBool;
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut config = percept_train::resolve_preset("llp-tiny")?;
/// # config.data = percept_data::DataConfig::from_paths(["synthetic:copy?length=8"]);
/// # config.data.cache = Some(folder.path().join("cache"));
/// # config.model.layers = "llp(segment=8)".into();
/// # (config.model.dim, config.model.depth, config.model.heads, config.model.context) = (16, 1, 2, 32);
/// # (config.train.steps, config.train.warmup, config.train.checkpoint_every, config.sample.tokens) = (3, 1, 2, 4);
/// # let path = folder.path().join("run");
/// # percept_train::train(&config, &path, &AtomicBool::new(false), &mut |_| ())?;
/// // A run of three steps, saved every two and at the end.
/// let run = RunFolder::existing(&path)?;
/// assert_eq!(run.checkpoint_steps()?, [2, 3]);
/// // What it keeps is enough to repeat it.
/// assert_eq!((run.config()?.train, run.tokenizer()?.vocab_size()), (config.train, 257));
///
/// let fault = RunFolder::existing(folder.path()).unwrap_err();
/// assert!(fault.to_string().ends_with("is no run folder: it has no config.toml"));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

/// Which checkpoint of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Which {
    /// The newest that is whole.
    #[default]
    Latest,
    /// The one with the lowest validation loss; the newest where the run never validated or that one is broken.
    Best,
    /// The one of this step.
    Step(u64),
}

impl RunFolder {
    /// The run folder at a path, whether or not there is one.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// A run folder that holds a run.
    ///
    /// # Errors
    /// An environment fault where it does not.
    pub fn existing(path: impl Into<PathBuf>) -> Result<Self> {
        let folder = Self::new(path);
        if folder.holds_a_run() {
            return Ok(folder);
        }
        Err(folder.is_no_run())
    }

    /// The fault where there is no configuration.
    pub(crate) fn is_no_run(&self) -> Fault {
        let what = if self.path.exists() { "is no run folder: it has no config.toml" } else { "does not exist" };
        Fault::environment(format!("{} {what}", self.path.display())).hint(match self.holds_checkpoints() {
            true => format!("`percept resume {}` restores it from the newest checkpoint", self.path.display()),
            false => "name the folder that `percept train` wrote, e.g. runs/my-run".to_owned(),
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a run was started here.
    pub fn holds_a_run(&self) -> bool {
        // A file without a word in it is what a full disk or a crash leaves: as good as none.
        fs::read(self.config_path()).is_ok_and(|text| !text.trim_ascii().is_empty())
    }

    /// Whether a run was started here that can go on: its configuration, or else a checkpoint, is there.
    pub fn is_begun(&self) -> bool {
        self.holds_a_run() || self.holds_checkpoints()
    }

    /// Whether the folder holds exported weights.
    pub(crate) fn is_export(&self) -> bool {
        self.holds_a_run() && self.path.join(MODEL).is_file()
    }

    /// Whether there is a checkpoint, whole or broken.
    pub(crate) fn holds_checkpoints(&self) -> bool {
        self.checkpoint_steps().is_ok_and(|steps| !steps.is_empty())
    }

    /// Refuses a folder for a new run that would write over another one, or leave it looking like its own.
    ///
    /// # Errors
    /// A usage fault that says what is there.
    pub(crate) fn check_free(&self) -> Result<()> {
        let path = self.path.display();
        if self.holds_a_run() {
            return Err(Fault::usage(format!("{path} already holds a run"))
                .hint(format!("`percept resume {path}` goes on with it; else choose another folder")));
        }
        if has_entries(&self.path.join(CHECKPOINTS)) {
            return Err(Fault::usage(format!("{path} holds checkpoints of a run, but no config.toml")).hint(format!(
                "`percept resume {path}` restores it from the newest checkpoint and goes on; else choose another folder"
            )));
        }
        let has_metrics = fs::metadata(self.metrics_path()).is_ok_and(|file| file.len() > 0);
        for (name, there) in [("metrics.jsonl", has_metrics), (MODEL, self.path.join(MODEL).exists())] {
            if there {
                return Err(Fault::usage(format!("{path} holds {name} of another run, but no config.toml"))
                    .hint("choose another folder, or move that file away"));
            }
        }
        Ok(())
    }

    /// Refuses to replace the tokenizer of somebody else, which no run here has.
    ///
    /// # Errors
    /// A usage fault.
    pub(crate) fn check_tokenizer(&self, tokenizer: &Tokenizer) -> Result<()> {
        let path = self.tokenizer_path();
        let is_other = |own: Result<Tokenizer>| own.map_or(true, |own| own.fingerprint() != tokenizer.fingerprint());
        if path.exists() && is_other(self.tokenizer()) {
            return Err(Fault::usage(format!("{} is another tokenizer than the run's", path.display()))
                .hint("choose another run folder, or move that file away"));
        }
        Ok(())
    }

    /// `config.toml`: the resolved configuration.
    pub fn config_path(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// `metrics.jsonl`.
    pub fn metrics_path(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// `environment.json`.
    pub fn environment_path(&self) -> PathBuf {
        self.path.join("environment.json")
    }

    /// `tokenizer.json`, for bytes too.
    pub fn tokenizer_path(&self) -> PathBuf {
        self.path.join(TOKENIZER)
    }

    /// `samples/`.
    pub fn samples_path(&self) -> PathBuf {
        self.path.join("samples")
    }

    /// `tensorboard/`: the event files.
    pub fn tensorboard_path(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// `diverged`: why the run stopped, where loss or gradient were no longer finite.
    pub(crate) fn diverged_path(&self) -> PathBuf {
        self.path.join("diverged")
    }

    /// The resolved configuration.
    pub fn config(&self) -> Result<RunConfig> {
        self.config_with(&[])
    }

    /// The resolved configuration with changes on top.
    pub fn config_with(&self, overrides: &[Override]) -> Result<RunConfig> {
        resolve_over(self.config_path(), overrides)
    }

    /// The tokenizer that the run was trained with.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        Tokenizer::from_file(self.tokenizer_path())
    }

    /// Steps that have a checkpoint, in rising order.
    pub fn checkpoint_steps(&self) -> Result<Vec<u64>> {
        self.checkpoints().steps()
    }

    /// Removes all checkpoints of a run whose weights nobody needs any more; what it logged stays.
    ///
    /// # Errors
    /// An environment fault where a process trains it, or files cannot be removed.
    pub fn remove_checkpoints(&self) -> Result<()> {
        let folder = self.path.join(CHECKPOINTS);
        if !folder.exists() {
            return Ok(());
        }
        let _lock = Lock::acquire(&self.lock_path())?;
        // The names first: what they name is there as long as they are.
        self.write_names(None, None)?;
        percept_files::remove_folder(&folder)
    }

    pub(crate) fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.path.join(CHECKPOINTS))
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// The file that names the newest checkpoint (`latest`) or the best one (`best`).
    pub(crate) fn name_path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes the files `latest` and `best`.
    pub(crate) fn write_names(&self, latest: Option<u64>, best: Option<u64>) -> Result<()> {
        for (name, step) in [("latest", latest), ("best", best)] {
            let path = self.name_path(name);
            match step {
                Some(step) => percept_files::write_file(&path, format!("step-{step:06}\n").as_bytes())?,
                None => percept_files::remove_file(&path)?,
            }
        }
        Ok(())
    }

    /// A checkpoint whose weights are whole, and what to tell about those that were passed over.
    pub(crate) fn find(&self, which: Which) -> Result<(Checkpoint, Vec<String>)> {
        match which {
            Which::Latest => self.find_latest(),
            Which::Step(step) => self.find_step(step).map(|checkpoint| (checkpoint, Vec::new())),
            Which::Best => match self.best_step()? {
                Some(step) => self.find_best(step),
                None => self.find_latest(),
            },
        }
    }

    /// The newest checkpoint that training can go on from, and the newer ones that are broken.
    ///
    /// # Errors
    /// An environment fault where there are some, but none is whole.
    pub(crate) fn newest_whole(&self) -> Result<(Option<Checkpoint>, Vec<Broken>)> {
        let (newest, broken) = self.checkpoints().newest(Used::Everything)?;
        match broken.first().filter(|_| newest.is_none()) {
            Some(broken) => Err(none_is_whole(broken)),
            None => Ok((newest, broken)),
        }
    }

    fn find_latest(&self) -> Result<(Checkpoint, Vec<String>)> {
        let (newest, broken) = self.checkpoints().newest(Used::Only(MODEL))?;
        let warnings =
            broken.iter().map(|broken| format!("passed over a broken checkpoint: {}", broken.reason)).collect();
        match (newest, broken.first()) {
            (Some(checkpoint), _) => Ok((checkpoint, warnings)),
            (None, Some(broken)) => Err(none_is_whole(broken)),
            (None, None) => Err(self.has_no_checkpoint()),
        }
    }

    /// The best checkpoint; where it is broken, the newest, with a warning.
    fn find_best(&self, step: u64) -> Result<(Checkpoint, Vec<String>)> {
        let broken = match self.find_step(step) {
            Ok(checkpoint) => return Ok((checkpoint, Vec::new())),
            Err(fault) => fault,
        };
        match self.find_latest() {
            Ok((checkpoint, _)) => {
                let instead = checkpoint.progress.step;
                Ok((checkpoint, vec![format!("the best checkpoint is unusable, taking step {instead}: {broken}")]))
            }
            Err(_) => Err(broken),
        }
    }

    fn find_step(&self, step: u64) -> Result<Checkpoint> {
        let path = self.checkpoints().path(step);
        if !path.exists() {
            return Err(self.no_checkpoint_of(step));
        }
        let progress = Progress::verify(&path, Used::Only(MODEL)).map_err(|fault| {
            Fault::environment(format!("broken checkpoint: {fault}")).hint("use another checkpoint")
        })?;
        Ok(Checkpoint { path, progress })
    }

    /// The fault where there is no checkpoint of a step.
    pub(crate) fn no_checkpoint_of(&self, step: u64) -> Fault {
        let steps: Vec<String> = self.checkpoint_steps().unwrap_or_default().iter().map(u64::to_string).collect();
        match (steps.is_empty(), self.holds_a_run()) {
            (true, false) => self.is_no_run(),
            (true, true) => self.has_no_checkpoint(),
            (false, _) => Fault::environment(format!("{} has no checkpoint of step {step}", self.path.display()))
                .hint(format!("there are: {}", steps.join(", "))),
        }
    }

    fn has_no_checkpoint(&self) -> Fault {
        let path = self.path.display();
        if let Ok(reason) = fs::read_to_string(self.diverged_path()) {
            return Fault::environment(format!("{path} has no checkpoint: {}", reason.trim()))
                .hint("train again into another folder, with a lower train.learning_rate or a longer train.warmup");
        }
        if !self.has_trained() {
            return Fault::environment(format!("{path} has no {MODEL}: its weights are gone"))
                .hint("export or import it again into another folder");
        }
        Fault::environment(format!("{path} has no checkpoint yet")).hint("`percept resume` goes on from the start")
    }

    /// Whether training has left anything here; it has not in a folder that was exported.
    fn has_trained(&self) -> bool {
        [self.lock_path(), self.environment_path(), self.metrics_path()].iter().any(|path| path.exists())
    }

    /// The step that the file `best` names; where it names none, what the newest checkpoint knows.
    fn best_step(&self) -> Result<Option<u64>> {
        if let Some(step) = self.named_step("best")? {
            return Ok(Some(step));
        }
        Ok(self.newest_progress().and_then(|progress| progress.best).map(|best| best.step))
    }

    /// The step of the checkpoint that the file `latest` or `best` names, if it is there and names one.
    pub(crate) fn named_step(&self, name: &str) -> Result<Option<u64>> {
        let path = self.name_path(name);
        if !path.exists() {
            return Ok(None);
        }
        let name = fs::read(&path).at("read", &path)?;
        let name = String::from_utf8_lossy(&name);
        Ok(name.trim().strip_prefix("step-").and_then(|step| step.parse().ok()))
    }

    /// Where the newest checkpoint stands; its weights are not looked at.
    pub(crate) fn newest_progress(&self) -> Option<Progress> {
        let checkpoints = self.checkpoints();
        checkpoints.steps().ok()?.into_iter().rev().find_map(|step| Progress::read_in(&checkpoints.path(step)).ok())
    }
}

fn none_is_whole(broken: &Broken) -> Fault {
    Fault::environment(format!("no checkpoint is whole: {}", broken.reason)).hint("train again into another run folder")
}

fn has_entries(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_without_a_word_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::new(folder.path());
        for (text, holds) in [("", false), (" \n", false), ("[model]\n", true)] {
            fs::write(run.config_path(), text).unwrap();
            assert_eq!(run.holds_a_run(), holds, "{text:?}");
        }
    }
}
