//! From preset, file, environment and flags to one configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use percept_data::DataConfig;
use percept_fault::{Fault, Result};
use percept_model::ModelConfig;

use crate::config::RunConfig;
use crate::config::keys::Keys;
use crate::config::layering::{Layers, Origin, Override, check_changes, read_file};
use crate::config::presets::{DEFAULT_ENCODER, DEFAULT_PRESET, NO_PRESET, preset};
use crate::config::task_kind::TaskKind;

/// Where a configuration comes from; a later field wins over an earlier one.
///
/// ```
/// use percept_train::{Override, Sources, resolve};
/// # let folder = tempfile::tempdir().unwrap();
/// let file = folder.path().join("mine.toml");
/// std::fs::write(&file, "preset = \"llp-tiny\"\n[train]\nsteps = 100\nbatch = 2\n").unwrap();
/// let steps = Override::set("train.steps=200")?;
/// let config = resolve(&Sources { preset: None, file: Some(file.clone()), overrides: vec![steps] })?;
/// // The flag wins over the file, the file over its preset.
/// assert_eq!((config.train.steps, config.train.batch, config.model.layers.as_str()), (200, 2, "llp"));
///
/// std::fs::write(&file, "[train]\nstep = 100\n").unwrap();
/// let fault = resolve(&Sources { file: Some(file), ..Sources::default() }).unwrap_err();
/// assert!(fault.to_string().contains("mine.toml:2"), "{fault}");
/// assert_eq!(fault.hint_text(), Some("did you mean `train.steps`?"));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A preset's name (`--preset`); without it the file's `preset` key, then [`DEFAULT_PRESET`].
    pub preset: Option<String>,
    /// A configuration file (`--config`).
    pub file: Option<PathBuf>,
    /// Overrides in order of rising precedence: first those of the environment, then the flags.
    pub overrides: Vec<Override>,
}

/// The configuration, with every value checked.
///
/// # Errors
/// A usage fault that names the file and line, variable or flag at fault.
pub fn resolve(sources: &Sources) -> Result<RunConfig> {
    let keys = keys();
    let document = match &sources.file {
        Some(path) => Some((path, read_file(path)?)),
        None => None,
    };
    let mut file = Layers::default();
    if let Some((path, text)) = &document {
        file.add_document(text, &keys, &|line| Origin::File(path.to_path_buf(), line))?;
    }
    let place = file.origin("preset").map(|origin| format!("{origin}: ")).unwrap_or_default();
    let named = file.take_string("preset");
    let default = if file.take_string("task").as_deref() == Some("masked") { DEFAULT_ENCODER } else { DEFAULT_PRESET };
    let mut layers = Layers::default();
    match (&sources.preset, named) {
        (Some(name), _) => add_preset(&mut layers, &keys, name)?,
        (None, Some(name)) => add_preset(&mut layers, &keys, &name).map_err(|fault| fault.at(&place))?,
        (None, None) => add_preset(&mut layers, &keys, default)?,
    }
    if let Some((path, text)) = &document {
        layers.add_document(text, &keys, &|line| Origin::File(path.to_path_buf(), line))?;
    }
    finish(layers, &keys, &sources.overrides)
}

/// A preset on its own.
pub fn resolve_preset(name: &str) -> Result<RunConfig> {
    resolve(&Sources { preset: Some(name.to_owned()), ..Sources::default() })
}

/// The configuration of a model that comes without a run, such as what a weight file carries, with changes on top.
///
/// - `place`: where the model's configuration stands; messages about it begin so.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_model(model: &ModelConfig, place: &str, overrides: Vec<Override>) -> Result<RunConfig> {
    let keys = toml::Table::try_from(model)
        .map_err(|error| Fault::internal("the configuration can't be serialised").because(error))?;
    let carried = keys.into_iter().map(|(key, value)| Override::flag(place, format!("model.{key}"), value));
    let overrides = carried.chain(overrides).collect();
    resolve(&Sources { preset: Some(NO_PRESET.to_owned()), file: None, overrides })
}

/// The configuration that a run folder keeps, with changes on top.
pub(crate) fn resolve_over(file: PathBuf, overrides: &[Override]) -> Result<RunConfig> {
    let keys = keys();
    let mut layers = Layers::default();
    layers.add_document(&read_file(&file)?, &keys, &|line| Origin::File(file.clone(), line))?;
    // A run keeps the rules by which its text was read and split; those of before they had a number are the first.
    let records_edition = layers.origins().contains_key("data.edition");
    let mut config = finish(layers, &keys, overrides)?;
    if !records_edition {
        config.data.edition = DataConfig::FIRST_EDITION;
    }
    Ok(config)
}

/// The keys of a run, with those of `[model]` that stand for keys of the mixers' tables.
pub(crate) fn keys() -> Keys {
    let below = |key: String| format!("model.{key}");
    let flat = ModelConfig::flat_keys().into_iter();
    let flat = flat.map(|(key, names)| (below(key.to_owned()), names.into_iter().map(below).collect()));
    Keys::of(RunConfig::schema(), flat.collect())
}

fn finish(mut layers: Layers, keys: &Keys, overrides: &[Override]) -> Result<RunConfig> {
    check_changes(overrides.iter().filter(|change| change.is_variable()), keys)?;
    for change in overrides {
        layers.add_override(change, keys)?;
    }
    let origins = layers.origins().clone();
    let config = RunConfig { preset: NO_PRESET.to_owned(), ..layers.read()? };
    check_tables(config.task, &origins)?;
    config.validate()?;
    Ok(config)
}

/// Refuses keys that say nothing about what is trained, but for those of a preset below another task.
fn check_tables(task: TaskKind, origins: &BTreeMap<String, Origin>) -> Result<()> {
    let is_foreign = |key: &str| task.foreign_tables().iter().any(|table| key.split(['.', '[']).next() == Some(*table));
    let mut meant = origins.iter().filter(|(_, origin)| !matches!(origin, Origin::Preset(_)));
    match meant.find(|(key, _)| is_foreign(key)) {
        Some((key, origin)) => Err(Fault::usage(format!("{origin}: `{key}` says nothing where task = \"{task}\""))
            .hint("an encoder (task = \"masked\") has [encoder] and [masking], a language model [model] and [sample]")),
        None => Ok(()),
    }
}

/// Lays a preset and, below it, those that it builds on.
fn add_preset(layers: &mut Layers, keys: &Keys, name: &str) -> Result<()> {
    let mut chain = Vec::new();
    let mut next = Some(name.to_owned());
    while let Some(name) = next.filter(|name| name != NO_PRESET) {
        let preset = preset(&name)?;
        if chain.contains(&preset) {
            return Err(Fault::internal(format!("preset `{name}` builds on itself")));
        }
        chain.push(preset);
        let mut alone = Layers::default();
        alone.add_document(preset.text, keys, &|_| Origin::Preset(name.clone()))?;
        next = alone.take_string("preset");
    }
    for preset in chain.iter().rev() {
        layers.add_document(preset.text, keys, &|_| Origin::Preset(preset.name.to_owned()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use percept_model::properties::Properties;

    use super::*;
    use crate::config::presets::presets;

    fn overrides(assignments: &[&str]) -> Vec<Override> {
        assignments.iter().map(|text| Override::set(text).unwrap()).collect()
    }

    /// A configuration file with this text; the folder lives as long as the test.
    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn fault_of(text: &str) -> (String, String) {
        let (_folder, path) = file(text);
        let fault = resolve(&Sources { file: Some(path), ..Sources::default() }).unwrap_err();
        assert!(fault.is_usage(), "{fault}");
        (fault.to_string(), fault.hint_text().unwrap_or_default().to_owned())
    }

    fn parameters(preset: &str, vocab: usize) -> u64 {
        let mut config = resolve_preset(preset).unwrap().model;
        config.vocab = if config.vocab == 0 { vocab } else { config.vocab };
        Properties::of(&config).unwrap().parameters()
    }

    #[test]
    fn a_wrong_value_in_the_table_of_a_mixer_is_named() {
        let (message, _) = fault_of("[model]\nlayers = \"conv\"\n[model.conv]\nwidth = \"x\"\n");
        assert!(
            message.ends_with("run.toml:4: `model.conv.width`: invalid type: string \"x\", expected usize"),
            "{message}"
        );
        let (message, hint) = fault_of("[model.conv]\nwidht = 3\n");
        assert!(message.ends_with("run.toml:2: unknown key `model.conv.widht`"), "{message}");
        assert_eq!(hint, "did you mean `model.conv.width`?");
    }

    #[test]
    fn a_flat_key_and_its_tables_are_names_of_one_key() {
        let segments = |sources: Sources| {
            let mixers = resolve(&sources).unwrap().model.mixers;
            (mixers.llp.segment, mixers.longlora.segment, mixers.transformer.segment)
        };
        let with = |text: &str, sets: &[&str]| {
            let (_folder, path) = file(text);
            segments(Sources { preset: None, file: Some(path), overrides: overrides(sets) })
        };
        let (flat, own) = ("[model]\nsegment = 32\n", "[model.llp]\nsegment = 16\n");
        assert_eq!(with(flat, &[]), (32, 32, 32));
        assert_eq!(with(own, &[]), (16, 256, 256), "the others have the preset's");
        assert_eq!(with(flat, &["model.llp.segment=8"]), (8, 32, 32), "a flag over a file");
        assert_eq!(with(own, &["model.segment=64"]), (64, 64, 64));
        assert_eq!(with(own, &["model.segment=64", "model.longlora={ segment = 8 }"]), (64, 8, 64));
        assert_eq!(with("[model]\nsegment = 32\n[model.llp]\nsegment = 32\n", &[]), (32, 32, 32));
        let variables = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Sources { overrides: Override::from_environment(pairs), ..Sources::default() }
        };
        assert_eq!(segments(variables(&[("PERCEPT_MODEL__LLP__SEGMENT", "16")])), (16, 256, 256));
        let both = variables(&[("PERCEPT_MODEL__SEGMENT", "8"), ("PERCEPT_MODEL__LLP__SEGMENT", "16")]);
        let fault = resolve(&both).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "environment variable PERCEPT_MODEL__LLP__SEGMENT: `model.llp.segment` = 16 contradicts `model.segment` = 8 \
             (environment variable PERCEPT_MODEL__SEGMENT)"
        );
    }

    #[test]
    fn two_names_of_a_key_that_contradict_each_other_are_named() {
        let (message, hint) = fault_of("[model]\nlatents = 32\n\n[model.perceiver-v1]\nlatents = 16\n");
        let end = "run.toml:5: `model.perceiver-v1.latents` = 16 contradicts `model.latents` = 32 (";
        assert!(message.contains(end) && message.ends_with("run.toml:2)"), "{message}");
        assert_eq!(hint, "`model.latents` sets `model.perceiver-v1.latents` too: leave one of them out");
        let (message, _) = fault_of("[model]\nsegment = \"x\"\n");
        assert!(
            message.ends_with("run.toml:2: `model.segment`: invalid type: string \"x\", expected usize"),
            "{message}"
        );
        let (message, hint) = fault_of("[model.llp]\nsegmnet = 3\n");
        assert!(message.ends_with("run.toml:2: unknown key `model.llp.segmnet`"), "{message}");
        assert_eq!(hint, "did you mean `model.llp.segment`?");
        let (message, _) = fault_of("[model.gelu]\nwidth = 3\n");
        assert!(message.contains("run.toml:2: "), "{message}");
    }

    #[test]
    fn mixers_that_differ_are_written_and_read_back() {
        let set = [
            "model.layers=llp(segment=32), longlora, perceiver-v2",
            "model.heads=4",
            "model.llp.segment=64",
            "model.longlora.segment=16",
        ];
        let config = resolve(&Sources { overrides: overrides(&set), ..Sources::default() }).unwrap();
        let text = config.to_toml().unwrap();
        assert!(!text.contains("\nsegment = 64\nlatents") && text.contains("[model.llp]\nsegment = 64\n"), "{text}");
        assert!(text.contains("[model.transformer]\nsegment = 256\n") && text.contains("\nlatents = 512\n"), "{text}");
        let (_folder, path) = file(&text);
        assert_eq!(resolve(&Sources { file: Some(path), ..Sources::default() }).unwrap(), config);
        let carried = resolve_model(&config.model, "it", overrides(&["model.segment=8"])).unwrap().model;
        assert_eq!((carried.mixers.llp.segment, carried.mixers.longlora.segment), (8, 8));
        assert_eq!(resolve_model(&config.model, "it", vec![]).unwrap().model, config.model);
    }

    #[test]
    fn every_preset_resolves_and_says_what_it_is() {
        for preset in presets() {
            resolve_preset(preset.name).unwrap_or_else(|fault| panic!("{}: {fault}", preset.name));
            assert!(preset.text.starts_with("# ") && preset.description().len() > 20, "{}", preset.name);
        }
    }

    #[test]
    fn presets_have_the_sizes_that_they_promise() {
        assert_eq!(parameters("llp-paper", 0), 214_640_452);
        for (name, low, high) in [("tiny", 0.8e6, 1.2e6), ("small", 9e6, 11e6), ("base", 85e6, 95e6)] {
            let (llp, transformer) =
                (parameters(&format!("llp-{name}"), 257), parameters(&format!("transformer-{name}"), 257));
            assert!((low..high).contains(&(llp as f64)), "llp-{name} has {llp}");
            assert_eq!(llp, transformer);
        }
        let paper = parameters("transformer-paper", 0) as f64;
        assert!((paper / 214_640_452.0 - 1.0).abs() < 0.07, "{paper}");
    }

    #[test]
    fn paper_presets_have_the_authors_options() {
        for name in ["llp-paper", "transformer-paper"] {
            let model = resolve_preset(name).unwrap().model;
            assert_eq!(model.clone().with_paper_options(), model, "{name}");
        }
    }

    #[test]
    fn a_later_layer_wins() {
        let (_folder, path) = file("preset = \"llp-tiny\"\n[train]\nsteps = 11\nbatch = 12\nwarmup = 13\n");
        let variables = [("PERCEPT_TRAIN__BATCH", "22"), ("PERCEPT_TRAIN__WARMUP", "23"), ("PERCEPT_THREADS", "2")];
        let mut changes = Override::from_environment(variables.map(|(name, value)| (name.into(), value.into())));
        changes.extend(overrides(&["train.warmup=33"]));
        let config = resolve(&Sources { preset: None, file: Some(path), overrides: changes }).unwrap();
        let tiny = resolve_preset("llp-tiny").unwrap();
        assert_eq!(config.train.learning_rate, tiny.train.learning_rate, "from the preset");
        assert_eq!((config.train.steps, config.train.batch, config.train.warmup), (11, 22, 33));
        assert_ne!(tiny.model, resolve_preset(DEFAULT_PRESET).unwrap().model);
        assert_eq!(config.model, tiny.model);
    }

    #[test]
    fn the_preset_flag_replaces_the_file_s_base() {
        let (_folder, path) = file("preset = \"llp-small\"\n[model]\ndepth = 3\n");
        let sources = Sources { preset: Some("transformer-tiny".into()), file: Some(path), overrides: vec![] };
        let config = resolve(&sources).unwrap();
        assert_eq!((config.model.dim, config.model.depth, config.model.layers.as_str()), (128, 3, "transformer"));
    }

    #[test]
    fn values_take_the_type_of_their_key() {
        let set =
            ["sample.prompt=12", "model.layers=llp*2, transformer", "train.init_from=runs/a", "train.schedule=wsd"];
        let config = resolve(&Sources { overrides: overrides(&set), ..Sources::default() }).unwrap();
        assert_eq!((config.sample.prompt.as_str(), config.model.layers.as_str()), ("12", "llp*2, transformer"));
        assert_eq!(config.train.init_from, Some(PathBuf::from("runs/a")));
        assert_eq!(config.train.schedule, crate::Decay::Wsd);
    }

    #[test]
    fn the_resolved_configuration_reads_back_equal() {
        let set =
            ["data.sources=[\"a\", { path = \"b\", weight = 2.0 }]", "model.layers=transformer", "train.ema=0.999"];
        let config = resolve(&Sources { overrides: overrides(&set), ..Sources::default() }).unwrap();
        let (_folder, path) = file(&config.to_toml().unwrap());
        assert_eq!(resolve(&Sources { file: Some(path), ..Sources::default() }).unwrap(), config);
    }

    #[test]
    fn unknown_keys_name_the_line_and_suggest() {
        let (message, hint) = fault_of("[model]\n# wide\ndims = 512\n");
        assert!(message.ends_with("run.toml:3: unknown key `model.dims`"), "{message}");
        assert_eq!(hint, "did you mean `model.dim`?");
        let (message, hint) = fault_of("heads = 4\n");
        assert!(message.ends_with("run.toml:1: unknown key `heads`"), "{message}");
        assert_eq!(hint, "did you mean `model.heads`?");
        let (_, hint) = fault_of("[sample]\nzzz = 4\n");
        assert_eq!(hint, "the keys of [sample] are: prompt, temperature, tokens");
        let (message, _) = fault_of("[data]\nsources = [\"a\",\n{ path = \"b\", wieght = 2.0 }]\n");
        assert!(message.contains("run.toml:3: unknown key `data.sources[1].wieght`"), "{message}");
    }

    #[test]
    fn unknown_flags_and_variables_are_named() {
        let fault = resolve(&Sources { overrides: overrides(&["model.dims=4"]), ..Sources::default() }).unwrap_err();
        assert_eq!(fault.to_string(), "--set model.dims=4: unknown key `model.dims`");
        let variables = Override::from_environment([("PERCEPT_TRAIN__STEP".to_owned(), "4".to_owned())]);
        let fault = resolve(&Sources { overrides: variables, ..Sources::default() }).unwrap_err();
        assert_eq!(fault.to_string(), "environment variable PERCEPT_TRAIN__STEP: unknown key `train.step`");
        assert_eq!(fault.hint_text(), Some("did you mean `train.steps`?"));
    }

    #[test]
    fn wrong_types_and_values_are_named() {
        let (message, _) = fault_of("[train]\n\nsteps = \"many\"\n");
        assert!(message.contains("run.toml:3: `train.steps`: invalid type"), "{message}");
        let (message, _) = fault_of("[train]\nschedule = \"cosin\"\n");
        assert!(message.contains("run.toml:2: `train.schedule`: unknown variant `cosin`"), "{message}");
        let (message, _) = fault_of("[model]\nheads = 3\n");
        assert!(message.contains("model.heads = 3 does not divide model.dim = 320"), "{message}");
        let (message, _) = fault_of("[train]\nbeta2 = 1.0\n");
        assert!(message.contains("train.beta2 = 1 is out of range"), "{message}");
        let (message, _) = fault_of("[train\n");
        assert!(message.contains("run.toml:1: "), "{message}");
        let (message, hint) = fault_of("preset = \"llp-smal\"\n");
        assert!(message.ends_with("run.toml:1: unknown preset `llp-smal`"), "{message}");
        assert_eq!(hint, "did you mean `llp-small`?");
    }

    #[test]
    fn a_missing_file_is_an_environment_fault() {
        let fault = resolve(&Sources { file: Some("no/such.toml".into()), ..Sources::default() }).unwrap_err();
        assert!(fault.is_environment() && fault.to_string().contains("no/such.toml"), "{fault}");
    }

    #[test]
    fn every_key_of_the_schema_is_documented() {
        let schema = RunConfig::schema();
        for table in ["RunConfig", "TrainConfig", "SampleConfig"] {
            let node = if table == "RunConfig" { &schema } else { &schema["$defs"][table] };
            for (key, value) in node["properties"].as_object().unwrap() {
                assert!(value.get("description").is_some(), "{table}.{key} has no description");
            }
        }
    }
}
