//! What to tune, and how: a file, which flags change.

use std::path::Path;

use percept_fault::{Fault, Result};
use percept_train::{DEFAULT_PRESET, Document, NO_PRESET, Override, RunConfig, preset};
use percept_tune::{Halving, Method, Space};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keys::check_axes;
use crate::Budget;

/// The algorithm that tries every configuration of the space.
const GRID: &str = "grid";
/// Runs of a grid at most.
const MOST_RUNS: usize = 100_000;

/// What to tune, and how.
///
/// ```
/// use percept_compare::tuning::{Strategy, TuneSpec};
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("llp.toml");
/// std::fs::write(&path, r#"
/// preset = "llp-tiny"
/// budget = "1M tokens"
/// trials = 30
/// algorithm = "reinforce"
/// base.data.sources = ["books"]
///
/// [space]
/// model.depth = { integers = [2, 6], step = 2 }
/// train.learning_rate = { log = [1e-4, 1e-2], points = 5 }
/// "#).unwrap();
/// let spec = TuneSpec::read(&path)?;
/// spec.validate()?;
/// assert_eq!((spec.name.as_str(), spec.space.size(), spec.trials), ("llp", 15, 30));
/// assert!(matches!(&spec.strategy, Strategy::Search(method) if method.name() == "reinforce"));
///
/// // A mistake is named with its line.
/// std::fs::write(&path, "preset = \"llp-tiny\"\ntrails = 30\n").unwrap();
/// let fault = TuneSpec::read(&path).unwrap_err();
/// assert!(fault.to_string().contains("llp.toml:2"), "{fault}");
/// assert_eq!(fault.hint_text(), Some("did you mean `trials`?"));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone)]
pub struct TuneSpec {
    /// What it is called.
    pub name: String,
    /// The preset that the search starts from.
    pub preset: String,
    /// What a whole trial may use.
    pub budget: Option<Budget>,
    /// Trials in all, those of every rung counted.
    pub trials: u64,
    /// What is minimised.
    pub metric: Metric,
    /// How configurations are chosen.
    pub strategy: Strategy,
    /// Seed of the search.
    pub seed: u64,
    /// Seeds of training; a trial has one of them, a configuration of a grid all of them.
    pub seeds: Vec<u64>,
    /// Successive halving.
    pub halving: Halving,
    /// The feed-forward width of every trial is adjusted until the count is within 2 % of this.
    pub parameters: Option<u64>,
    /// Changes of every trial's configuration, in order of rising precedence.
    pub base: Vec<Override>,
    /// What is searched.
    pub space: Space,
}

/// What is minimised: a figure of the validation text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Bits per byte of text.
    #[default]
    BitsPerByte,
    /// Nats per target, which a tokenizer that loses text has, too.
    Loss,
}

impl Metric {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::BitsPerByte => "bits per byte",
            Self::Loss => "nats per target",
        }
    }
}

/// How configurations are chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// One after another, by what came of those before.
    Search(Method),
    /// All of them, with every seed: what a table is made of.
    Grid,
}

impl Strategy {
    /// The strategy of this name: an algorithm with its default settings, or `grid`.
    ///
    /// # Errors
    /// Usage: there is none.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            GRID => Ok(Self::Grid),
            name => Method::named(name).map(Self::Search),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Search(method) => method.name(),
            Self::Grid => GRID,
        }
    }
}

/// The keys of a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TuneFile {
    /// What it is called; by default the file's name.
    name: Option<String>,
    /// The preset that the search starts from.
    preset: String,
    /// What a whole trial may use: 6M tokens, 6M targets, 1e15 flops.
    budget: Option<String>,
    /// Trials in all, those of every rung counted.
    trials: u64,
    /// bits-per-byte or loss, of the validation text.
    metric: Metric,
    /// By name, or with settings: { name = "tpe", startup = 20 }.
    #[schemars(with = "Option<Named>")]
    algorithm: Option<toml::Value>,
    /// Seed of the search.
    seed: u64,
    /// Seeds of training.
    seeds: Vec<u64>,
    /// Successive halving.
    halving: Halving,
    /// Parameters of every trial, matched by the feed-forward width.
    parameters: Option<u64>,
    /// Keys of a run's configuration that hold for every trial.
    #[schemars(with = "RunConfig")]
    base: toml::Table,
    /// Keys of a run's configuration, each with its values.
    #[schemars(with = "RunConfig")]
    space: toml::Table,
}

/// An algorithm as a file may write it; for its schema alone.
#[derive(JsonSchema)]
#[serde(untagged)]
enum Named {
    #[expect(dead_code, reason = "only its schema is used")]
    Name(String),
    #[expect(dead_code, reason = "only its schema is used")]
    Settings(Method),
}

impl Default for TuneFile {
    fn default() -> Self {
        Self {
            name: None,
            preset: DEFAULT_PRESET.to_owned(),
            budget: None,
            trials: 50,
            metric: Metric::default(),
            algorithm: None,
            seed: 1,
            seeds: vec![1],
            halving: Halving::default(),
            parameters: None,
            base: toml::Table::new(),
            space: toml::Table::new(),
        }
    }
}

impl TuneSpec {
    /// Reads a file.
    ///
    /// # Errors
    /// Environment: it cannot be read. Usage: a key or value is wrong; the message names the line.
    pub fn read(path: &Path) -> Result<Self> {
        let document = Document::<TuneFile>::read(path).map_err(|fault| match fault.hint_text() {
            Some(hint) if hint.starts_with("did you mean") => fault,
            _ if fault.is_environment() => fault,
            _ => fault.hint("docs/tuning.md lists the keys of such a file"),
        })?;
        let file = &document.value;
        let place = |key: &str| match document.place(key) {
            place if place.is_empty() => format!("{}: ", path.display()),
            place => place,
        };
        if file.preset != NO_PRESET {
            preset(&file.preset).map_err(|fault| fault.at(&place("preset")))?;
        }
        let budget = file.budget.as_deref().map(str::parse).transpose();
        let space = Space::of_table(&file.space, &place)?;
        check_axes(&space, &place)?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Ok(Self {
            name: file.name.clone().or(stem).unwrap_or_else(|| "search".to_owned()),
            preset: file.preset.clone(),
            budget: budget.map_err(|fault: Fault| fault.at(&place("budget")))?,
            trials: file.trials,
            metric: file.metric,
            strategy: strategy(file.algorithm.as_ref()).map_err(|fault| fault.at(&place("algorithm")))?,
            seed: file.seed,
            seeds: file.seeds.clone(),
            halving: file.halving,
            parameters: file.parameters,
            base: document.overrides("base", &file.base)?,
            space,
        })
    }

    /// What a whole trial may use.
    ///
    /// # Errors
    /// A usage fault where there is none, or it is a time.
    pub fn budget(&self) -> Result<Budget> {
        let hint = "--budget \"6M tokens\", \"6M targets\", or \"1e15 flops\": what one whole trial may use";
        match self.budget {
            None => Err(Fault::usage("no budget given").hint(hint)),
            Some(Budget { kind: crate::Axis::Seconds, .. }) => Err(Fault::usage(
                "a budget of time depends on what else the machine does, and a search that goes on must find the same",
            )
            .hint(hint)),
            Some(budget) => Ok(budget),
        }
    }

    /// Runs of a grid.
    pub(super) fn grid_runs(&self) -> usize {
        self.space.size().saturating_mul(self.seeds.len())
    }

    /// Checks what can be checked without the text.
    ///
    /// # Errors
    /// A usage fault that says what is wrong.
    pub fn validate(&self) -> Result<()> {
        self.budget()?;
        self.halving.check()?;
        let repeated = self.seeds.iter().enumerate().any(|(index, seed)| self.seeds[..index].contains(seed));
        if self.seeds.is_empty() || repeated {
            return Err(Fault::usage("seeds must be different, and at least one").hint("for example seeds = [1, 2, 3]"));
        }
        match &self.strategy {
            Strategy::Search(_) if self.trials == 0 => Err(Fault::usage("a search without trials").hint("--trials 50")),
            Strategy::Search(_) if self.trials > MOST_RUNS as u64 => {
                Err(Fault::usage(format!("{} trials are more than {MOST_RUNS}", self.trials)).hint("--trials 50"))
            }
            Strategy::Grid if self.grid_runs() > MOST_RUNS => Err(Fault::usage(format!(
                "a grid of {} configurations with {} seeds is more than {MOST_RUNS} runs",
                self.space.size(),
                self.seeds.len()
            ))
            .hint("give the keys fewer values, or take a search")),
            _ => Ok(()),
        }
    }
}

/// The algorithm as it is written; REINFORCE where none is.
fn strategy(written: Option<&toml::Value>) -> Result<Strategy> {
    match written {
        None => Strategy::named("reinforce"),
        Some(toml::Value::String(name)) => Strategy::named(name),
        Some(value) => {
            let name = value.get("name").and_then(toml::Value::as_str);
            let name = name.ok_or_else(|| {
                Fault::usage("an algorithm with settings has a name")
                    .hint("for example { name = \"tpe\", startup = 20 }")
            })?;
            Strategy::named(name)?;
            value.clone().try_into().map(Strategy::Search).map_err(|error| {
                Fault::usage(format!("`algorithm`: {}", error.message().lines().next().unwrap_or_default()))
                    .hint(format!("docs/tuning.md lists the settings of {name}"))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use percept_tune::TpeSettings;

    use super::*;

    const SPACE: &str = "[space]\ntrain.learning_rate = [1e-3, 1e-2]\n";

    /// A file without a space of its own gets one of learning rates.
    fn read(text: &str) -> Result<TuneSpec> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rates.toml");
        let space = if text.contains("space.") { "" } else { SPACE };
        std::fs::write(&path, format!("{text}{space}")).unwrap();
        TuneSpec::read(&path)
    }

    #[test]
    fn a_file_says_everything() {
        let spec = read(
            "preset = \"llp-tiny\"\nbudget = \"6M targets\"\ntrials = 7\nmetric = \"loss\"\nseed = 4\nseeds = [5, 6]\n\
             halving = { rungs = 3 }\nparameters = 9\nalgorithm = { name = \"tpe\", startup = 2 }\nbase.model.dim = 64\n",
        )
        .unwrap();
        spec.validate().unwrap();
        assert_eq!((spec.name.as_str(), spec.preset.as_str(), spec.trials), ("rates", "llp-tiny", 7));
        assert_eq!((spec.seed, spec.seeds.as_slice(), spec.metric), (4, &[5, 6][..], Metric::Loss));
        assert_eq!((spec.halving, spec.parameters), (Halving { rungs: 3, factor: 3 }, Some(9)));
        assert_eq!(spec.strategy, Strategy::Search(Method::Tpe(TpeSettings { startup: 2, ..Default::default() })));
        assert_eq!((spec.base[0].key(), spec.space.size()), ("model.dim", 2));
        assert_eq!(read("algorithm = \"grid\"\n").unwrap().strategy, Strategy::Grid);
        assert_eq!(read("").unwrap().strategy.name(), "reinforce");
    }

    #[test]
    fn mistakes_name_their_line() {
        let says = |text: &str, what: &str, hint: &str| {
            let fault = read(text).unwrap_err();
            assert!(fault.is_usage() && fault.to_string().contains(&format!("rates.toml:{what}")), "{fault}");
            assert!(fault.hint_text().unwrap().contains(hint), "{fault:?}");
        };
        says("\nbugdet = \"1M tokens\"\n", "2: unknown key `bugdet`", "`budget`");
        says("budget = \"6M\"\n", "1: budget `6M`", "6M tokens");
        says("metric = \"speed\"\n", "1: `metric`: unknown variant", "docs/tuning.md");
        says("algorithm = \"tpa\"\n", "1: there is no algorithm `tpa`", "`tpe`");
        says("algorithm = { startup = 3 }\n", "1: an algorithm with settings has a name", "name = ");
        says("algorithm = { name = \"tpe\", startap = 3 }\n", "1: unknown key `algorithm.startap`", "startup");
        says("algorithm = { name = \"tpe\", population = 3 }\n", "1: `algorithm`: unknown field", "docs/tuning.md");
        says("base.model.dims = 3\n", "1: unknown key `base.model.dims`", "base.model.dim");
        says("space.data.packing = [\"concatenate\"]\n", "1: `data.packing` cannot be searched", "[base]");
        says("space.train.validation_targets = [1, 2]\n", "1: `train.validation_targets` cannot", "[base]");
        says("space.train.steps = [1, 2]\n", "1: `train.steps` cannot be searched", "say it as the budget");
        says("halving = { rung = 3 }\n", "1: unknown key `halving.rung`", "halving.rungs");
    }

    #[test]
    fn what_cannot_be_tuned_is_refused() {
        let refused = |text: &str| read(text).unwrap().validate().unwrap_err().to_string();
        assert!(refused("").contains("no budget"));
        assert!(refused("budget = \"20m\"\n").contains("a budget of time"));
        assert!(refused("budget = \"1M tokens\"\ntrials = 0\n").contains("without trials"));
        let many = format!("budget = \"1M tokens\"\ntrials = {}\n", MOST_RUNS + 1);
        assert!(refused(&many).contains("trials are more than"));
        assert!(refused("budget = \"1M tokens\"\nseeds = []\n").contains("seeds must be different"));
        assert!(refused("budget = \"1M tokens\"\nseeds = [1, 1]\n").contains("seeds must be different"));
        assert!(refused("budget = \"1M tokens\"\nhalving = { rungs = 9 }\n").contains("9 rungs"));
        let many = "budget = \"1M tokens\"\nalgorithm = \"grid\"\n[space.model]\ndim = { integers = [1, 1000] }\n\
                    depth = { integers = [1, 1000] }\n";
        assert!(refused(many).contains("1000000 configurations with 1 seeds is more than 100000 runs"));
    }
}
