//! The folder of a run: what lies where, and reading a trained model from it.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use percept_data::Tokenizer;
use percept_fault::{Fault, IoContext, Result};
use percept_model::{LanguageModel, weights};

use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::config::RunConfig;
use crate::durable;
use crate::lock::Lock;
use crate::progress::{Progress, Used};
use crate::resolve::resolve_over;
use crate::state::check_model;
use crate::trainer::write_names;

/// Name of the weights in a checkpoint.
pub(crate) const MODEL: &str = "model.safetensors";
/// Name of the folder of the checkpoints.
const CHECKPOINTS: &str = "checkpoints";
/// Name of the moments in a checkpoint.
pub(crate) const OPTIMIZER: &str = "optimizer.safetensors";

/// A run folder.
///
/// ```text
/// config.toml  environment.json  metrics.jsonl  tokenizer.json  samples/  lock
/// checkpoints/step-000500/{model,optimizer}.safetensors, progress.json
/// latest, best; diverged, tensorboard/, text/ (what came from pipes) where that applies
/// .percept: says that none of this is text
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

/// A trained model with all that is needed to use it.
#[derive(Debug)]
pub struct LoadedRun {
    /// The run's configuration.
    pub config: RunConfig,
    /// The model, without autodiff.
    pub model: LanguageModel,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The checkpoint's folder.
    pub checkpoint: PathBuf,
    /// Steps done at the checkpoint.
    pub step: u64,
    /// What the user should know, e.g. that a broken checkpoint was passed over.
    pub warnings: Vec<String>,
}

/// Loads a checkpoint of a run. `path` is a run folder, or a checkpoint's folder (then `which` is not used). An exported
/// folder (weights, configuration and tokenizer side by side, no checkpoints) loads as step 0.
///
/// # Errors
/// An environment fault where there is no run, no checkpoint or none that is whole.
pub fn load_run(path: &Path, which: Which, device: &Device) -> Result<LoadedRun> {
    let (folder, which) = match step_of(path) {
        Some((run, step)) => (RunFolder::existing(run)?, Which::Step(step)),
        None => (RunFolder::existing(path)?, which),
    };
    let (checkpoint, step, warnings) = match folder.is_export() {
        true => (folder.path.clone(), 0, Vec::new()),
        false => {
            let (checkpoint, warnings) = folder.find(which)?;
            (checkpoint.path, checkpoint.progress.step, warnings)
        }
    };
    let config = folder.config()?;
    let weights_path = checkpoint.join(MODEL);
    let model = weights::load(&weights_path, device)?;
    check_model(&weights_path, model.config(), &config.model)?;
    let tokenizer = folder.tokenizer()?;
    Ok(LoadedRun { config, model, tokenizer, checkpoint, step, warnings })
}

/// `RUN/checkpoints/step-000500` as run and step.
fn step_of(path: &Path) -> Option<(&Path, u64)> {
    let step = path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()?;
    let checkpoints = path.parent()?;
    (checkpoints.file_name()? == "checkpoints").then(|| (checkpoints.parent().unwrap_or(Path::new(".")), step))
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
        let what = if folder.path.exists() { "is no run folder: it has no config.toml" } else { "does not exist" };
        Err(Fault::environment(format!("{} {what}", folder.path.display()))
            .hint("name the folder that `percept train` wrote, e.g. runs/my-run"))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a run was started here.
    pub fn holds_a_run(&self) -> bool {
        self.config_path().is_file()
    }

    /// Whether the folder holds exported weights instead of checkpoints.
    pub(crate) fn is_export(&self) -> bool {
        self.path.join(MODEL).is_file()
    }

    /// `config.toml`: the resolved configuration.
    pub fn config_path(&self) -> PathBuf {
        self.path.join("config.toml")
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
        self.path.join("tokenizer.json")
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
        resolve_over(self.config_path(), &[])
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
        write_names(self, None, None)?;
        durable::remove_folder(&folder)
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

    fn find_latest(&self) -> Result<(Checkpoint, Vec<String>)> {
        let (newest, broken) = self.checkpoints().newest(Used::Only(MODEL))?;
        let warnings =
            broken.iter().map(|broken| format!("passed over a broken checkpoint: {}", broken.reason)).collect();
        match (newest, broken.first()) {
            (Some(checkpoint), _) => Ok((checkpoint, warnings)),
            (None, Some(broken)) => Err(Fault::environment(format!("no checkpoint is whole: {}", broken.reason))
                .hint("train again into another run folder")),
            (None, None) => Err(Fault::environment(format!("{} has no checkpoint yet", self.path.display()))
                .hint("`percept resume` goes on from the start")),
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
            let steps: Vec<String> = self.checkpoint_steps()?.iter().map(u64::to_string).collect();
            return Err(Fault::environment(format!("{} has no checkpoint of step {step}", self.path.display()))
                .hint(format!("there are: {}", steps.join(", "))));
        }
        let progress = Progress::verify(&path, Used::Only(MODEL)).map_err(|fault| {
            Fault::environment(format!("broken checkpoint: {fault}")).hint("use another checkpoint")
        })?;
        Ok(Checkpoint { path, progress })
    }

    fn best_step(&self) -> Result<Option<u64>> {
        let path = self.name_path("best");
        if !path.exists() {
            return Ok(None);
        }
        let name = fs::read_to_string(&path).at("read", &path)?;
        Ok(name.trim().strip_prefix("step-").and_then(|step| step.parse().ok()))
    }
}
