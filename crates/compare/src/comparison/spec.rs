//! What to compare, and how: a file, or what flags say.

use std::path::Path;

use percept_fault::{Fault, Result};
use percept_train::{Document, Override, RunConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::questions::Questions;
use super::result::Budget;
use super::sweep::Sweep;

/// What to compare, and how.
///
/// ```
/// use percept_compare::Spec;
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("books.toml");
/// std::fs::write(&path, r#"
/// models = ["llp", "transformer"]
/// budget = "20m"
/// seeds = [1, 2]
/// base.data.sources = ["books"]
///
/// [[model]]
/// name = "mix"
/// preset = "llp*5, transformer"
/// set.model.segment = 64
/// "#).unwrap();
/// let spec = Spec::read(&path)?;
/// spec.validate()?;
/// assert_eq!((spec.name.as_str(), spec.models.len(), spec.models[2].what.as_str()), ("books", 3, "llp*5, transformer"));
///
/// // A mistake is named with its line.
/// std::fs::write(&path, "models = [\"llp\"]\nbugdet = \"20m\"\n").unwrap();
/// let fault = Spec::read(&path).unwrap_err();
/// assert!(fault.to_string().contains("books.toml:2"), "{fault}");
/// assert_eq!(fault.hint_text(), Some("did you mean `budget`?"));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone)]
pub struct Spec {
    /// What the comparison is called.
    pub name: String,
    /// The models, the first of which is the one that others are matched to.
    pub models: Vec<ModelSpec>,
    /// Size of the presets of models that are named by their mixer: `tiny`, `small` or `base`.
    pub size: String,
    /// Changes of every model's configuration, in order of rising precedence.
    pub base: Vec<Override>,
    /// What every run may use.
    pub budget: Option<Budget>,
    /// Seeds of every model.
    pub seeds: Vec<u64>,
    /// The best models on the validation text get more seeds.
    pub finalists: Option<Finalists>,
    /// Whether parameters are matched.
    pub parameters: Parameters,
    /// Parameters to match; by default those of the first model.
    pub parameter_target: Option<u64>,
    /// Whose optimizer settings the models have; by default those of the first, in a suite their own.
    pub optimizer: Option<Optimizer>,
    /// Whether learning rates are searched.
    pub sweep: Option<Sweep>,
    /// Points of a curve, about.
    pub points: u64,
    /// Targets that a window of the protocol scores; by default as many as every model can, half a window at most.
    pub stride: Option<usize>,
    /// At most so many targets of the test text are scored; by default all.
    pub test_limit: Option<usize>,
    /// What a suite asks; a comparison has none.
    pub suite: Option<Questions>,
}

/// One model of a [`Spec`].
#[derive(Debug, Clone)]
pub struct ModelSpec {
    /// Its name in every table.
    pub name: String,
    /// A preset, a mixer, `hybrid`, or a mixer schedule.
    pub what: String,
    /// Changes of its configuration.
    pub set: Vec<Override>,
    /// Where it was named, as messages begin.
    pub place: String,
}

impl ModelSpec {
    /// The model of this name with nothing changed.
    pub fn named(name: &str, place: impl Into<String>) -> Self {
        Self { name: name.to_owned(), what: name.to_owned(), set: Vec::new(), place: place.into() }
    }
}

/// The model of this name with nothing changed, named in a program.
impl From<&str> for ModelSpec {
    fn from(name: &str) -> Self {
        Self::named(name, "")
    }
}

/// More seeds for the best models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finalists {
    /// How many of the best models, by validation loss of the first seed.
    pub models: usize,
    /// Their further seeds.
    pub seeds: Vec<u64>,
}

/// Whether parameters are matched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Parameters {
    /// The feed-forward width is adjusted until the count is within 2 % of the target.
    #[default]
    Match,
    /// Configurations as given.
    AsGiven,
}

/// Whose learning rate, moments, weight decay and clipping a model is trained with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Those of the first model, the same for all.
    #[default]
    First,
    /// Those of its own preset, where nothing else is set for every model.
    Own,
}

/// The keys of a file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct SpecFile {
    /// What the comparison is called; by default the file's name.
    name: Option<String>,
    /// Models by name: presets, mixers, `hybrid`, or mixer schedules.
    models: Vec<String>,
    /// Models with changes of their own.
    model: Vec<ModelTable>,
    /// Size of the presets of models that are named by their mixer: tiny, small or base.
    size: String,
    /// Keys of a run's configuration that hold for every model.
    #[schemars(with = "RunConfig")]
    base: toml::Table,
    /// What every run may use: 20m, 6M tokens, 6M targets, 1e15 flops.
    budget: Option<String>,
    /// Seeds of every model.
    seeds: Vec<u64>,
    /// More seeds for the best models.
    finalists: Option<Finalists>,
    /// match or as-given.
    parameters: Parameters,
    /// Parameters to match; by default those of the first model.
    parameter_target: Option<u64>,
    /// first or own.
    optimizer: Option<Optimizer>,
    /// A search of the learning rate.
    sweep: Option<Sweep>,
    /// Points of a curve, about.
    points: u64,
    /// Targets that a window of the protocol scores.
    stride: Option<usize>,
    /// At most so many targets of the test text are scored.
    test_limit: Option<usize>,
    /// What `percept suite` asks.
    suite: Option<Questions>,
}

/// One `[[model]]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ModelTable {
    /// Its name in every table.
    name: String,
    /// A preset, a mixer, `hybrid`, or a mixer schedule; by default the name.
    preset: Option<String>,
    /// Keys of its configuration: of [model], train.learning_rate and train.recompute, with an optimizer of its own all of that.
    #[serde(default)]
    #[schemars(with = "RunConfig")]
    set: toml::Table,
}

impl Default for SpecFile {
    fn default() -> Self {
        Self {
            name: None,
            models: Vec::new(),
            model: Vec::new(),
            size: "tiny".to_owned(),
            base: toml::Table::new(),
            budget: None,
            seeds: vec![1],
            finalists: None,
            parameters: Parameters::Match,
            parameter_target: None,
            optimizer: None,
            sweep: None,
            points: 20,
            stride: None,
            test_limit: None,
            suite: None,
        }
    }
}

impl Default for Spec {
    fn default() -> Self {
        let SpecFile { size, seeds, parameters, points, .. } = SpecFile::default();
        Self {
            name: "comparison".to_owned(),
            models: Vec::new(),
            size,
            base: Vec::new(),
            budget: None,
            seeds,
            finalists: None,
            parameters,
            parameter_target: None,
            optimizer: None,
            sweep: None,
            points,
            stride: None,
            test_limit: None,
            suite: None,
        }
    }
}

impl Spec {
    /// Reads a file.
    ///
    /// # Errors
    /// Environment: it cannot be read. Usage: a key or value is wrong; the message names the line.
    pub fn read(path: &Path) -> Result<Self> {
        Self::of_document(Document::read(path), path)
    }

    /// Reads the text of a file; `path` is what messages call it.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self> {
        Self::of_document(Document::parse(text, path), path)
    }

    fn of_document(document: Result<Document<SpecFile>>, path: &Path) -> Result<Self> {
        let document = document.map_err(|fault| match fault.hint_text() {
            Some(hint) if hint.starts_with("did you mean") => fault,
            _ if fault.is_environment() => fault,
            _ => fault.hint("docs/comparison.md lists the keys of such a file"),
        })?;
        let file = &document.value;
        let budget = file.budget.as_deref().map(str::parse).transpose();
        let budget = budget.map_err(|fault: Fault| fault.at(&document.place("budget")))?;
        let mut models: Vec<ModelSpec> = (0..)
            .zip(&file.models)
            .map(|(index, name): (usize, _)| ModelSpec::named(name, document.place(&format!("models[{index}]"))))
            .collect();
        for (index, table) in file.model.iter().enumerate() {
            models.push(ModelSpec {
                name: table.name.clone(),
                what: table.preset.clone().unwrap_or_else(|| table.name.clone()),
                set: document.overrides(&format!("model[{index}].set"), &table.set)?,
                place: document.place(&format!("model[{index}].name")),
            });
        }
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Ok(Self {
            name: file.name.clone().or(stem).unwrap_or_else(|| "comparison".to_owned()),
            models,
            size: file.size.clone(),
            base: document.overrides("base", &file.base)?,
            budget,
            seeds: file.seeds.clone(),
            finalists: file.finalists.clone(),
            parameters: file.parameters,
            parameter_target: file.parameter_target,
            optimizer: file.optimizer,
            sweep: file.sweep.clone(),
            points: file.points,
            stride: file.stride,
            test_limit: file.test_limit,
            suite: file.suite.clone(),
        })
    }

    /// The budget.
    ///
    /// # Errors
    /// A usage fault where there is none.
    pub fn budget(&self) -> Result<Budget> {
        self.budget.ok_or_else(|| {
            Fault::usage("no budget given")
                .hint("--budget 20m, 6M tokens, 6M targets, or 1e15 flops: the same for every run")
        })
    }

    /// Every seed, those of the finalists last.
    pub fn all_seeds(&self) -> Vec<u64> {
        let mut seeds = self.seeds.clone();
        seeds.extend(self.finalists.iter().flat_map(|finalists| &finalists.seeds));
        seeds
    }

    /// Checks what can be checked without the models.
    ///
    /// # Errors
    /// A usage fault that says what is wrong.
    pub fn validate(&self) -> Result<()> {
        if self.suite.is_some() {
            return Err(Fault::usage("the table [suite] asks problems, which is no comparison on a text")
                .hint("`percept suite FILE` trains and asks the models"));
        }
        self.budget()?;
        if self.models.is_empty() {
            return Err(Fault::usage("no models to compare").hint("for example --models llp,perceiver-ar,transformer"));
        }
        for (index, model) in self.models.iter().enumerate() {
            if self.models[..index].iter().any(|other| other.name == model.name) {
                return Err(Fault::usage(format!("{}two models are called `{}`", model.place, model.name))
                    .hint("give each [[model]] a name of its own"));
            }
        }
        let seeds = self.all_seeds();
        let repeated = seeds.iter().enumerate().any(|(index, seed)| seeds[..index].contains(seed));
        if self.seeds.is_empty() || repeated {
            return Err(Fault::usage("seeds must be different, and at least one").hint("for example seeds = [1, 2, 3]"));
        }
        if let Some(sweep) = &self.sweep {
            sweep.validate()?;
        }
        if self.points == 0 || self.stride == Some(0) || self.test_limit == Some(0) {
            return Err(Fault::usage("points, stride and test_limit must be at least 1"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::result::Axis;
    use super::*;

    fn read(text: &str) -> Result<Spec> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("books.toml");
        std::fs::write(&path, text).unwrap();
        Spec::read(&path)
    }

    #[test]
    fn a_file_says_everything() {
        let spec = read(
            "models = [\"llp\"]\nbudget = \"6M targets\"\nsize = \"small\"\nseeds = [4]\nparameters = \"as-given\"\n\
             finalists = { models = 2, seeds = [5, 6] }\nsweep = { lr = 5 }\n[base]\nmodel.dim = 64\n\
             [[model]]\nname = \"mix\"\npreset = \"llp*2, transformer\"\nset = { model.segment = 32 }\n",
        )
        .unwrap();
        spec.validate().unwrap();
        assert_eq!((spec.name.as_str(), spec.all_seeds()), ("books", vec![4, 5, 6]));
        assert_eq!(spec.budget, Some(Budget { kind: Axis::Targets, amount: 6e6 }));
        assert_eq!((spec.base[0].key(), spec.models[1].set[0].key()), ("model.dim", "model.segment"));
        assert_eq!((spec.models[1].name.as_str(), spec.models[1].what.as_str()), ("mix", "llp*2, transformer"));
        assert!(spec.models[1].place.ends_with("books.toml:11: "), "{}", spec.models[1].place);
        assert_eq!((spec.sweep.unwrap().lr, spec.parameters), (5, Parameters::AsGiven));
    }

    #[test]
    fn mistakes_name_their_line() {
        let fault = |text: &str| read(text).unwrap_err();
        let unknown = fault("\nmodls = []\n");
        assert!(unknown.to_string().ends_with("books.toml:2: unknown key `modls`"), "{unknown}");
        assert_eq!(unknown.hint_text(), Some("did you mean `models`?"));
        let set = fault("[[model]]\nname = \"a\"\nset = { model.segmnt = 3 }\n");
        assert!(set.to_string().contains("books.toml:3: unknown key"), "{set}");
        let budget = fault("budget = \"6M\"\n");
        assert!(budget.to_string().contains("books.toml:1: budget `6M`"), "{budget}");
        let kind = fault("seeds = \"one\"\n");
        assert!(kind.to_string().contains("books.toml:1: `seeds`"), "{kind}");
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let refused = |text: &str| read(text).unwrap().validate().unwrap_err().to_string();
        assert!(refused("models = [\"llp\"]").contains("no budget"));
        assert!(refused("budget = \"1m\"").contains("no models"));
        assert!(refused("budget = \"1m\"\nmodels = [\"llp\", \"llp\"]").contains("books.toml:2: two models"));
        assert!(refused("budget = \"1m\"\nmodels = [\"llp\"]\nseeds = [1, 1]").contains("seeds"));
        assert!(refused("budget = \"1m\"\nmodels = [\"llp\"]\nsweep = { factor = 1.0 }").contains("sweep"));
    }
}
