//! A comparison that is ready to run: the text is read, every model is configured, every run has its steps and its folder.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use percept_data::{Dataset, Split, Watch};
use percept_fault::{Fault, Result};
use percept_train::{Environment, RunFolder};

use super::contender::{Contender, contenders, data_config};
use super::engine::REPORT;
use super::machine::settle;
use super::result::{Axis, Budget, ProtocolInfo};
use super::spec::Spec;
use super::steps::{first_step, flops_per_step, steps};
use super::text;
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
    precision_note: Option<String>,
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
    /// To be run in parts by several processes, which must all find the same: text that comes from a pipe is refused, and so is a precision that is
    /// measured.
    Shared,
    /// To show what would run; the folder is not touched.
    Preview,
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
        let dataset = Dataset::open(&text::kept(data_config(&spec)?, folder, purpose, watch)?, None, watch)?;
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
        let (environment, precision_note) = environment(&mut contenders, folder, purpose)?;
        let mut lineup = Self {
            budget,
            folder: folder.to_owned(),
            text_hash: text::hash(&dataset),
            dataset,
            contenders,
            protocol,
            environment,
            precision_note,
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

    /// Says where another precision would be faster; where runs train more than the budget, because one step takes more; and the points
    /// of a sweep more than their share.
    pub fn notes(&self) -> Vec<String> {
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
        self.precision_note.iter().cloned().chain(notes).collect()
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

    /// Steps of a run of a model that a budget pays for.
    pub(super) fn steps(&self, index: usize, seed: u64, budget: &Budget) -> Result<u64> {
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

    /// The protocol of validation and test.
    pub(super) fn protocol(&self) -> Protocol {
        Protocol::SlidingWindow { window: self.protocol.window, stride: self.protocol.stride }
    }
}

/// Where the models train, and what to tell about their precision: all have the one that is chosen for the first of them, or that a comparison which
/// goes on was begun in.
fn environment(contenders: &mut [Contender], folder: &Path, purpose: Purpose) -> Result<(Environment, Option<String>)> {
    let Some(Contender { config, .. }) = contenders.first_mut() else {
        return Err(Fault::usage("no models to compare"));
    };
    let settled = settle(config, &folder.join(REPORT), purpose)?;
    let precision = config.train.precision;
    contenders.iter_mut().for_each(|contender| contender.config.train.precision = precision);
    Ok(settled)
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
