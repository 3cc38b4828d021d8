//! Starting a run, and going on with one.

use std::fs;
use std::path::{Path, PathBuf, absolute};
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use percept_data::{DataConfig, Dataset, SourceConfig, Split, Tokenizer, Windows, check_apart, is_stream};
use percept_fault::{Fault, IoContext, Result};
use percept_model::{LanguageModel, ModelConfig};

use crate::claim::Claim;
use crate::config::RunConfig;
use crate::device::DeviceChoice;
use crate::durable;
use crate::environment::Environment;
use crate::layering::Override;
use crate::lock::Lock;
use crate::metrics::MetricsLog;
use crate::observer::{Event, Observer, Outcome, Started};
use crate::precision::Bf16Support;
use crate::progress::{FORMAT, Interval, Progress, Used, position_of, restore_position};
use crate::resolve::resolve_over;
use crate::run_folder::{LoadedRun, RunFolder, Which, load_run};
use crate::state::{State, check_model};
use crate::streams;
use crate::trainer::{Trainer, write_names};
use crate::validation::{Validation, bytes_per_token};
use crate::windows::windows;

/// Trains a new run in `folder`, which must not hold one yet.
///
/// `stop`: once true, the run finishes its step, saves and ends as [`Outcome::Interrupted`].
///
/// # Errors
/// Usage: a wrong configuration, a folder that holds a run. Environment: unreadable data, an unwritable folder, a
/// missing device. Check: loss or gradient are no longer finite; the last checkpoint is from before that.
pub fn train(config: &RunConfig, folder: &Path, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Outcome> {
    config.validate()?;
    config.data.validate()?;
    let folder = RunFolder::new(absolute(folder).at("find", folder)?);
    check_apart(folder.path(), &config.data)?;
    let claim = Claim::stake(&folder)?;
    match prepare_new(config, &claim, &folder, stop, observer) {
        Ok((prepared, state)) => begin(prepared, state, None, stop, observer),
        Err(fault) => {
            claim.give_up()?;
            Err(fault)
        }
    }
}

/// Opens the data and the model, and writes what a run folder holds from the start.
fn prepare_new(
    config: &RunConfig,
    claim: &Claim<'_>,
    folder: &RunFolder,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<(Prepared, State)> {
    let (device, device_name) = config.train.device.parse::<DeviceChoice>()?.open()?;
    let config = with_precision(config.clone(), &device)?;
    let initial = load_initial(&config, &device, observer)?;
    let data = streams::keep(&config.data, folder, stop, observer)?;
    let dataset = open_data(&data, None, observer)?;
    let config = complete(&config, &dataset, folder)?;
    let model = first_model(&config, &dataset, initial, &device)?;
    let lock = claim.lock()?;
    folder.checkpoints().prepare()?;
    dataset.tokenizer().save(folder.tokenizer_path())?;
    Environment::current(&device_name, config.train.precision).write(&folder.environment_path())?;
    // The configuration comes last: with it, the folder holds a run.
    write_config(folder, &config)?;
    let state = State::new(model, &config.train);
    Ok((Prepared { config, folder: folder.clone(), dataset, device_name, lock }, state))
}

/// Goes on with the run in `folder` from its newest whole checkpoint, bit for bit on the CPU.
///
/// `overrides` may change keys of `[train]` and `[sample]`, e.g. `train.steps` to train longer.
///
/// # Errors
/// As [`train`]; environment: the folder holds no run, or no checkpoint is whole.
pub fn resume(
    folder: &Path,
    overrides: &[Override],
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let folder = RunFolder::existing(absolute(folder).at("find", folder)?)?;
    let lock = Lock::acquire(&folder.lock_path())?;
    check_overrides(overrides)?;
    let config = resolve_over(folder.config_path(), overrides)?;
    let (device, device_name) = config.train.device.parse::<DeviceChoice>()?.open()?;
    let config = with_precision(config, &device)?;
    let checkpoints = folder.checkpoints();
    checkpoints.prepare()?;
    fs::create_dir_all(folder.samples_path()).at("make", folder.samples_path())?;
    let (newest, broken) = checkpoints.newest(Used::Everything)?;
    if let (None, Some(broken)) = (&newest, broken.first()) {
        return Err(Fault::environment(format!("no checkpoint is whole: {}", broken.reason))
            .hint("train again into another run folder"));
    }
    for broken in &broken {
        let from = newest.as_ref().map_or(0, |checkpoint| checkpoint.progress.step);
        let text = format!("broken checkpoint set aside, going on from step {from}: {}", broken.reason);
        observer.event(Event::Warning(text));
        broken.set_aside()?;
    }
    let environment = Environment::current(&device_name, config.train.precision);
    if let Some(difference) = environment.difference(&folder.environment_path())? {
        observer.event(Event::Warning(format!("the numbers may differ in the last bits: {difference}")));
    }
    let data = streams::found_again(&config.data, &folder);
    let dataset = open_data(&data, Some(folder.tokenizer()?), observer)?;
    let state = match &newest {
        Some(checkpoint) => State::load(&checkpoint.path, &config.model, &config.train, device)?,
        None => {
            observer.event(Event::Warning("there is no checkpoint yet: starting from step 0".to_owned()));
            let initial = load_initial(&config, &device, observer)?;
            State::new(first_model(&config, &dataset, initial, &device)?, &config.train)
        }
    };
    if !overrides.is_empty() {
        write_config(&folder, &config)?;
    }
    environment.write(&folder.environment_path())?;
    let mut progress = newest.map(|checkpoint| checkpoint.progress);
    if let Some(progress) = progress.as_mut().filter(|_| !overrides.is_empty()) {
        // Another limit may hold now.
        progress.planned = None;
    }
    begin(Prepared { config, folder, dataset, device_name, lock }, state, progress, stop, observer)
}

/// What a new and a resumed run have in common.
struct Prepared {
    config: RunConfig,
    folder: RunFolder,
    dataset: Dataset,
    device_name: String,
    lock: Lock,
}

fn begin(
    prepared: Prepared,
    state: State,
    progress: Option<Progress>,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let Prepared { config, folder, dataset, device_name, lock } = prepared;
    let train = &config.train;
    let (vocab, tokens) = (config.model.vocab, dataset.tokenizer().vocab_size());
    if vocab > tokens {
        observer.event(Event::Warning(format!("model.vocab is {vocab}, the tokenizer has {tokens} tokens only")));
    }
    let mut windows = windows(&dataset, &config)?;
    let saved = progress.as_ref().map(|progress| progress.step);
    let progress = match progress {
        Some(progress) => {
            restore_position(&mut windows, &progress.position)?;
            progress
        }
        None => fresh_progress(&windows)?,
    };
    let mut metrics = MetricsLog::open(&folder.metrics_path(), progress.step)?;
    if train.tensorboard {
        metrics = metrics.with_events(&folder.tensorboard_path(), progress.seconds)?;
    }
    let diverged = folder.diverged_path();
    durable::remove_file(&diverged)?;
    write_names(&folder, saved, progress.best.map(|best| best.step))?;
    let validation = Validation::new(&dataset, config.model.context, train);
    let started = started(&config, &folder, &dataset, &state.model, device_name, progress.step);
    let trainer = Trainer {
        checkpoints: folder.checkpoints(),
        bytes_per_token: bytes_per_token(&dataset, Split::Train),
        last_validation: None,
        config,
        folder,
        dataset,
        windows,
        validation,
        metrics,
        progress,
        saved,
        stop,
        observer,
        _lock: lock,
    };
    let outcome = trainer.run(started, state);
    if let Err(fault) = outcome.as_ref()
        && fault.is_check()
    {
        durable::write_file(&diverged, format!("{fault}\n").as_bytes())?;
    }
    outcome
}

fn started(
    config: &RunConfig,
    folder: &RunFolder,
    dataset: &Dataset,
    model: &LanguageModel,
    device: String,
    step: u64,
) -> Started {
    let count = |split| dataset.parts(split).iter().map(|part| part.documents.len()).sum();
    Started {
        run: folder.path().to_owned(),
        parameters: model.parameter_count(),
        device,
        precision: config.train.precision,
        step,
        steps: config.train.steps,
        train_tokens: dataset.evaluation(Split::Train).map(|document| document.tokens.len() as u64).sum(),
        train_documents: count(Split::Train),
        validation_documents: count(Split::Validation),
        tokens_per_step: config.model.context * config.train.batch * config.train.accumulate,
    }
}

fn fresh_progress(windows: &Windows) -> Result<Progress> {
    Ok(Progress {
        format: FORMAT,
        step: 0,
        tokens: 0,
        targets: 0,
        seconds: 0.0,
        planned: None,
        position: position_of(windows)?,
        interval: Interval::default(),
        best: None,
        files: Default::default(),
    })
}

fn open_data(config: &DataConfig, tokenizer: Option<Tokenizer>, observer: &mut dyn Observer) -> Result<Dataset> {
    Dataset::open(config, tokenizer, &mut |progress| observer.event(Event::Data(progress)))
}

/// The configuration with the precision that this device takes, so that a run says what was used and keeps it.
fn with_precision(mut config: RunConfig, device: &Device) -> Result<RunConfig> {
    config.train.precision = config.train.precision.on(Bf16Support::of(device))?.into();
    Ok(config)
}

/// The configuration with what only the data knows, and with paths that hold from any folder.
fn complete(config: &RunConfig, dataset: &Dataset, folder: &RunFolder) -> Result<RunConfig> {
    let mut config = config.clone();
    config.data = dataset.config().clone();
    if is_stream(&config.data.tokenizer) {
        config.data.tokenizer = folder.tokenizer_path().to_string_lossy().into_owned();
    }
    config.data = with_absolute_paths(&config.data)?;
    if let Some(path) = &mut config.train.init_from {
        *path = absolute(&path).at("find", &path)?;
    }
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

fn with_absolute_paths(config: &DataConfig) -> Result<DataConfig> {
    let mut config = config.clone();
    let is_path = |path: &str| path != "-" && !path.starts_with("synthetic:");
    let sources = [&mut config.sources, &mut config.validation, &mut config.test];
    for SourceConfig { path, .. } in sources.into_iter().flatten().filter(|source| is_path(&source.path)) {
        *path = absolute_text(path)?;
    }
    if config.tokenizer != "bytes" {
        config.tokenizer = absolute_text(&config.tokenizer)?;
    }
    if let Some(cache) = &mut config.cache {
        *cache = absolute(&cache).at("find", &cache)?;
    }
    Ok(config)
}

fn absolute_text(path: &str) -> Result<String> {
    let path: PathBuf = absolute(path).at("find", path)?;
    Ok(path.to_string_lossy().into_owned())
}

/// The run that this one starts from, if any.
fn load_initial(config: &RunConfig, device: &Device, observer: &mut dyn Observer) -> Result<Option<LoadedRun>> {
    let Some(path) = config.train.init_from.as_deref() else { return Ok(None) };
    let initial = load_run(path, Which::Latest, device)?;
    for warning in &initial.warnings {
        observer.event(Event::Warning(format!("train.init_from: {warning}")));
    }
    Ok(Some(initial))
}

/// The model of step 0: fresh, or with the weights of another run.
fn first_model(
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
            let weights = percept_model::parameters::collect(&initial.model);
            let weights = weights.into_iter().map(|(path, tensor)| (path, tensor.data)).collect();
            Ok(crate::optimizer::replace(model, &weights))
        }
    }
}

fn check_initial(initial: &LoadedRun, model: &ModelConfig, tokenizer: &Tokenizer) -> Result<()> {
    check_model(&initial.checkpoint, initial.model.config(), model)?;
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

fn write_config(folder: &RunFolder, config: &RunConfig) -> Result<()> {
    let text = format!("# The resolved configuration of this run, with every key.\n{}", config.to_toml()?);
    durable::write_file(&folder.config_path(), text.as_bytes())
}

/// A resumed run keeps its model and data.
fn check_overrides(overrides: &[Override]) -> Result<()> {
    match overrides.iter().find(|change| !change.key().starts_with("train.") && !change.key().starts_with("sample.")) {
        Some(change) => Err(Fault::usage(format!("`{}` of a run can't change", change.key())).hint(
            "resume takes keys of [train] and [sample]; `percept train --set train.init_from=RUN` starts a new run",
        )),
        None => Ok(()),
    }
}
