//! Arguments that several commands share: which configuration, and which text.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use percept::data::DataConfig;
use percept::train::{DEFAULT_PRESET, NO_PRESET, Override, RunConfig, RunFolder, Sources, resolve};
use percept::{Fault, Result};

use crate::arguments::Global;

/// A configuration: a preset or a file, with changes on top.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    /// A preset (`percept presets` lists them) or a configuration file
    #[arg(value_name = "PRESET|FILE")]
    config: Option<String>,
    /// Set one key of the configuration, e.g. --set model.dim=512; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ConfigArgs {
    /// A name for what is made with it: the preset's, or the file's without its ending.
    pub(crate) fn name(&self) -> &str {
        let stem = self.config.as_deref().and_then(|name| Path::new(name).file_stem()?.to_str());
        stem.unwrap_or(DEFAULT_PRESET)
    }

    /// The configuration with the environment, `--set`, and then `flags` on top.
    pub(crate) fn resolve(&self, flags: Vec<Override>) -> Result<RunConfig> {
        resolve_named(self.config.as_deref(), &self.set, flags)
    }

    /// As [`ConfigArgs::resolve`], with another preset or file in place of the named one.
    pub(crate) fn resolve_instead(&self, name: &str, flags: Vec<Override>) -> Result<RunConfig> {
        resolve_named(Some(name), &self.set, flags)
    }
}

/// The configuration of this name, a preset or a file, with the environment, `--set`, and then `flags` on top.
pub(crate) fn resolve_named(name: Option<&str>, set: &[String], flags: Vec<Override>) -> Result<RunConfig> {
    let mut sources = Sources::default();
    match name {
        Some(name) if RunFolder::new(name).holds_a_run() => {
            return Err(Fault::usage(format!("{name} is a run folder, not a configuration"))
                .hint(format!("its configuration is {}", Path::new(name).join("config.toml").display())));
        }
        Some(name) if is_file(name) => sources.file = Some(PathBuf::from(name)),
        name => sources.preset = name.map(str::to_string),
    }
    sources.overrides = environment()?;
    sources.overrides.extend(sets(set)?);
    sources.overrides.extend(flags);
    resolve(&sources)
}

/// The `--set` flags.
pub(crate) fn sets(set: &[String]) -> Result<Vec<Override>> {
    set.iter().map(|assignment| Override::set(assignment)).collect()
}

/// Presets have neither slashes nor dots in their names.
fn is_file(name: &str) -> bool {
    name.ends_with(".toml") || name.contains(std::path::MAIN_SEPARATOR) || Path::new(name).is_file()
}

/// The variables that set keys.
///
/// # Errors
/// A usage fault where the value of one is not UTF-8.
pub(crate) fn environment() -> Result<Vec<Override>> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with("PERCEPT_")) else { continue };
        // Not all of them are keys, and only those of keys matter.
        let text = value.to_string_lossy().into_owned();
        let change = Override::from_environment([(name.to_owned(), text)]);
        if value.to_str().is_none() && !change.is_empty() {
            return Err(Fault::usage(format!("environment variable {name}: {value:?} is not UTF-8"))
                .hint("rename the file or folder that it names"));
        }
        variables.extend(change);
    }
    variables.sort_by(|a, b| a.key().cmp(b.key()));
    Ok(variables)
}

/// Text to read, and how.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DataArgs {
    /// Files or folders of text, records, tables or archives; - for standard input
    #[arg(long, value_name = "PATH", num_args = 1.., help_heading = "Text")]
    data: Vec<String>,
    #[command(flatten)]
    reading: ReadingArgs,
}

/// How text is read: the flags that stand for keys of `[data]`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Text")]
pub(crate) struct ReadingArgs {
    /// In folders, read only files that match
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// In folders, leave out files that match
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Key of the text in JSON records, or name of its column in tables
    #[arg(long, value_name = "KEY")]
    text_key: Option<String>,
    /// What to do with a document that cannot be read
    #[arg(long, value_name = "WHAT")]
    on_error: Option<OnError>,
    /// Leave out files that look binary (pictures, programs); by default they are read and reported
    #[arg(long)]
    skip_binary: bool,
}

/// What to do with a document that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// Stop with a message that names it
    Stop,
    /// Leave it out, count it and report it
    Skip,
}

/// What is trained on, and how: the flags that `train` and `compare` share.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TrainingArgs {
    /// Number format of the large products; auto takes whichever is faster here, as measured once
    #[arg(long, value_name = "FORMAT", value_parser = ["f32", "bf16", "auto"])]
    precision: Option<String>,
    #[command(flatten)]
    data: DataArgs,
    /// Text to validate on; by default cut from the data
    #[arg(long, value_name = "PATH", num_args = 1.., help_heading = "Text")]
    validation: Vec<String>,
    /// `bytes`, or a tokenizer.json
    #[arg(long, value_name = "FILE", help_heading = "Text")]
    tokenizer: Option<String>,
}

impl TrainingArgs {
    /// The flags as changes of the configuration, with the device that the program was called with.
    pub(crate) fn overrides(&self, global: &Global) -> Vec<Override> {
        let mut overrides = self.data.overrides();
        overrides.extend(list("--validation", "data.validation", &self.validation));
        let texts = [
            ("--tokenizer", "data.tokenizer", self.tokenizer.as_deref()),
            ("--device", "train.device", global.device.as_deref()),
            ("--precision", "train.precision", self.precision.as_deref()),
        ];
        let given = texts.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value?)));
        overrides.extend(given.map(|(flag, key, value)| Override::flag(format!("{flag} {value}"), key, value)));
        overrides
    }
}

impl DataArgs {
    /// The flags as changes of the configuration.
    pub(crate) fn overrides(&self) -> Vec<Override> {
        let mut overrides = self.reading.overrides();
        overrides.extend(list("--data", "data.sources", &self.data));
        overrides
    }

    /// Whether a text was named.
    pub(crate) fn is_given(&self) -> bool {
        !self.data.is_empty()
    }

    /// The configuration of `[data]` alone, for commands that need no model.
    pub(crate) fn config(&self) -> Result<DataConfig> {
        self.reading.config(&self.data)
    }
}

impl ReadingArgs {
    fn overrides(&self) -> Vec<Override> {
        let on_error = self.on_error.map(|what| if what == OnError::Stop { "stop" } else { "skip" });
        let texts =
            [("--text-key", "data.text_key", self.text_key.as_deref()), ("--on-error", "data.on_error", on_error)];
        let texts = texts
            .into_iter()
            .filter_map(|(flag, key, value)| Some(Override::flag(format!("{flag} {}", value?), key, value?)));
        let binary = self.skip_binary.then(|| Override::flag("--skip-binary", "data.binary", "skip"));
        let lists =
            [list("--include", "data.include", &self.include), list("--exclude", "data.exclude", &self.exclude)];
        texts.chain(binary).chain(lists.into_iter().flatten()).collect()
    }

    /// The configuration of `[data]` that reads `paths`.
    pub(crate) fn config(&self, paths: &[String]) -> Result<DataConfig> {
        let mut overrides = environment()?;
        overrides.extend(self.overrides());
        overrides.extend(list("--data", "data.sources", paths));
        let config = resolve(&Sources { preset: Some(NO_PRESET.into()), file: None, overrides })?.data;
        config.validate()?;
        Ok(config)
    }
}

/// A flag that was given with a list of values, as a change of the configuration.
pub(crate) fn list(flag: &str, key: &str, values: &[String]) -> Option<Override> {
    (!values.is_empty()).then(|| Override::flag(format!("{flag} {}", values.join(" ")), key, values.to_vec()))
}
