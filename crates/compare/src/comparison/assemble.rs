//! The report from what the folder holds: every run, its curve and its test result.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use percept_data::Split;
use percept_fault::{IoContext, Result};
use percept_model::properties::Properties;
use percept_train::{Decay, Metrics, RunConfig, RunFolder, TrainConfig};

use super::clock::Clock;
use super::contender::Contender;
use super::curve::{best, curve};
use super::judge::{rank, readings};
use super::lineup::Lineup;
use super::machine::described;
use super::matching::TOLERANCE;
use super::result::*;
use super::spec::Parameters;
use super::task::{Done, Task};
use super::test_text::test_result;
use super::text::{corpus, source_name};
use percept_score::CorpusTexts;
use percept_score::ngram::Ngram;

/// Bytes of context of the baseline.
const ORDER: usize = 2;
/// A length at which the state is told.
const LONG: usize = 1_000_000;
/// Bytes of an element of a state.
const NUMBER: usize = 4;

/// The baseline, fitted once.
#[derive(Debug)]
pub(super) struct Baselines(Vec<Baseline>);

impl Baselines {
    /// Fits the order-2 byte model on the training text and scores validation and test text. A tokenizer that loses text has none.
    pub(super) fn fit(lineup: &Lineup) -> Result<Self> {
        let dataset = &lineup.dataset;
        if !dataset.is_lossless() {
            return Ok(Self(Vec::new()));
        }
        let texts = |split| CorpusTexts::of_parts(dataset.tokenizer(), dataset.parts(split));
        let model = Ngram::fit(ORDER, texts(Split::Train).texts())?;
        let bits = |split| -> Result<Option<f64>> {
            let documents: Vec<Vec<u8>> = texts(split).texts().collect();
            if documents.iter().all(Vec::is_empty) { Ok(None) } else { model.bits_per_byte(&documents).map(Some) }
        };
        Ok(Self(vec![Baseline {
            name: format!("order-{ORDER} bytes"),
            order: ORDER,
            validation_bits_per_byte: bits(Split::Validation)?,
            test_bits_per_byte: bits(Split::Test)?,
        }]))
    }
}

/// The report as the folder stands.
pub(super) fn assemble(lineup: &Lineup, baselines: &Baselines) -> Result<Comparison> {
    let finalists = lineup.finalists()?;
    let timing = lineup.timing()?;
    let mut finished = timing.is_some() || lineup.timed()?.is_empty();
    let mut models = Vec::new();
    let mut orders = Orders::default();
    for (index, contender) in lineup.contenders.iter().enumerate() {
        let clock = Clock::of(timing.as_ref(), &contender.name);
        let failure = lineup.failure(index, &finalists)?;
        let mut runs = Vec::new();
        for seed in lineup.seeds(index, &finalists) {
            let Some(task) = lineup.full_task(index, seed)? else {
                // Without a learning rate there are no runs.
                finished &= failure.is_some();
                continue;
            };
            let (lines, done) = (task.metrics()?, task.done()?);
            let mut run = run_result(lineup, index, &task, &lines, clock)?;
            run.failure = done.as_ref().and_then(Done::failure);
            if run.failure.is_none() {
                orders.add(seed, &contender.name, &lines);
            }
            finished &= run.failure.is_some() || (done.is_some() && run.test.is_some());
            runs.push(Ran { task, lines, done, result: run });
        }
        models.push(model_result(lineup, contender, (runs, failure), &baselines.0, clock)?);
    }
    rank(&mut models);
    Ok(Comparison {
        format: FORMAT,
        name: lineup.spec.name.clone(),
        state: if finished { State::Finished } else { State::Unfinished },
        corpus: corpus(&lineup.dataset),
        protocol: lineup.protocol.clone(),
        budget: lineup.budget,
        fairness: fairness(lineup, orders.compare()),
        environment: described(&lineup.environment),
        timing,
        baselines: baselines.0.clone(),
        readings: readings(&models),
        models,
        prompt: lineup.contenders.first().map(|first| first.config.sample.prompt.clone()).unwrap_or_default(),
    })
}

/// A run with what its folder holds.
struct Ran {
    task: Task,
    lines: Vec<Metrics>,
    done: Option<Done>,
    result: RunResult,
}

fn run_result(lineup: &Lineup, index: usize, task: &Task, lines: &[Metrics], clock: Clock) -> Result<RunResult> {
    let curve = curve(lines, lineup.contenders[index].plan.training_flops_per_token, clock);
    let folder = task.folder.strip_prefix(&lineup.folder).map_or_else(|_| task.folder.clone(), PathBuf::from);
    Ok(RunResult {
        folder,
        fingerprint: task.fingerprint.clone(),
        seed: task.config.train.seed,
        learning_rate: task.config.train.learning_rate,
        sweep: lineup.sweep_points(index, clock)?,
        steps: lines.iter().map(Metrics::step).max().unwrap_or(0),
        best: best(&curve),
        curve,
        test: test_result(lineup, task)?,
        failure: None,
    })
}

fn model_result(
    lineup: &Lineup,
    contender: &Contender,
    (runs, failure): (Vec<Ran>, Option<Failure>),
    baselines: &[Baseline],
    clock: Clock,
) -> Result<ModelResult> {
    let finished: Vec<&Ran> = runs.iter().filter(|run| run.done.is_some() && run.result.failure.is_none()).collect();
    let tests: Vec<f64> = finished.iter().filter_map(|run| Some(run.result.test.as_ref()?.value())).collect();
    let best = |run: &&Ran| run.result.best.map(|best| best.bits_per_byte.unwrap_or(best.loss));
    let validations: Vec<f64> = finished.iter().filter_map(best).collect();
    let (test, validation) = match failure {
        None => (Spread::of(&tests), Spread::of(&validations)),
        Some(_) => (None, None),
    };
    let sample = finished.first().map(|run| sample(&run.task, run.result.steps)).transpose()?.flatten();
    Ok(ModelResult {
        name: contender.name.clone(),
        layers: contender.config.model.layers.clone(),
        rank: None,
        ties: Vec::new(),
        under_trained: under_trained(test, validation, baselines.first()),
        cost: cost(lineup, contender)?,
        usage: usage(&finished, contender, clock),
        test,
        validation,
        sample,
        config: portable(&contender.config).to_toml()?,
        failure,
        runs: runs.into_iter().map(|run| run.result).collect(),
    })
}

/// Whether a model fails to beat the order-2 model; where the test text is not scored yet, on the validation text.
fn under_trained(test: Option<Spread>, validation: Option<Spread>, baseline: Option<&Baseline>) -> Option<bool> {
    let baseline = baseline?;
    match (test, validation) {
        (Some(test), _) => Some(test.mean >= baseline.test_bits_per_byte?),
        (None, Some(validation)) => Some(validation.mean >= baseline.validation_bits_per_byte?),
        (None, None) => None,
    }
}

fn cost(lineup: &Lineup, contender: &Contender) -> Result<Cost> {
    let (model, plan) = (&contender.config.model, &contender.plan);
    let properties = Properties::of(model)?;
    Ok(Cost {
        parameters: plan.parameters,
        feed_forward_dim: model.hidden_dim(),
        flops_per_token: plan.flops_per_token,
        training_flops_per_token: plan.training_flops_per_token,
        score_entries: plan.score_entries,
        targets_per_window: plan.targets_per_window,
        reach: plan.reach,
        usable_context: plan.reach.unwrap_or(usize::MAX).min(lineup.protocol.window - 1),
        state_bytes: properties.state_bytes(model.context, NUMBER) as u64,
        state_bytes_1m: properties.state_bytes(LONG, NUMBER) as u64,
        peak_memory_bytes: plan.peak_memory_bytes,
    })
}

fn usage(finished: &[&Ran], contender: &Contender, clock: Clock) -> Option<Usage> {
    if finished.is_empty() {
        return None;
    }
    let mean = |of: &dyn Fn(&Ran, &Done) -> f64| {
        let values = finished.iter().filter_map(|run| Some(of(run, run.done.as_ref()?)));
        values.sum::<f64>() / finished.len() as f64
    };
    let targets = |lines: &[Metrics]| -> u64 {
        let last =
            lines.iter().rev().find_map(|line| if let Metrics::Train(last) = line { Some(last.targets) } else { None });
        last.unwrap_or(0)
    };
    let tokens = mean(&|_, done| done.tokens as f64);
    let trained = mean(&|run, _| targets(&run.lines) as f64);
    let seconds = mean(&|_, done| clock.seconds(done.step, done.seconds));
    Some(Usage {
        steps: mean(&|_, done| done.step as f64) as u64,
        tokens: tokens as u64,
        targets: trained as u64,
        flops: tokens * contender.plan.training_flops_per_token,
        seconds,
        tokens_per_second: tokens / seconds.max(f64::MIN_POSITIVE),
        targets_per_second: trained / seconds.max(f64::MIN_POSITIVE),
        measured_peak_memory_bytes: finished.iter().filter_map(|run| run.done.as_ref()?.peak_memory_bytes).max(),
    })
}

/// What a finished model writes after its prompt.
fn sample(task: &Task, step: u64) -> Result<Option<String>> {
    let path = RunFolder::new(&task.folder).samples_path().join(format!("step-{step:06}.txt"));
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).at("read", &path)?;
    Ok(Some(text.strip_prefix(&task.config.sample.prompt).unwrap_or(&text).to_owned()))
}

/// A configuration for readers elsewhere: with names in place of the folders of this machine.
fn portable(config: &RunConfig) -> RunConfig {
    let mut config = config.clone();
    let data = &mut config.data;
    for source in [&mut data.sources, &mut data.validation, &mut data.test].into_iter().flatten() {
        source.path = source_name(source);
    }
    if let Some(name) = Path::new(&data.tokenizer).file_name() {
        data.tokenizer = name.to_string_lossy().into_owned();
    }
    data.cache = None;
    config
}

fn fairness(lineup: &Lineup, data_order: Vec<DataOrder>) -> Fairness {
    let (spec, tokenizer) = (&lineup.spec, lineup.dataset.tokenizer());
    let first = lineup.contenders.first();
    Fairness {
        tokenizer: tokenizer.describe(),
        tokenizer_hash: tokenizer.fingerprint().to_owned(),
        seeds: spec.all_seeds(),
        context: lineup.protocol.window,
        tokens_per_step: first.map_or(0, |first| first.plan.tokens_per_step),
        data_order,
        parameters: match spec.parameters {
            Parameters::Match => Matching::Matched {
                target: spec.parameter_target.or(first.map(|first| first.plan.parameters)).unwrap_or(0),
                tolerance: TOLERANCE,
            },
            Parameters::AsGiven => Matching::AsGiven,
        },
        learning_rate: match &spec.sweep {
            Some(sweep) => LearningRate::Sweep { factors: sweep.factors(), fraction: sweep.fraction },
            None => LearningRate::AsGiven,
        },
        schedule: first.map(|first| schedule(&first.config.train)).unwrap_or_default(),
        selection:
            "the checkpoint with the lowest validation loss of each run; the test text is scored once, at the end"
                .to_owned(),
    }
}

fn schedule(train: &TrainConfig) -> String {
    let name = serde_json::to_value(train.schedule).ok();
    let name = name.as_ref().and_then(|name| name.as_str()).unwrap_or_default();
    let then = match train.schedule {
        Decay::Wsd => format!("the same until it decays over the last {:.0} % of the steps", 100.0 * train.cooldown),
        _ => "decay".to_owned(),
    };
    format!("warm-up over {} steps (a tenth of the run at most), then {then} ({name})", train.warmup)
}

/// Hashes of the text consumed, by seed, step and model.
#[derive(Default)]
struct Orders(BTreeMap<u64, BTreeMap<String, BTreeMap<u64, String>>>);

impl Orders {
    fn add(&mut self, seed: u64, model: &str, lines: &[Metrics]) {
        let hashes = lines.iter().filter_map(|line| match line {
            Metrics::Train(metrics) => Some((metrics.step, metrics.order_hash.clone())),
            Metrics::Validation(_) => None,
        });
        let hashes: BTreeMap<u64, String> = hashes.collect();
        if !hashes.is_empty() {
            self.0.entry(seed).or_default().insert(model.to_owned(), hashes);
        }
    }

    /// For each seed the last step that all of its runs logged, and whether all hashes are equal up to there.
    fn compare(&self) -> Vec<DataOrder> {
        let of_seed = |(seed, models): (&u64, &BTreeMap<String, BTreeMap<u64, String>>)| {
            let mut runs = models.values();
            let first = runs.next()?;
            let common: BTreeSet<u64> =
                first.keys().copied().filter(|step| models.values().all(|run| run.contains_key(step))).collect();
            let equal = common.iter().all(|step| models.values().all(|run| run.get(step) == first.get(step)));
            let step = common.last().copied()?;
            Some(DataOrder { seed: *seed, step, hash: first.get(&step)?.clone(), equal })
        };
        self.0.iter().filter_map(of_seed).collect()
    }
}

#[cfg(test)]
mod tests {
    use percept_data::SourceConfig;
    use percept_train::StepMetrics;

    use super::*;

    fn lines(hashes: &[(u64, &str)]) -> Vec<Metrics> {
        let line = |&(step, hash): &(u64, &str)| {
            Metrics::Train(StepMetrics {
                step,
                tokens: 0,
                targets: 0,
                loss: 0.0,
                bits_per_byte: None,
                learning_rate: 0.0,
                gradient_norm: 0.0,
                tokens_per_second: 0.0,
                seconds: 0.0,
                order_hash: hash.into(),
            })
        };
        hashes.iter().map(line).collect()
    }

    #[test]
    fn orders_are_compared_at_every_step_that_all_runs_have() {
        let mut orders = Orders::default();
        orders.add(1, "a", &lines(&[(2, "x"), (4, "y"), (6, "z")]));
        orders.add(1, "b", &lines(&[(2, "x"), (4, "y")]));
        orders.add(2, "a", &lines(&[(2, "x"), (4, "y")]));
        orders.add(2, "b", &lines(&[(2, "other"), (4, "y")]));
        orders.add(3, "a", &lines(&[]));
        let order = |seed, equal| DataOrder { seed, step: 4, hash: "y".into(), equal };
        assert_eq!(orders.compare(), [order(1, true), order(2, false)]);
    }

    #[test]
    fn a_report_does_not_tell_the_folders_of_the_machine() {
        let mut config = RunConfig::default();
        config.data.sources = vec![SourceConfig::new("/home/me/books"), SourceConfig::new("-")];
        config.data.validation = vec![SourceConfig { name: Some("news".into()), ..SourceConfig::new("/home/me/x") }];
        (config.data.tokenizer, config.data.cache) = ("/home/me/bpe.json".into(), Some("/home/me/cache".into()));
        let text = portable(&config).to_toml().unwrap();
        assert!(!text.contains("/home"), "{text}");
        assert!(["\"books\"", "\"-\"", "bpe.json", "news"].iter().all(|part| text.contains(part)), "{text}");
    }

    #[test]
    fn a_model_that_does_not_beat_the_order_2_model_is_under_trained() {
        let baseline = Baseline {
            name: "order-2 bytes".into(),
            order: 2,
            validation_bits_per_byte: Some(3.0),
            test_bits_per_byte: Some(2.9),
        };
        let spread = |value| Spread::of(&[value]);
        assert_eq!(under_trained(spread(2.9), spread(1.0), Some(&baseline)), Some(true));
        assert_eq!(under_trained(spread(2.8), spread(9.0), Some(&baseline)), Some(false));
        assert_eq!(under_trained(None, spread(3.1), Some(&baseline)), Some(true));
        assert_eq!(under_trained(None, None, Some(&baseline)), None);
        assert_eq!(under_trained(spread(2.8), None, None), None);
    }
}
