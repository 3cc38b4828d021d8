//! A comparison that is ready to run: the text is read, every model is configured, every run has its steps and its folder.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf, absolute};

use percept_data::{
    DataConfig, Dataset, Made, SourceConfig, Split, Watch, check_apart, is_stream, keep_streams, mark_folder,
};
use percept_fault::{Fault, IoContext, Result};
use percept_train::{Bf16Support, DeviceChoice, Environment, KEPT_TEXT, RunFolder};
use sha2::{Digest, Sha256};

use super::contender::{Contender, contenders, data_config};
use super::result::{Axis, Budget, Failure, FailureKind, ProtocolInfo, SplitInfo, SweepPoint};
use super::spec::Spec;
use super::speed::Clock;
use super::steps::{Cadence, first_step, flops_per_step, steps};
use super::task::{End, Task, fingerprint};
use percept_plan::measure_speed;
use percept_score::Protocol;

/// Training steps that are timed for an estimate, after a warm-up.
const MEASURED_STEPS: usize = 2;

/// A comparison that is ready to run.
#[derive(Debug)]
pub struct Lineup {
    pub(super) spec: Spec,
    pub(super) budget: Budget,
    pub(super) folder: PathBuf,
    pub(super) dataset: Dataset,
    pub(super) text_hash: String,
    pub(super) contenders: Vec<Contender>,
    pub(super) protocol: ProtocolInfo,
    pub(super) environment: Environment,
    /// Steps that each model is going to take, from its measured speed where time is the budget.
    pub(super) expected_steps: Vec<u64>,
    /// What one step of each model takes of the budget, measured where that is time.
    pub(super) one_step: Vec<f64>,
    /// Steps by seed, latents and budget: counting targets reads the text.
    counted: RefCell<BTreeMap<(u64, usize, u64), u64>>,
}

/// What a lineup is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be run: text that comes from a pipe is kept in the comparison's folder.
    Run,
    /// To show what would run; the folder is not touched.
    Preview,
}

/// Which run of a model.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    /// A point of the search for a learning rate, of a share of the budget.
    Sweep(f64),
    /// The run that counts.
    Full,
}

/// The learning rate of a model's full runs.
#[derive(Debug)]
pub(super) enum Rate {
    /// The sweep goes on.
    Unknown,
    /// As configured, or the best of the sweep.
    Chosen(f64),
    /// Every point of the sweep diverged.
    Failed(Failure),
}

impl Lineup {
    /// Reads the text and configures every model. `folder`: where the runs and the report go.
    ///
    /// # Errors
    /// Usage: the specification is wrong, `folder` is that of the text or of a run, or there is no test text. Environment: text, tokenizer or device cannot be used.
    pub fn new(spec: Spec, folder: &Path, purpose: Purpose, watch: &mut dyn Watch<'_>) -> Result<Self> {
        spec.validate()?;
        if RunFolder::new(folder).is_begun() {
            return Err(Fault::usage(format!("{} already holds a run", folder.display())).hint("choose another folder"));
        }
        let budget = spec.budget()?;
        let dataset = Dataset::open(&text(&spec, folder, purpose, watch)?, None, watch)?;
        if spec.sweep.is_some() && dataset.size(Split::Validation).tokens == 0 {
            return Err(Fault::usage("a sweep chooses the learning rate on the validation text, and there is none")
                .hint("give one with --validation, or leave --sweep out"));
        }
        if dataset.size(Split::Test).tokens == 0 {
            return Err(Fault::usage("models are ranked by the test text, and there is none")
                .hint("give more text with --data, of which a part is held out, or name one: --set 'data.test=[\"test.txt\"]'"));
        }
        let mut contenders = contenders(&spec, dataset.tokenizer().vocab_size())?;
        let protocol = protocol(&spec, &contenders)?;
        for contender in &mut contenders {
            contender.config.data = dataset.config().clone();
            contender.config.train.validation_stride = protocol.stride;
        }
        let environment = environment(&mut contenders)?;
        let hashes = splits().map(|split| split_hash(&dataset, split)).concat();
        let mut lineup = Self {
            budget,
            folder: folder.to_owned(),
            text_hash: percept_files::hex(&Sha256::digest(hashes)),
            dataset,
            contenders,
            protocol,
            environment,
            expected_steps: Vec::new(),
            one_step: Vec::new(),
            counted: RefCell::default(),
            spec,
        };
        let expected: Vec<(u64, f64)> =
            (0..lineup.contenders.len()).map(|index| lineup.expect(index)).collect::<Result<_>>()?;
        (lineup.expected_steps, lineup.one_step) = expected.into_iter().unzip();
        Ok(lineup)
    }

    /// Steps of a model's full run, and what its first one takes of the budget; estimated where that is time.
    fn expect(&self, index: usize) -> Result<(u64, f64)> {
        let contender = &self.contenders[index];
        match first_step(self.budget.kind, &contender.config, &contender.plan, &self.dataset)? {
            Some(one) => Ok((self.steps(index, self.spec.seeds[0], &self.budget)?, one)),
            None => {
                let seconds = self.measured_step(index)?;
                Ok(((self.budget.amount / seconds).max(1.0) as u64, seconds))
            }
        }
    }

    /// Says where runs train more than the budget, because one step takes more; and the points of a sweep more than their share.
    pub fn budget_notes(&self) -> Vec<String> {
        let shares = [("the budget", 1.0)].into_iter();
        let shares =
            shares.chain(self.spec.sweep.as_ref().map(|sweep| ("the sweep's share of the budget", sweep.fraction)));
        let notes = shares.filter_map(|(what, share)| {
            let budget = Budget { amount: share * self.budget.amount, ..self.budget };
            let of_step = |(contender, &amount): (&Contender, &f64)| {
                (amount > budget.amount).then(|| format!("{} {}", contender.name, Budget { amount, ..budget }))
            };
            let more: Vec<String> = self.contenders.iter().zip(&self.one_step).filter_map(of_step).collect();
            (!more.is_empty()).then(|| {
                format!("{what}, {budget}, is less than one step, which is trained all the same: {}", more.join(", "))
            })
        });
        notes.collect()
    }

    /// The models with their plans.
    pub fn contenders(&self) -> &[Contender] {
        &self.contenders
    }

    /// Seconds of a training step, measured.
    pub(super) fn measured_step(&self, index: usize) -> Result<f64> {
        let contender = &self.contenders[index];
        let speed = measure_speed(&contender.config, MEASURED_STEPS)?;
        Ok(flops_per_step(&contender.plan) / speed.flops_per_second)
    }

    fn steps(&self, index: usize, seed: u64, budget: &Budget) -> Result<u64> {
        let contender = &self.contenders[index];
        let key = (seed, contender.plan.targets_per_window, budget.amount.to_bits());
        if let (Axis::Targets, Some(known)) = (budget.kind, self.counted.borrow().get(&key)) {
            return Ok(*known);
        }
        let mut config = contender.config.clone();
        config.train.seed = seed;
        let steps = steps(budget, &config, &contender.plan, &self.dataset)?;
        self.counted.borrow_mut().insert(key, steps);
        Ok(steps)
    }

    /// One run of a model.
    pub(super) fn task(&self, index: usize, seed: u64, learning_rate: f64, stage: Stage) -> Result<Task> {
        let contender = &self.contenders[index];
        let share = match stage {
            Stage::Sweep(fraction) => fraction,
            Stage::Full => 1.0,
        };
        let budget = Budget { amount: share * self.budget.amount, ..self.budget };
        let mut config = contender.config.clone();
        let steps = self.steps(index, seed, &budget)?;
        let fewest = self.expected_steps.iter().copied().min().unwrap_or(steps);
        let cadence = Cadence::of((share * fewest as f64) as u64, self.spec.points);
        let train = &mut config.train;
        (train.seed, train.learning_rate, train.steps) = (seed, learning_rate, steps);
        (train.log_every, train.checkpoint_every) = (cadence.log_every, cadence.validate_every);
        let (folder, label) = match stage {
            Stage::Sweep(_) => {
                train.validate_every = 0;
                config.sample.tokens = 0;
                ("sweep", format!("{} lr {learning_rate:.2e}", contender.name))
            }
            Stage::Full => {
                train.validate_every = cadence.validate_every;
                ("runs", format!("{} seed {seed}", contender.name))
            }
        };
        let train = &mut config.train;
        match self.budget.kind {
            Axis::Seconds => train.seconds = budget.amount,
            _ => train.warmup = train.warmup.min(steps / 10),
        }
        let fingerprint = fingerprint(&config, &self.text_hash, &budget)?;
        let name = format!("{}-{}", slug(&label), &fingerprint[..8]);
        let work = match self.budget.kind {
            Axis::Seconds => budget.amount,
            _ => steps as f64 * flops_per_step(&contender.plan),
        };
        Ok(Task { label, config, folder: self.folder.join(folder).join(name), fingerprint, work })
    }

    /// The runs that search a model's learning rate; none without a sweep.
    pub(super) fn sweep_tasks(&self, index: usize) -> Result<Vec<Task>> {
        let Some(sweep) = &self.spec.sweep else { return Ok(Vec::new()) };
        let rate = self.contenders[index].config.train.learning_rate;
        let tasks = sweep.factors().into_iter();
        tasks.map(|factor| self.task(index, self.spec.seeds[0], factor * rate, Stage::Sweep(sweep.fraction))).collect()
    }

    /// What the sweep of a model found so far.
    pub(super) fn sweep_points(&self, index: usize, clock: Clock) -> Result<Vec<SweepPoint>> {
        let mut points = Vec::new();
        for task in self.sweep_tasks(index)? {
            let Some(done) = task.done()? else { continue };
            let last = match done.end {
                End::Budget | End::Unscored => task.last_validation()?,
                End::Diverged => None,
            };
            points.push(SweepPoint {
                learning_rate: task.config.train.learning_rate,
                loss: last.as_ref().map(|last| last.loss),
                bits_per_byte: last.and_then(|last| last.bits_per_byte),
                tokens: done.tokens,
                seconds: clock.seconds(done.step, done.seconds),
            });
        }
        Ok(points)
    }

    /// The learning rate of a model's full runs, as far as its sweep tells.
    pub(super) fn learning_rate(&self, index: usize) -> Result<Rate> {
        let contender = &self.contenders[index];
        let Some(sweep) = &self.spec.sweep else { return Ok(Rate::Chosen(contender.config.train.learning_rate)) };
        let points = self.sweep_points(index, Clock::Wall)?;
        if points.len() < sweep.lr {
            return Ok(Rate::Unknown);
        }
        let finite = points.iter().filter_map(|point| Some((point.loss?, point.learning_rate)));
        match finite.min_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((_, rate)) => Ok(Rate::Chosen(rate)),
            None => self.sweep_failure(index).map(Rate::Failed),
        }
    }

    /// What to say of a sweep of which every point diverged.
    fn sweep_failure(&self, index: usize) -> Result<Failure> {
        let mut points = Vec::new();
        for task in self.sweep_tasks(index)? {
            let what = task.done()?.and_then(|done| done.failure()).map(|failure| failure.in_words());
            points.push(format!("{:.2e} {}", task.config.train.learning_rate, what.unwrap_or_default()));
        }
        let message = format!("training diverged at every learning rate of the sweep: {}", points.join(", "));
        Ok(Failure { kind: FailureKind::Diverged, step: None, message })
    }

    /// The full run of a model with a seed; `None` while its learning rate is not known, and where it has none.
    pub(super) fn full_task(&self, index: usize, seed: u64) -> Result<Option<Task>> {
        match self.learning_rate(index)? {
            Rate::Chosen(rate) => self.task(index, seed, rate, Stage::Full).map(Some),
            Rate::Unknown | Rate::Failed(_) => Ok(None),
        }
    }

    /// Why a model has no result: its sweep, or the first of its runs that failed.
    pub(super) fn failure(&self, index: usize, finalists: &[usize]) -> Result<Option<Failure>> {
        if let Rate::Failed(failure) = self.learning_rate(index)? {
            return Ok(Some(failure));
        }
        for seed in self.seeds(index, finalists) {
            let done = self.full_task(index, seed)?.map(|task| task.done()).transpose()?.flatten();
            if let Some(failure) = done.and_then(|done| done.failure()) {
                return Ok(Some(failure));
            }
        }
        Ok(None)
    }

    /// The models that get more seeds: the best by validation loss, first seed, of those that did not diverge; none before all of those
    /// runs are finished.
    pub(super) fn finalists(&self) -> Result<Vec<usize>> {
        let Some(finalists) = &self.spec.finalists else { return Ok(Vec::new()) };
        let mut losses = Vec::new();
        for index in 0..self.contenders.len() {
            if let Rate::Failed(_) = self.learning_rate(index)? {
                continue;
            }
            let Some(task) = self.full_task(index, self.spec.seeds[0])? else { return Ok(Vec::new()) };
            let Ok(Some(done)) = task.done() else { return Ok(Vec::new()) };
            if done.end != End::Diverged {
                losses.push((task.best_validation()?.unwrap_or(f64::INFINITY), index));
            }
        }
        losses.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(losses.into_iter().take(finalists.models).map(|(_, index)| index).collect())
    }

    /// The seeds of a model.
    pub(super) fn seeds(&self, index: usize, finalists: &[usize]) -> Vec<u64> {
        if finalists.contains(&index) { self.spec.all_seeds() } else { self.spec.seeds.clone() }
    }

    /// The three splits of the text.
    pub(super) fn split_infos(&self) -> Vec<SplitInfo> {
        splits()
            .map(|split| {
                let size = self.dataset.size(split);
                SplitInfo {
                    name: split.label().to_owned(),
                    documents: size.documents,
                    bytes: size.bytes,
                    words: size.words,
                    tokens: size.tokens,
                    hash: split_hash(&self.dataset, split),
                }
            })
            .to_vec()
    }

    /// The protocol of validation and test.
    pub(super) fn protocol(&self) -> Protocol {
        Protocol::SlidingWindow { window: self.protocol.window, stride: self.protocol.stride }
    }
}

/// Where the models train; their precision is that which the device takes.
fn environment(contenders: &mut [Contender]) -> Result<Environment> {
    let Some(first) = contenders.first() else { return Err(Fault::usage("no models to compare")) };
    let (device, name) = first.config.train.device.parse::<DeviceChoice>()?.open()?;
    let precision = first.config.train.precision.on(Bf16Support::of(&device))?.into();
    contenders.iter_mut().for_each(|contender| contender.config.train.precision = precision);
    Ok(Environment::current(&name, precision))
}

fn splits() -> [Split; 3] {
    [Split::Train, Split::Validation, Split::Test]
}

/// Windows of the training context; as many targets at their end as every model can score, half a window at most.
fn protocol(spec: &Spec, contenders: &[Contender]) -> Result<ProtocolInfo> {
    let Some(first) = contenders.first() else { return Err(Fault::usage("no models to compare")) };
    let window = first.config.model.context;
    let fewest = contenders.iter().map(|one| one.plan.targets_per_window).min().unwrap_or(window);
    let stride = spec.stride.unwrap_or(fewest.min(window.div_ceil(2)));
    let protocol = Protocol::SlidingWindow { window, stride };
    protocol.validate(fewest)?;
    Ok(ProtocolInfo {
        text: protocol.to_string(),
        window,
        stride,
        guaranteed_context: window - stride,
        test_limit: spec.test_limit,
        validation_targets: first.config.train.validation_targets,
    })
}

/// Hash of the documents of a split.
fn split_hash(dataset: &Dataset, split: Split) -> String {
    let mut hash = Sha256::new();
    for part in dataset.parts(split) {
        hash.update(format!("{:?} {} {:?}\n", part.weight, part.corpus.fingerprint(), part.documents));
    }
    percept_files::hex(&hash.finalize())
}

/// The text to read. What can be read only once is kept where the runs will find it.
fn text(spec: &Spec, folder: &Path, purpose: Purpose, watch: &mut dyn Watch<'_>) -> Result<DataConfig> {
    let data = data_config(spec)?;
    check_apart(folder, &data)?;
    let has_streams = |sources: &Vec<SourceConfig>| sources.iter().any(|source| is_stream(&source.path));
    if purpose == Purpose::Preview || ![&data.sources, &data.validation, &data.test].into_iter().any(has_streams) {
        return Ok(data);
    }
    let folder = absolute(folder).at("find", folder)?;
    let marked = mark_folder(&folder, Made::Comparison)?;
    let kept = keep_streams(&data, &folder.join(KEPT_TEXT), watch);
    if kept.is_err() {
        marked.unmark()?;
    }
    kept
}

/// A name as part of a folder's name.
fn slug(name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { ' ' });
    plain.collect::<String>().split_whitespace().collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_have_plain_names() {
        assert_eq!(slug("llp*5, transformer seed 1"), "llp-5-transformer-seed-1");
        assert_eq!(slug("../x lr 1.00e-3"), "..-x-lr-1.00e-3");
    }
}
