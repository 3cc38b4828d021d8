//! From a path to trained weights: whose they are, and reading them.

use std::fs;
use std::path::{Path, PathBuf, absolute};

use burn::tensor::Device;
use percept_data::Tokenizer;
use percept_fault::{Fault, Result};
use percept_model::encoder::Encoder;
use percept_model::{LanguageModel, weights};

use crate::config::RunConfig;
use crate::config::task_kind::TaskKind;
use crate::machine::memory::Memory;
use crate::run::copies::{FoundConfig, find_tokenizer};
use crate::run::progress::{PROGRESS, Progress, Used};
use crate::run::run_folder::{CHECKPOINTS, MODEL, RunFolder, Which};
use crate::run::run_model::RunModel;
use crate::run::vocabulary::is_padded;

/// A trained model with all that is needed to use it.
#[derive(Debug)]
pub struct LoadedRun<M = LanguageModel> {
    /// The run's configuration.
    pub config: RunConfig,
    /// The model, without autodiff.
    pub model: M,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The checkpoint's folder.
    pub checkpoint: PathBuf,
    /// Steps done at the checkpoint.
    pub step: u64,
    /// What the user should know, e.g. that a broken checkpoint was passed over.
    pub warnings: Vec<String>,
}

/// Loads trained weights. `path` is
///
/// - a run folder: the checkpoint that `which` says;
/// - a checkpoint's folder, in a run or alone: exactly that one, `which` is not used;
/// - an exported folder (weights, configuration and tokenizer side by side): its weights, as step 0.
///
/// ```
/// use percept_train::{Which, load_run};
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
/// let loaded = load_run(&run, Which::Best, &Default::default())?;
/// assert_eq!((loaded.step, loaded.model.config().dim, loaded.tokenizer.vocab_size()), (3, 16, 257));
/// assert!(loaded.warnings.is_empty());
/// # Ok(()) }
/// ```
///
/// # Errors
/// An environment fault where there is no run, no checkpoint or none that is whole; a usage fault for a step of an exported
/// folder, which has none; an environment fault where all memory is less than its weights.
pub fn load_run(path: &Path, which: Which, device: &Device) -> Result<LoadedRun> {
    load(path, which, device)
}

/// As [`load_run`], of a run whose task is `masked`.
///
/// # Errors
/// As [`load_run`].
pub fn load_encoder(path: &Path, which: Which, device: &Device) -> Result<LoadedRun<Encoder>> {
    load(path, which, device)
}

/// What a run at a path, as [`load_run`] takes it, trained.
///
/// # Errors
/// As [`load_run`], as far as it comes to them without weights.
pub fn task_of(path: &Path, which: Which) -> Result<TaskKind> {
    let Found { run, weights, .. } = Place::of(path)?.find(which)?;
    Ok(FoundConfig::read(run.as_ref(), Some(&weights), &[])?.config.task)
}

/// A run of a kind of model.
pub(crate) fn load<M: RunModel>(path: &Path, which: Which, device: &Device) -> Result<LoadedRun<M>> {
    let Found { run, weights: folder, step, mut warnings } = Place::of(path)?.find(which)?;
    let FoundConfig { mut config, lost } = FoundConfig::read(run.as_ref(), Some(&folder), &[])?;
    warnings.extend(lost);
    if config.task != M::TASK {
        return Err(other_task(path, config.task));
    }
    let size = M::parameters(&config)?.saturating_mul(size_of::<f32>() as u64);
    Memory::check(size, &format!("the model of {}", path.display()), device)?;
    let weights_path = folder.join(MODEL);
    let model: M = weights::load(&weights_path, device)?;
    M::check(&weights_path, model.config(), M::of(&config))?;
    let (tokenizer, lost) = find_tokenizer(run.as_ref(), Some(&folder), &config)?;
    warnings.extend(lost);
    let (vocab, tokens) = (*M::vocab(&mut config), tokenizer.vocab_size() + M::OWN_TOKENS);
    if vocab > tokens && !is_padded(vocab, tokens) {
        let place = run.as_ref().unwrap_or(&RunFolder::new(&folder)).tokenizer_path();
        warnings.push(format!(
            "{}.vocab is {vocab}, {} has {tokens} tokens: was it trained with another?",
            M::TABLE,
            place.display()
        ));
    }
    Ok(LoadedRun { config, model, tokenizer, checkpoint: folder, step, warnings })
}

fn other_task(path: &Path, task: TaskKind) -> Fault {
    let path = path.display();
    match task {
        TaskKind::Masked => Fault::usage(format!("{path} holds {}, not {}", Encoder::NAME, LanguageModel::NAME))
            .hint(format!("`percept fill {path} TEXT` and `percept eval {path}` run it")),
        TaskKind::NextToken => Fault::usage(format!("{path} holds {}, not {}", LanguageModel::NAME, Encoder::NAME))
            .hint(format!("`percept generate {path} --prompt TEXT` runs it")),
    }
}

/// Whether [`load_run`] would look for weights at a path, whole or not.
pub fn names_weights(path: &Path) -> bool {
    Place::of(path).is_ok()
}

/// What a path to trained weights stands for.
#[derive(Debug)]
pub(crate) enum Place {
    /// A run folder; its configuration may be lost.
    Run(RunFolder),
    /// Exported weights.
    Export(RunFolder),
    /// One checkpoint, there or not, and the run folder around it where there is one.
    Checkpoint(PathBuf, Option<RunFolder>),
}

/// Weights, and where they are.
struct Found {
    run: Option<RunFolder>,
    weights: PathBuf,
    step: u64,
    warnings: Vec<String>,
}

impl Place {
    /// # Errors
    /// An environment fault where it stands for nothing.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let run = run_around(path);
        if path.join(PROGRESS).is_file() {
            return Ok(Self::Checkpoint(path.to_owned(), run));
        }
        if let (Some(run), Some(step)) = (run, step_of(path)) {
            let path = if path.exists() { path.to_owned() } else { run.checkpoints().path(step) };
            return Ok(Self::Checkpoint(path, Some(run)));
        }
        let folder = RunFolder::new(path);
        match folder.is_export() {
            true => Ok(Self::Export(folder)),
            false if folder.holds_checkpoints() => Ok(Self::Run(folder)),
            false => RunFolder::existing(path).map(Self::Run),
        }
    }

    fn find(self, which: Which) -> Result<Found> {
        match (self, which) {
            (Self::Checkpoint(path, run), _) => {
                let step = whole_checkpoint(&path, run.as_ref())?;
                Ok(Found { run, weights: path, step, warnings: Vec::new() })
            }
            (Self::Export(folder), Which::Step(step)) if !folder.holds_checkpoints() => {
                Err(Fault::usage(format!("{} holds exported weights: it has no step {step}", folder.path().display()))
                    .hint("leave --checkpoint out: there is one set of weights"))
            }
            (Self::Run(folder), which) | (Self::Export(folder), which @ Which::Step(_)) => {
                let (checkpoint, warnings) = folder.find(which)?;
                Ok(Found { run: Some(folder), weights: checkpoint.path, step: checkpoint.progress.step, warnings })
            }
            (Self::Export(folder), _) => {
                let warnings = folder.holds_checkpoints().then(|| {
                    let path = folder.path().display();
                    format!("{path} holds exported weights, which are used, and checkpoints: {path}/{CHECKPOINTS}/STEP names one")
                });
                let weights = folder.path().to_owned();
                Ok(Found { run: Some(folder), weights, step: 0, warnings: warnings.into_iter().collect() })
            }
        }
    }
}

/// The step of a checkpoint whose weights are whole.
fn whole_checkpoint(path: &Path, run: Option<&RunFolder>) -> Result<u64> {
    if let (Some(run), Some(step), false) = (run, step_of(path), path.exists()) {
        return Err(run.no_checkpoint_of(step));
    }
    let broken =
        |fault: Fault| Fault::environment(format!("broken checkpoint: {fault}")).hint("use another checkpoint");
    Progress::verify(path, Used::Only(MODEL)).map(|progress| progress.step).map_err(broken)
}

/// The step in the name of a checkpoint's folder.
fn step_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()
}

/// `RUN`, where a path is `RUN/checkpoints/NAME`.
fn run_around(path: &Path) -> Option<RunFolder> {
    let run = |path: &Path| {
        let checkpoints = path.parent()?;
        let run = checkpoints.parent().filter(|run| !run.as_os_str().is_empty())?;
        (checkpoints.file_name()? == CHECKPOINTS).then(|| RunFolder::new(run))
    };
    let real = || fs::canonicalize(path).or_else(|_| absolute(path)).ok();
    run(path).or_else(|| run(&real()?))
}
