//! Starting a run, and what a new and a resumed one have in common.

use std::path::{Path, PathBuf, absolute};
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use percept_data::{DataConfig, Dataset, SourceConfig, Tokenizer, check_apart, holds_others, is_stream};
use percept_fault::{Fault, IoContext, Result, path_text};
use percept_model::config::Objective;
use percept_model::parameters;

use super::begin::{Control, Ready, begin};
use super::language::LanguageTask;
use super::masked::MaskedTask;
use super::objective::NextToken;
use super::observer::{Event, Observer, Outcome};
use super::order_agnostic_source::OrderAgnosticSource;
use super::ranks::Alone;
use super::run_task::RunTask;
use super::state::State;
use super::streams;
use super::text_source::TextSource;
use crate::config::RunConfig;
use crate::config::task_kind::TaskKind;
use crate::machine::device::DeviceChoice;
use crate::run::claim::Claim;
use crate::run::environment::Environment;
use crate::run::load::{LoadedRun, load};
use crate::run::lock::Lock;
use crate::run::progress::Progress;
use crate::run::run_folder::{RunFolder, Which};
use crate::run::run_model::RunModel;

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
    match (config.task, config.model.objective) {
        (TaskKind::Masked, _) => train_by::<MaskedTask>(config, claim, &folder, stop, observer),
        (TaskKind::NextToken, Objective::NextToken) => train_by::<NextTokens>(config, claim, &folder, stop, observer),
        (TaskKind::NextToken, Objective::OrderAgnostic) => {
            train_by::<TokensAround>(config, claim, &folder, stop, observer)
        }
    }
}

/// The task of a model that predicts the next token.
pub(crate) type NextTokens = LanguageTask<TextSource<NextToken>>;
/// The task of one that predicts all tokens around each.
pub(crate) type TokensAround = LanguageTask<OrderAgnosticSource>;

fn train_by<T: RunTask>(
    config: &RunConfig,
    claim: Claim<'_>,
    folder: &RunFolder,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    match prepare_new::<T>(config, &claim, folder, stop, observer) {
        Ok(prepared) => prepared.begin(stop, observer),
        Err(fault) => {
            claim.give_up()?;
            Err(fault)
        }
    }
}

/// Opens the data and the model, and writes what a run folder holds from the start.
fn prepare_new<T: RunTask>(
    config: &RunConfig,
    claim: &Claim<'_>,
    folder: &RunFolder,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Prepared<T>> {
    let (device, device_name) = config.train.device.parse::<DeviceChoice>()?.open()?;
    let mut config = config.clone();
    let taken = config.take_precision(&device)?;
    taken.note().into_iter().for_each(|note| observer.event(Event::Note(note)));
    let initial = load_initial::<T::Kept>(&config, &device, observer)?;
    let data = streams::keep(&config.data, folder, stop, observer)?;
    let dataset = open_data(&data, None, stop, observer)?;
    let config = complete::<T::Kept>(&config, &dataset, folder)?;
    let source = T::open(&dataset, &config)?;
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
pub(crate) struct Prepared<T: RunTask> {
    pub(crate) config: RunConfig,
    pub(crate) folder: RunFolder,
    pub(crate) dataset: Dataset,
    /// At the place of the progress.
    pub(crate) source: T::Source,
    pub(crate) device_name: String,
    pub(crate) lock: Lock,
    pub(crate) state: State<T::Model>,
    /// None at the first step.
    pub(crate) progress: Option<Progress>,
}

impl<T: RunTask> Prepared<T> {
    /// Trains to the end.
    pub(crate) fn begin(self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Outcome> {
        let Self { mut config, folder, dataset, source, device_name, lock, state, progress } = self;
        let (vocab, tokens) = (*T::Kept::vocab(&mut config), tokens_of::<T::Kept>(&dataset));
        if vocab > tokens {
            let (table, tokens) = (T::Kept::TABLE, dataset.tokenizer().vocab_size());
            observer.event(Event::Warning(format!("{table}.vocab is {vocab}, the tokenizer has {tokens} tokens only")));
        }
        let train = config.train.clone();
        let task = T::of(config, dataset, source);
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
fn complete<M: RunModel>(config: &RunConfig, dataset: &Dataset, folder: &RunFolder) -> Result<RunConfig> {
    let mut config = RunConfig { data: dataset.config().clone(), ..config.clone() };
    if is_stream(&config.data.tokenizer) {
        config.data.tokenizer = path_text(&folder.tokenizer_path(), "--run")?.to_owned();
    }
    let mut config = with_absolute_paths(config)?;
    let (tokens, vocab) = (tokens_of::<M>(dataset), M::vocab(&mut config));
    if *vocab == 0 {
        *vocab = tokens;
    }
    if *vocab < tokens {
        let (table, mask) = (M::TABLE, if M::OWN_TOKENS > 0 { " with the mask" } else { "" });
        return Err(Fault::usage(format!(
            "tokenizer mismatch: it has {tokens} tokens{mask}, {table}.vocab is {vocab}"
        ))
        .hint(format!("{table}.vocab = 0 takes the tokenizer's number")));
    }
    Ok(config)
}

/// The fewest tokens of a model of some text.
fn tokens_of<M: RunModel>(dataset: &Dataset) -> usize {
    dataset.tokenizer().vocab_size() + M::OWN_TOKENS
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
pub(crate) fn load_initial<M: RunModel>(
    config: &RunConfig,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Option<LoadedRun<M>>> {
    let Some(path) = config.train.init_from.as_deref() else { return Ok(None) };
    let initial = load(path, Which::Latest, device)?;
    for warning in &initial.warnings {
        observer.event(Event::Warning(format!("train.init_from: {warning}")));
    }
    Ok(Some(initial))
}

/// The model of step 0: fresh, or with the weights of another run.
pub(crate) fn first_model<M: RunModel>(
    config: &RunConfig,
    dataset: &Dataset,
    initial: Option<LoadedRun<M>>,
    device: &Device,
) -> Result<M> {
    let device = device.clone().autodiff();
    let model = M::fresh(M::of(config), config.train.seed, &device)?;
    match initial {
        None => Ok(model),
        Some(initial) => {
            check_initial(&initial, M::of(config), dataset.tokenizer())?;
            let weights = parameters::collect(&initial.model);
            let weights = weights.into_iter().map(|(path, tensor)| (path, tensor.data)).collect();
            Ok(parameters::replace(model, &weights))
        }
    }
}

fn check_initial<M: RunModel>(initial: &LoadedRun<M>, wanted: &M::Config, tokenizer: &Tokenizer) -> Result<()> {
    M::check_initial(&initial.checkpoint, initial.model.config(), wanted)?;
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
