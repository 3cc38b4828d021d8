//! A search that is ready to run: the text is read, and any point of the space can be made a run.

use std::path::{Path, PathBuf};

use percept_data::{Dataset, Split, Watch};
use percept_fault::{Fault, Result};
use percept_plan::{Plan, plan};
use percept_train::{Device, DeviceChoice, Environment, Memory, Override, RunConfig, RunFolder, Sources, resolve};

use super::TUNE;
use super::candidate::Candidate;
use super::keys::RESERVED;
use super::spec::{Metric, TuneSpec};
use crate::Budget;
use crate::comparison::contender::{DEFAULTS, check_base};
use crate::comparison::{Purpose, machine, matched, text};

/// What changes messages say where a value is that of a point.
const SEARCH: &str = "the search";

/// A search that is ready to run.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use percept_compare::Purpose;
/// use percept_compare::tuning::{TuneEnded, TuneSpec, Tuning, tune_words};
/// # let folder = tempfile::tempdir().unwrap();
/// # let text: String = (0..400).map(|line| format!("{line} sheep and {} more\n", line * line)).collect();
/// # std::fs::write(folder.path().join("text.txt"), text).unwrap();
/// let path = folder.path().join("rates.toml");
/// std::fs::write(&path, r#"
/// preset = "llp-tiny"
/// budget = "500 tokens"
/// trials = 3
/// algorithm = "tpe"
/// base.model = { dim = 16, depth = 1, heads = 2, context = 32, segment = 8 }
/// base.train = { batch = 2, device = "cpu", validation_targets = 64 }
/// [space]
/// train.learning_rate = [1e-4, 1e-2]
/// "#).unwrap();
/// let mut spec = TuneSpec::read(&path)?;
/// # let text = vec![folder.path().join("text.txt").display().to_string()];
/// # spec.base.push(percept_train::Override::flag("--data", "data.sources", text));
/// # let cache = folder.path().join("cache").display().to_string();
/// # spec.base.push(percept_train::Override::flag("--cache", "data.cache", cache));
/// let tuning = Tuning::new(spec, &folder.path().join("out"), Purpose::Run, &mut |_| {})?;
/// let TuneEnded::Finished(report) = tuning.run(&AtomicBool::new(false), &mut |_| ())? else { panic!("nobody asked it to stop") };
/// // Three trials of two values: one of them came twice, and was trained once.
/// let runs: std::collections::BTreeSet<_> = report.trials.iter().map(|trial| &trial.folder).collect();
/// assert_eq!((report.trials.len(), runs.len()), (3, 2));
/// assert!(tune_words(&report)[0].starts_with("The best is trial"));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug)]
pub struct Tuning {
    pub(super) spec: TuneSpec,
    pub(super) budget: Budget,
    pub(super) folder: PathBuf,
    pub(super) dataset: Dataset,
    pub(super) text_hash: String,
    pub(super) environment: Environment,
    device: Device,
    precision_note: Option<String>,
}

impl Tuning {
    /// Reads the text. `folder`: where the runs and the report go.
    ///
    /// # Errors
    /// Usage: the specification is wrong, `folder` is that of the text or of a run, or there is no validation text. Environment: text, tokenizer or
    /// device cannot be used.
    pub fn new(spec: TuneSpec, folder: &Path, purpose: Purpose, watch: &mut dyn Watch<'_>) -> Result<Self> {
        spec.validate()?;
        if RunFolder::new(folder).is_begun() {
            return Err(Fault::usage(format!("{} already holds a run", folder.display())).hint("choose another folder"));
        }
        check_base(&spec.base, &RESERVED)?;
        let mut start = resolved(&spec, Vec::new())?;
        let data = text::kept(start.data.clone(), folder, purpose, watch)?;
        let dataset = Dataset::open(&data, None, watch)?;
        if dataset.size(Split::Validation).tokens == 0 {
            return Err(Fault::usage("trials are judged on the validation text, and there is none")
                .hint("give one with --validation, or more text with --data, of which a part is held out"));
        }
        if spec.metric == Metric::BitsPerByte && !dataset.is_lossless() {
            return Err(Fault::usage("the tokenizer does not give the text back, so there are no bits per byte")
                .hint("metric = \"loss\" is in nats per target"));
        }
        let (environment, precision_note) = machine::settle(&mut start, &folder.join(TUNE), purpose)?;
        let (device, _) = start.train.device.parse::<DeviceChoice>()?.open()?;
        Ok(Self {
            budget: spec.budget()?,
            folder: folder.to_owned(),
            text_hash: text::hash(&dataset),
            dataset,
            environment,
            device,
            precision_note,
            spec,
        })
    }

    /// What is to be told before anything runs: where another precision would be faster.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.precision_note.as_deref().into_iter()
    }

    /// The configuration of a point, or the one that the search starts from, with what it costs; steps and seed are still to be set.
    ///
    /// # Errors
    /// Usage: there is no such model, it can't have as many parameters as it should, or it does not fit into memory.
    pub(super) fn configured(&self, point: Option<&[usize]>) -> Result<(RunConfig, Plan)> {
        let values = point.into_iter().flat_map(|point| self.spec.space.values(point));
        let changes = values.map(|(key, value)| Override::flag(SEARCH, key, value.clone())).collect();
        let mut config = resolved(&self.spec, changes)?;
        config.data = self.dataset.config().clone();
        config.model.vocab = self.dataset.tokenizer().vocab_size();
        config.train.precision = self.environment.precision;
        config.validate()?;
        if let Some(target) = self.spec.parameters {
            config.model = matched(&config.model, target)?;
        }
        let plan = plan(&config)?;
        // What does not fit is a trial that fails, not the end of the search.
        Memory::check(plan.peak_memory_bytes, "training", &self.device)
            .map_err(|fault| Fault::usage(fault.to_string()))?;
        Ok((config, plan))
    }

    /// The run of a point, or of the configuration that the search starts from, with a seed.
    ///
    /// # Errors
    /// As [`Tuning::configured`]; usage: the budget is too small to be cut into rungs.
    pub(super) fn candidate(&self, point: Option<&[usize]>, seed: u64) -> Result<Candidate> {
        Candidate::new(self, point, seed)
    }
}

/// The configuration of a specification with the changes of a point.
fn resolved(spec: &TuneSpec, point: Vec<Override>) -> Result<RunConfig> {
    let mut overrides: Vec<Override> = DEFAULTS.iter().map(|text| Override::set(text)).collect::<Result<_>>()?;
    overrides.push(Override::set("sample.tokens=0")?);
    overrides.extend(spec.base.iter().cloned());
    overrides.extend(point);
    resolve(&Sources { preset: Some(spec.preset.clone()), file: None, overrides })
}
