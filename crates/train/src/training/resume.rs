//! Going on with a run. Nothing in its folder changes before all is known to fit, but for what a killed process left.

use std::fs;
use std::path::{Path, absolute};
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use percept_data::{Dataset, SourceConfig, Tokenizer};
use percept_fault::{Fault, IoContext, Result};
use percept_model::config::Objective;

use super::go_on::{Told, ends_elsewhere, go_on};
use super::masked::MaskedTask;
use super::observer::{Event, Observer, Outcome};
use super::run_task::RunTask;
use super::source::Source;
use super::start::{
    NextTokens, Prepared, TokensAround, first_model, is_path, load_initial, open_data, with_absolute_paths,
    write_config,
};
use super::state::State;
use super::streams;
use crate::config::continuation::ScheduleChoice;
use crate::config::layering::Override;
use crate::config::task_kind::TaskKind;
use crate::config::{RunConfig, TrainConfig};
use crate::machine::device::DeviceChoice;
use crate::machine::precision::{Bf16Support, PrecisionChoice, Taken};
use crate::run::checkpoint::{Broken, Checkpoint};
use crate::run::copies::{FoundConfig, find_tokenizer};
use crate::run::environment::Environment;
use crate::run::load::Place;
use crate::run::lock::Lock;
use crate::run::metrics::Metrics;
use crate::run::overview::metrics;
use crate::run::progress::Progress;
use crate::run::run_folder::RunFolder;
use crate::run::run_model::RunModel;

/// What changes in a run that goes on.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use percept_train::{Changes, Override, resume};
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
/// // `run` was trained for 3 steps.
/// let changes = Changes { overrides: vec![Override::set("train.steps=5")?], schedule: None };
/// let outcome = resume(&run, &changes, &AtomicBool::new(false), &mut |_| ())?;
/// assert_eq!(outcome.summary().step, 5);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Keys of `[train]` and `[sample]`, e.g. `train.steps` to train longer; the sources of `[data]`, where the same text has
    /// moved, and `data.cache`.
    pub overrides: Vec<Override>,
    /// How the learning rate goes on. `None`: by the configuration; but a schedule that has ended does not rise again.
    pub schedule: Option<ScheduleChoice>,
}

impl Changes {
    /// The last change of a key.
    fn of(&self, key: &str) -> Option<&Override> {
        self.overrides.iter().rev().find(|change| change.key() == key)
    }

    /// The last change that names text.
    fn of_text(&self) -> Option<&Override> {
        self.overrides.iter().rev().find(|change| TEXT.contains(&change.key()))
    }
}

/// The key that says where the tokens are kept, which changes nothing.
const CACHE: &str = "data.cache";
/// The key of the number format.
const PRECISION: &str = "train.precision";
/// The keys that say where the text is.
const TEXT: [&str; 3] = ["data.sources", "data.validation", "data.test"];

/// Goes on with the run in `folder` from its newest whole checkpoint, bit for bit on the CPU.
///
/// # Errors
/// As [`crate::train`]; usage: the folder holds exported weights, a key cannot change, the text is another one, or nothing is
/// left to train; environment: the folder holds no run, or no checkpoint is whole.
pub fn resume(folder: &Path, changes: &Changes, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Outcome> {
    let folder = run_at(folder)?;
    check_overrides(&changes.overrides)?;
    let found = Found::read(folder, changes)?;
    match (found.config.task, found.config.model.objective) {
        (TaskKind::Masked, _) => found.resume::<MaskedTask>(changes, stop, observer),
        (TaskKind::NextToken, Objective::NextToken) => found.resume::<NextTokens>(changes, stop, observer),
        (TaskKind::NextToken, Objective::OrderAgnostic) => found.resume::<TokensAround>(changes, stop, observer),
    }
}

/// A run as it lies in its folder, and what changes in it.
struct Found {
    folder: RunFolder,
    lock: Lock,
    newest: Option<Checkpoint>,
    broken: Vec<Broken>,
    before: RunConfig,
    config: RunConfig,
    told: Vec<Told>,
}

impl Found {
    fn read(folder: RunFolder, changes: &Changes) -> Result<Self> {
        let lock = Lock::acquire(&folder.lock_path())?;
        folder.checkpoints().prepare()?;
        let (newest, broken) = newest(&folder)?;
        let (before, mut config, mut told) = configuration(&folder, newest.as_ref(), changes)?;
        if let Some(at) = newest.as_ref().map(|checkpoint| &checkpoint.progress) {
            check_end(&before, &config, at, changes)?;
            told.push(go_on(&before.train, &mut config.train, at, &changes.overrides, changes.schedule));
        }
        Ok(Self { folder, lock, newest, broken, before, config, told })
    }

    fn resume<T: RunTask>(self, changes: &Changes, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Outcome> {
        let Self { folder, lock, newest, broken, before, mut config, mut told } = self;
        let at = newest.as_ref().map(|checkpoint| &checkpoint.progress);
        let (device, device_name) = config.train.device.parse::<DeviceChoice>()?.open()?;
        let earlier = Environment::read(&folder.environment_path())?;
        let taken = precision(&mut config, changes, earlier.as_ref(), &device, &mut told)?;
        config.data = match changes.of_text() {
            Some(_) => streams::keep(&config.data, &folder, stop, observer)?,
            None => streams::found_again(&config.data, &folder),
        };
        let path = newest.as_ref().map(|checkpoint| checkpoint.path.as_path());
        let (tokenizer, lost) = find_tokenizer(Some(&folder), path, &config)?;
        told.extend(lost.map(Told::Warning));
        let (dataset, source) = same_text::<T>(&config, tokenizer, at, changes, &mut told, (stop, observer))?;
        if *dataset.config() != before.data {
            config = with_absolute_paths(RunConfig { data: dataset.config().clone(), ..config })?;
        }
        let state = match path {
            Some(path) => {
                let check = |path: &Path, found: &_| T::Kept::check(path, found, T::Kept::of(&config));
                State::load(path, check, &config.train, &device)?
            }
            None => {
                told.push(Told::Warning("there is no checkpoint yet: starting from step 0".to_owned()));
                let initial = load_initial::<T::Kept>(&config, &device, observer)?;
                State::new(first_model(&config, &dataset, initial, &device)?.into(), &config.train)
            }
        };
        let environment = Environment::of_run(&device_name, taken);
        if let Some(difference) = earlier.and_then(|earlier| environment.difference(earlier)) {
            told.push(Told::Warning(format!("the numbers may differ in the last bits: {difference}")));
        }

        // All fits: from here on the folder changes.
        let warnings = Broken::set_all_aside(&broken, at.map_or(0, |at| at.step))?;
        told.extend(warnings.into_iter().map(Told::Warning));
        fs::create_dir_all(folder.samples_path()).at("make", folder.samples_path())?;
        if config != before || !folder.holds_a_run() {
            write_config(&folder, &config)?;
        }
        if !folder.tokenizer_path().exists() {
            dataset.tokenizer().save(folder.tokenizer_path())?;
        }
        environment.write(&folder.environment_path())?;
        tell(told, observer);
        let mut progress = newest.map(|checkpoint| checkpoint.progress);
        if let Some(progress) = progress.as_mut().filter(|_| ends_elsewhere(&before.train, &config.train)) {
            progress.planned = None;
        }
        Prepared::<T> { config, folder, dataset, source, device_name, lock, state, progress }.begin(stop, observer)
    }
}

/// The precision of the run, whatever is faster now, unless a change names one.
fn precision(
    config: &mut RunConfig,
    changes: &Changes,
    earlier: Option<&Environment>,
    device: &Device,
    told: &mut Vec<Told>,
) -> Result<Taken> {
    let choice = config.train.precision;
    if changes.of(PRECISION).is_none() && choice != PrecisionChoice::Auto {
        return choice.on(Bf16Support::of(device), || earlier?.speeds.clone());
    }
    let taken = config.take_precision(device)?;
    told.extend(taken.note().map(Told::Note));
    Ok(taken)
}

fn tell(told: Vec<Told>, observer: &mut dyn Observer) {
    for told in told {
        match told {
            Told::Nothing => {}
            Told::Note(text) => observer.event(Event::Note(text)),
            Told::Warning(text) => observer.event(Event::Warning(text)),
        }
    }
}

/// The run at a path.
///
/// # Errors
/// Usage: it is an exported folder or a checkpoint. Environment: there is no run.
fn run_at(path: &Path) -> Result<RunFolder> {
    match Place::of(path)? {
        Place::Run(_) => Ok(RunFolder::new(absolute(path).at("find", path)?)),
        Place::Export(folder) => {
            let path = folder.path().display();
            Err(Fault::usage(format!("{path} holds exported weights, not a run: there is nothing to go on with")).hint(
                format!("`percept train {path}/config.toml --init-from {path} --data PATH` starts a new run from them"),
            ))
        }
        Place::Checkpoint(path, run) => Err(Fault::usage(format!("{} is a checkpoint, not a run", path.display()))
            .hint(match run.filter(RunFolder::is_begun) {
                Some(run) => format!("`percept resume {}` goes on from the newest one", run.path().display()),
                None => format!("`percept train --init-from {}` starts a new run from it", path.display()),
            })),
    }
}

/// The newest whole checkpoint, and the newer ones that are broken.
///
/// # Errors
/// Environment: none is whole. Usage: the run has lost them all.
fn newest(folder: &RunFolder) -> Result<(Option<Checkpoint>, Vec<Broken>)> {
    let (newest, broken) = folder.newest_whole()?;
    if newest.is_some() {
        return Ok((newest, broken));
    }
    // A run that was stopped before its first checkpoint begins again; one that had them has lost its weights.
    let named = folder.named_step("latest")?.or(folder.named_step("best")?);
    let lines = metrics(folder)?;
    let logged = lines.last().map_or(0, Metrics::step);
    let has_saved = folder.holds_a_run() && has_saved(&folder.config()?.train, &lines);
    match named.or(has_saved.then_some(logged)) {
        None => Ok((None, broken)),
        Some(step) => {
            let path = folder.path().display();
            Err(Fault::usage(format!("{path} was trained for {step} steps, but its checkpoints are gone"))
                .hint(format!("`percept train {path}/config.toml --run FOLDER` trains it again")))
        }
    }
}

/// Whether a run that logged these lines has saved a checkpoint for certain.
fn has_saved(train: &TrainConfig, lines: &[Metrics]) -> bool {
    let last = lines.last().map_or(0, Metrics::step);
    let is_over = |line: &Metrics| match line {
        Metrics::Train(line) => line.step >= train.steps || (train.seconds > 0.0 && line.seconds >= train.seconds),
        // A best model is saved before the next step.
        Metrics::Validation(line) => line.best && line.step < last,
    };
    (train.checkpoint_every > 0 && last > train.checkpoint_every) || lines.iter().any(is_over)
}

/// The configuration as it is and with the changes, and what to tell of it.
fn configuration(
    folder: &RunFolder,
    newest: Option<&Checkpoint>,
    changes: &Changes,
) -> Result<(RunConfig, RunConfig, Vec<Told>)> {
    let path = newest.map(|checkpoint| checkpoint.path.as_path());
    let FoundConfig { config: before, lost } = FoundConfig::read(Some(folder), path, &[])?;
    let FoundConfig { config: mut after, .. } = FoundConfig::read(Some(folder), path, &changes.overrides)?;
    let texts = [
        (&before.data.sources, &mut after.data.sources),
        (&before.data.validation, &mut after.data.validation),
        (&before.data.test, &mut after.data.test),
    ];
    for (old, new) in texts {
        keep_options(old, new);
    }
    Ok((before, after, lost.map(Told::Warning).into_iter().collect()))
}

/// Sources that moved keep their weights and names, and how they are read: each new path stands for the old one in its place.
fn keep_options(old: &[SourceConfig], new: &mut [SourceConfig]) {
    if old.len() != new.len() {
        return;
    }
    for (old, new) in old.iter().zip(new) {
        if *new == SourceConfig::new(&new.path) {
            *new = SourceConfig { path: new.path.clone(), ..old.clone() };
        }
    }
}

/// # Errors
/// A usage fault where the run has done what it is to do, or more.
fn check_end(before: &RunConfig, after: &RunConfig, at: &Progress, changes: &Changes) -> Result<()> {
    let named = |key: &str, value: String| {
        changes.of(key).map_or(format!("{key} = {value}"), |change| change.origin().to_string())
    };
    let (old, new) = (&before.train, &after.train);
    if new.steps < at.step || (new.steps == at.step && new.steps != old.steps) {
        let what = named("train.steps", new.steps.to_string());
        return Err(Fault::usage(format!("{what}: the run has done {} steps already", at.step)).hint(
            "more steps than that train longer; `--checkpoint STEP` of eval and generate takes an earlier checkpoint",
        ));
    }
    if new.seconds != old.seconds && new.seconds > 0.0 && at.seconds >= new.seconds {
        let what = named("train.seconds", new.seconds.to_string());
        return Err(Fault::usage(format!("{what}: the run has trained for {:.1} seconds already", at.seconds))
            .hint("the limit counts all sessions of a run: name more than that"));
    }
    Ok(())
}

/// The text of the run, proved to be the same by the fingerprints that the checkpoint holds, and the sampler at its place.
///
/// # Errors
/// Usage: it is another text, or was named anew and nothing proves that it is the same. Environment: it is not there.
fn same_text<T: RunTask>(
    config: &RunConfig,
    tokenizer: Tokenizer,
    at: Option<&Progress>,
    changes: &Changes,
    told: &mut Vec<Told>,
    (stop, observer): (&AtomicBool, &mut dyn Observer),
) -> Result<(Dataset, T::Source)> {
    check_sources(config)?;
    let dataset = open_data(&config.data, Some(tokenizer), stop, observer)?;
    let mut source = T::open(&dataset, config)?;
    let named = changes.of_text().map(Override::origin);
    let Some(at) = at else {
        return match named {
            None => Ok((dataset, source)),
            Some(named) => {
                Err(Fault::usage(format!("{named}: without a checkpoint nothing proves that it is the same text"))
                    .hint("nothing was saved yet: train again into another run folder"))
            }
        };
    };
    let restored = source.restore(&at.position);
    let held_out = at.held_out.as_ref().map(|fingerprint| *fingerprint == dataset.held_out_fingerprint());
    match (named, restored) {
        (None, Err(fault)) => return Err(fault),
        (Some(named), Err(_)) => return Err(another_text(&named.to_string(), "training text")),
        (Some(named), Ok(())) if held_out == Some(false) => {
            return Err(another_text(&named.to_string(), "validation or test text"));
        }
        (Some(named), Ok(())) if held_out.is_none() && names_held_out(changes) => {
            return Err(Fault::usage(format!(
                "{named}: the checkpoint is of an older version, which does not tell its text"
            ))
            .hint("only the training text can be named anew: move this one back to where it was"));
        }
        (None, Ok(())) if held_out == Some(false) => told.push(Told::Warning(
            "the validation or test text has changed: its losses do not compare with those so far".to_owned(),
        )),
        (_, Ok(())) => {}
    }
    Ok((dataset, source))
}

fn names_held_out(changes: &Changes) -> bool {
    TEXT[1..].iter().any(|key| changes.of(key).is_some())
}

fn another_text(named: &str, which: &str) -> Fault {
    Fault::usage(format!("{named}: this is not the {which} of the run")).hint(
        "name the same files in the same order; `percept train --init-from RUN --data PATH` goes on with another text",
    )
}

/// # Errors
/// Environment: a source has gone from where it was.
fn check_sources(config: &RunConfig) -> Result<()> {
    let data = &config.data;
    let lists =
        [("--data PATH", &data.sources), ("--validation PATH", &data.validation), ("--set data.test=PATH", &data.test)];
    for (flag, sources) in lists {
        let gone = |source: &&SourceConfig| is_path(&source.path) && !Path::new(&source.path).exists();
        if let Some(source) = sources.iter().find(gone) {
            return Err(Fault::environment(format!("no such file or folder: {}", source.path))
                .hint(format!("where the same text has moved, `percept resume RUN {flag}` names its new place")));
        }
    }
    Ok(())
}

/// A resumed run keeps its model and its text.
fn check_overrides(overrides: &[Override]) -> Result<()> {
    let is_free =
        |key: &str| key.starts_with("train.") || key.starts_with("sample.") || key == CACHE || TEXT.contains(&key);
    match overrides.iter().find(|change| !is_free(change.key())) {
        Some(change) => Err(Fault::usage(format!("`{}` of a run can't change", change.key()))
            .hint("resume takes keys of [train] and [sample]; `percept train --init-from RUN` starts a new run")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_whether_there_was_a_checkpoint() {
        let train = |step, seconds: f64| -> Metrics {
            serde_json::from_value(serde_json::json!({
                "kind": "train", "step": step, "tokens": 1, "targets": 1, "loss": 1.0, "bits_per_byte": null,
                "learning_rate": 0.1, "gradient_norm": 1.0, "tokens_per_second": 1.0, "seconds": seconds,
            }))
            .unwrap()
        };
        let best = |step| {
            let line =
                serde_json::json!({ "kind": "validation", "step": step, "targets": 1, "loss": 1.0, "best": true });
            serde_json::from_value::<Metrics>(line).unwrap()
        };
        let config = TrainConfig { steps: 100, checkpoint_every: 50, seconds: 9.0, ..TrainConfig::default() };
        for stopped_before in [vec![], vec![train(49, 3.0)], vec![train(50, 3.0), best(50)]] {
            assert!(!has_saved(&config, &stopped_before), "{stopped_before:?}");
        }
        for had_one in
            [vec![train(51, 3.0)], vec![best(20), train(21, 3.0)], vec![train(30, 9.5)], vec![train(100, 3.0)]]
        {
            assert!(has_saved(&config, &had_one), "{had_one:?}");
        }
    }

    #[test]
    fn sources_that_moved_keep_their_options() {
        let old = [
            SourceConfig { weight: Some(2.0), name: Some("books".into()), ..SourceConfig::new("/old/a") },
            SourceConfig { text_key: Some("body".into()), ..SourceConfig::new("/old/b") },
        ];
        let mut new = [SourceConfig::new("/new/a"), SourceConfig { weight: Some(1.0), ..SourceConfig::new("/new/b") }];
        keep_options(&old, &mut new);
        assert_eq!(new[0], SourceConfig { path: "/new/a".into(), ..old[0].clone() });
        assert_eq!((new[1].weight, &new[1].text_key), (Some(1.0), &None), "said in full");
        let mut one = [SourceConfig::new("/new")];
        keep_options(&old, &mut one);
        assert_eq!(one, [SourceConfig::new("/new")]);
    }
}
