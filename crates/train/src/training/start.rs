//! Starting a run, and what a new and a resumed one have in common.

use std::path::{Path, PathBuf, absolute};
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use percept_data::{DataConfig, Dataset, SourceConfig, Tokenizer, check_apart, holds_others, is_stream};
use percept_fault::{Fault, IoContext, Result, path_text};
use percept_model::config::Objective;
use percept_model::{LanguageModel, ModelConfig, parameters};

use super::begin::{Control, Ready, begin};
use super::language::LanguageTask;
use super::lessons::Lessons;
use super::objective::NextToken;
use super::observer::{Event, Observer, Outcome};
use super::order_agnostic_source::OrderAgnosticSource;
use super::ranks::Alone;
use super::state::State;
use super::streams;
use super::text_source::TextSource;
use crate::config::RunConfig;
use crate::machine::device::DeviceChoice;
use crate::run::claim::Claim;
use crate::run::environment::Environment;
use crate::run::load::{LoadedRun, load_run};
use crate::run::lock::Lock;
use crate::run::progress::Progress;
use crate::run::run_folder::{RunFolder, Which};
use crate::run::same_model::check_model;

/// Trains a new run in `folder`, which must not hold one yet.
///
/// `stop`: once true, the run finishes its step, saves and ends as [`Outcome::Interrupted`].
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use percept_train::{Event, Which, load_run, train};
/// # fn main() -> percept_fault::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut config = percept_train::resolve_preset("llp-tiny")?;
/// # config.data = percept_data::DataConfig::from_paths(["synthetic:copy?length=8"]);
/// # config.data.cache = Some(folder.path().join("cache"));
/// # (config.model.dim, config.model.depth, config.model.heads) = (16, 1, 2);
/// # (config.model.context, config.model.layers) = (32, "llp(segment=8)".into());
/// # (config.train.steps, config.train.warmup, config.sample.tokens) = (3, 1, 4);
/// // `config`: of `resolve`, here with a tiny model.
/// let run = folder.path().join("run");
/// let mut losses = Vec::new();
/// let mut observer = |event: Event| {
///     if let Event::Step(metrics) = event {
///         losses.push(metrics.loss);
///     }
/// };
/// let outcome = train(&config, &run, &AtomicBool::new(false), &mut observer)?;
/// assert_eq!((outcome.summary().step, losses.len()), (3, 1));
/// assert_eq!(load_run(&run, Which::Latest, &Default::default())?.step, 3);
/// # Ok(()) }
/// ```
///
/// # Errors
/// Usage: a wrong configuration, a folder that holds a run. Environment: unreadable data, an unwritable folder, a
/// missing device. Check: loss or gradient are no longer finite; the last checkpoint is from before that. Interrupted: `stop` became
/// true while the text was read.
pub fn train(config: &RunConfig, folder: &Path, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Outcome> {
    config.validate()?;
    config.data.validate()?;
    // What the run's configuration could not hold is refused before any text is read.
    with_absolute_paths(config.clone())?;
    let folder = RunFolder::new(absolute(folder).at("find", folder)?);
    check_apart(folder.path(), &config.data)?;
    if holds_others(folder.path()) {
        let text = format!("{} holds other files: from now on they are not read as text", folder.path().display());
        observer.event(Event::Warning(text));
    }
    let claim = Claim::stake(&folder)?;
    match config.model.objective {
        Objective::NextToken => train_by::<TextSource<NextToken>>(config, claim, &folder, stop, observer),
        Objective::OrderAgnostic => train_by::<OrderAgnosticSource>(config, claim, &folder, stop, observer),
    }
}

fn train_by<L: Lessons>(
    config: &RunConfig,
    claim: Claim<'_>,
    folder: &RunFolder,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    match prepare_new::<L>(config, &claim, folder, stop, observer) {
        Ok(prepared) => prepared.begin(stop, observer),
        Err(fault) => {
            claim.give_up()?;
            Err(fault)
        }
    }
}

/// Opens the data and the model, and writes what a run folder holds from the start.
fn prepare_new<L: Lessons>(
    config: &RunConfig,
    claim: &Claim<'_>,
    folder: &RunFolder,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Prepared<L>> {
    let (device, device_name) = config.train.device.parse::<DeviceChoice>()?.open()?;
    let mut config = config.clone();
    let taken = config.take_precision(&device)?;
    taken.note().into_iter().for_each(|note| observer.event(Event::Note(note)));
    let initial = load_initial(&config, &device, observer)?;
    let data = streams::keep(&config.data, folder, stop, observer)?;
    let dataset = open_data(&data, None, stop, observer)?;
    let config = complete(&config, &dataset, folder)?;
    let source = L::open(&dataset, &config)?;
    let model = first_model(&config, &dataset, initial, &device)?;
    folder.check_tokenizer(dataset.tokenizer())?;
    let lock = claim.lock()?;
    folder.checkpoints().prepare()?;
    dataset.tokenizer().save(folder.tokenizer_path())?;
    Environment::of_run(&device_name, taken).write(&folder.environment_path())?;
    // The configuration comes last: with it, the folder holds a run.
    write_config(folder, &config)?;
    let state = State::new(model.into(), &config.train);
    Ok(Prepared { config, folder: folder.clone(), dataset, source, device_name, lock, state, progress: None })
}

/// What a new and a resumed run have in common.
pub(crate) struct Prepared<L: Lessons> {
    pub(crate) config: RunConfig,
    pub(crate) folder: RunFolder,
    pub(crate) dataset: Dataset,
    /// At the place of the progress.
    pub(crate) source: L,
    pub(crate) device_name: String,
    pub(crate) lock: Lock,
    pub(crate) state: State<L::Model>,
    /// None at the first step.
    pub(crate) progress: Option<Progress>,
}

impl<L: Lessons> Prepared<L> {
    /// Trains to the end.
    pub(crate) fn begin(self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Outcome> {
        let Self { config, folder, dataset, source, device_name, lock, state, progress } = self;
        let (vocab, tokens) = (config.model.vocab, dataset.tokenizer().vocab_size());
        if vocab > tokens {
            observer.event(Event::Warning(format!("model.vocab is {vocab}, the tokenizer has {tokens} tokens only")));
        }
        let train = config.train.clone();
        let task = LanguageTask::new(config, dataset, source);
        let ready = Ready { task, train, folder, device_name, lock: Some(lock), state, progress };
        begin(ready, Control { stop, observer, ranks: &Alone })
    }
}

pub(crate) fn open_data(
    config: &DataConfig,
    tokenizer: Option<Tokenizer>,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Dataset> {
    Dataset::open(config, tokenizer, &mut Reading { observer, stop })
}

/// Tells the observer how the text is read, until the run is to stop.
pub(crate) struct Reading<'o, 's> {
    pub(crate) observer: &'o mut dyn Observer,
    pub(crate) stop: &'s AtomicBool,
}

impl<'s> percept_data::Watch<'s> for Reading<'_, 's> {
    fn progress(&mut self, progress: percept_data::Progress) {
        self.observer.event(Event::Data(progress));
    }

    fn stop(&self) -> &'s AtomicBool {
        self.stop
    }
}

/// The configuration with what only the data knows, and with paths that hold from any folder.
fn complete(config: &RunConfig, dataset: &Dataset, folder: &RunFolder) -> Result<RunConfig> {
    let mut config = RunConfig { data: dataset.config().clone(), ..config.clone() };
    if is_stream(&config.data.tokenizer) {
        config.data.tokenizer = path_text(&folder.tokenizer_path(), "--run")?.to_owned();
    }
    let mut config = with_absolute_paths(config)?;
    let vocab = dataset.tokenizer().vocab_size();
    if config.model.vocab == 0 {
        config.model.vocab = vocab;
    }
    if config.model.vocab < vocab {
        return Err(Fault::usage(format!(
            "tokenizer mismatch: it has {vocab} tokens, model.vocab is {}",
            config.model.vocab
        ))
        .hint("model.vocab = 0 takes the tokenizer's number"));
    }
    Ok(config)
}

/// The configuration with paths that hold from any folder.
///
/// # Errors
/// A usage fault where such a path is not UTF-8: the file would name another one, and the run could not go on.
pub(crate) fn with_absolute_paths(mut config: RunConfig) -> Result<RunConfig> {
    let data = &mut config.data;
    let sources =
        [("data.sources", &mut data.sources), ("data.validation", &mut data.validation), ("data.test", &mut data.test)];
    for (key, sources) in sources {
        for SourceConfig { path, .. } in sources.iter_mut().filter(|source| is_path(&source.path)) {
            *path = absolute_text(Path::new(path), key)?;
        }
    }
    if data.tokenizer != "bytes" {
        data.tokenizer = absolute_text(Path::new(&data.tokenizer), "data.tokenizer")?;
    }
    for (key, path) in [("data.cache", &mut data.cache), ("train.init_from", &mut config.train.init_from)] {
        if let Some(path) = path {
            *path = absolute_text(path, key)?.into();
        }
    }
    Ok(config)
}

/// Whether a source is a file or a folder.
pub(crate) fn is_path(source: &str) -> bool {
    source != "-" && !source.starts_with("synthetic:")
}

fn absolute_text(path: &Path, key: &str) -> Result<String> {
    let path: PathBuf = absolute(path).at("find", path)?;
    path_text(&path, key).map(str::to_owned)
}

/// The run that this one starts from, if any.
pub(crate) fn load_initial(
    config: &RunConfig,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Option<LoadedRun>> {
    let Some(path) = config.train.init_from.as_deref() else { return Ok(None) };
    let initial = load_run(path, Which::Latest, device)?;
    for warning in &initial.warnings {
        observer.event(Event::Warning(format!("train.init_from: {warning}")));
    }
    Ok(Some(initial))
}

/// The model of step 0: fresh, or with the weights of another run.
pub(crate) fn first_model(
    config: &RunConfig,
    dataset: &Dataset,
    initial: Option<LoadedRun>,
    device: &Device,
) -> Result<LanguageModel> {
    let device = device.clone().autodiff();
    let model = LanguageModel::new(&config.model, config.train.seed, &device)?;
    match initial {
        None => Ok(model),
        Some(initial) => {
            check_initial(&initial, &config.model, dataset.tokenizer())?;
            let weights = parameters::collect(&initial.model);
            let weights = weights.into_iter().map(|(path, tensor)| (path, tensor.data)).collect();
            Ok(parameters::replace(model, &weights))
        }
    }
}

fn check_initial(initial: &LoadedRun, model: &ModelConfig, tokenizer: &Tokenizer) -> Result<()> {
    let found = initial.model.config();
    // What a model is taught changes none of its shapes.
    let model = ModelConfig { objective: found.objective, order_agnostic: found.order_agnostic, ..model.clone() };
    check_model(&initial.checkpoint, found, &model)?;
    if initial.tokenizer.fingerprint() != tokenizer.fingerprint() {
        return Err(Fault::usage(format!(
            "tokenizer mismatch: {} was trained with {}, this run has {}",
            initial.checkpoint.display(),
            initial.tokenizer.describe(),
            tokenizer.describe()
        ))
        .hint("set data.tokenizer to the tokenizer.json of that run"));
    }
    Ok(())
}

/// Writes the configuration that the run folder keeps.
pub(crate) fn write_config(folder: &RunFolder, config: &RunConfig) -> Result<()> {
    percept_files::write_file(&folder.config_path(), config.to_run_file()?.as_bytes())
}
