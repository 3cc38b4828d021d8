//! The suites that `percept eval` runs, and their sizes.

use clap::Args;
use percept::data::Task;
use percept::score::suites::{self, Findings, Options, PositionTally, Subject, Suite, SuiteResult};
use percept::score::{CorpusTexts, Limits, ModelScorer, Protocol, Score, Texts};
use percept::train::LoadedRun;
use percept::{Fault, Result};
use serde::Serialize;

use crate::arguments::config::DataArgs;
use crate::human;
use crate::meter::Meter;
use crate::terminal::Terminal;

/// The name that stands for every suite.
const ALL: &str = "all";

/// What the suites found, and which found nothing.
#[derive(Debug, Default)]
pub(super) struct Suites {
    pub(super) results: Vec<SuiteResult>,
    pub(super) left_out: Vec<LeftOut>,
}

/// A suite of `all` that can't be run on this text or with this tokenizer.
#[derive(Debug, Serialize)]
pub(super) struct LeftOut {
    suite: &'static str,
    reason: String,
}

impl LeftOut {
    fn new(suite: Suite, fault: &Fault) -> Self {
        Self { suite: suite.name(), reason: fault.to_string() }
    }
}

/// Which suites, and how large.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Suites")]
pub(crate) struct SuiteArgs {
    /// What the model does with its context: position, context, recall, copy, needle, or all; separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    suite: Vec<String>,
    /// Targets of context, documents per size of recall and copy, needles per cell
    #[arg(long, value_name = "N", requires = "suite")]
    suite_samples: Option<usize>,
    /// The longest context that suites ask about; by default that of the model's training
    #[arg(long, value_name = "TOKENS", requires = "suite")]
    suite_length: Option<usize>,
    /// Seed of what suites draw
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl SuiteArgs {
    /// Whether any was named.
    pub(super) fn is_given(&self) -> bool {
        !self.suite.is_empty()
    }

    /// The suites that were named, each once, in their own order. Of `all`, those that need a text are left out where there is none.
    pub(super) fn wanted(&self, data: &DataArgs, terminal: &Terminal, found: &mut Suites) -> Result<Vec<Suite>> {
        let has_text = data.is_given();
        if self.is_all() {
            let (wanted, lacking): (Vec<_>, Vec<_>) =
                Suite::ALL.into_iter().partition(|suite| has_text || !suite.needs_text());
            if !lacking.is_empty() {
                terminal.say("without --data, the suites position and context are left out");
            }
            found.left_out.extend(lacking.into_iter().map(|suite| LeftOut::new(suite, &suites::needs_text(suite))));
            return Ok(wanted);
        }
        let named = self.suite.iter().map(|name| name.parse()).collect::<Result<Vec<Suite>>>()?;
        match named.iter().find(|suite| suite.needs_text() && !has_text) {
            Some(suite) => Err(suites::needs_text(*suite)),
            None => Ok(Suite::ALL.into_iter().filter(|suite| named.contains(suite)).collect()),
        }
    }

    fn is_all(&self) -> bool {
        self.suite.iter().any(|name| name == ALL)
    }

    /// Keeps what a suite found. Of `all`, one that this text or tokenizer does not suit is left out, and said to be; one that was named
    /// is a fault.
    pub(super) fn keep(
        &self,
        suite: Suite,
        outcome: Result<SuiteResult>,
        terminal: &Terminal,
        found: &mut Suites,
    ) -> Result<()> {
        match outcome {
            Ok(result) => found.results.push(result),
            Err(fault) if self.is_all() && fault.is_usage() => {
                terminal.warn(format!("the suite {} is left out: {fault}", suite.name()));
                found.left_out.push(LeftOut::new(suite, &fault));
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    /// The suite `position`, of a text that was scored anyway.
    pub(super) fn position(&self, score: &Score, tally: &PositionTally) -> Result<SuiteResult> {
        tally.require_places()?;
        Ok(SuiteResult {
            model: score.model.clone(),
            protocol: score.protocol.clone(),
            seed: self.seed,
            seconds: score.seconds,
            findings: Findings::Position(tally.position(score)),
        })
    }

    /// Runs a suite.
    pub(super) fn run(
        &self,
        suite: Suite,
        run: &LoadedRun,
        scorer: &ModelScorer,
        texts: Option<&CorpusTexts<'_>>,
        terminal: Terminal,
    ) -> Result<SuiteResult> {
        let model = &run.config.model;
        let subject = Subject {
            scorer,
            tokenizer: &run.tokenizer,
            texts: texts.map(|texts| texts as &dyn Texts),
            protocol: Protocol::suited_to(model)?,
            limits: Limits::default(),
        };
        let options = Options {
            seed: self.seed,
            samples: self.suite_samples,
            length: self.suite_length.unwrap_or(model.context),
            trained_on: run.config.data.sources.iter().filter_map(|source| Task::of_source(&source.path)).collect(),
        };
        let mut meter = None;
        suites::run(suite, &subject, &options, &mut |progress| {
            let meter = meter.get_or_insert_with(|| Meter::new(terminal, suite.name(), progress.total));
            meter.set(progress.done, || format!("{} tokens", human::grouped(progress.done)));
        })
    }
}
