//! The `[data]` table of a run: which text, split how, tokenized how.

mod apart;
mod source;

use std::path::PathBuf;

use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use apart::check_apart;
pub use source::SourceConfig;

use crate::Tokenizer;

/// Which text a run reads, how it is split, tokenized and packed: the TOML table `[data]`.
///
/// ```
/// use percept_data::{DataConfig, Packing};
/// let config: DataConfig = toml::from_str(r#"
///     sources = ["books", { path = "notes.jsonl", text_key = "body" }]
///     packing = "concatenate"
/// "#).unwrap();
/// assert_eq!(config.sources[1].text_key.as_deref(), Some("body"));
/// assert_eq!(config.packing, Packing::Concatenate);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Training text: files, folders, records (`.jsonl`, `.json`, `.csv`, `.tsv`, `.parquet`), archives (`.zip`, `.gz`, `.zst`,
    /// `.xz`, `.bz2`), `-` (standard input) or `synthetic:copy`. A folder that holds `train` and also `valid`, `validation`,
    /// `val`, `dev` or `test` (as folders or as files) is taken as already split.
    pub sources: Vec<SourceConfig>,
    /// Validation text. Empty: the `valid` part of a source that is already split, else cut from the training text.
    pub validation: Vec<SourceConfig>,
    /// Test text. Empty: the `test` part of a source that is already split, else cut from the training text.
    pub test: Vec<SourceConfig>,
    /// Shares of the text that are held out where no validation or test text is given.
    pub split: SplitConfig,
    /// Globs of the files to read in folders (empty: all). A glob without `/` matches the file name at any depth.
    pub include: Vec<String>,
    /// Globs of the files to leave out, of the same form as `include`. Hidden files are always left out.
    pub exclude: Vec<String>,
    /// Key of the text in JSON records, name of its column in tables; default `text`.
    pub text_key: String,
    /// `bytes`, or the path of a `tokenizer.json` (Hugging Face format).
    pub tokenizer: String,
    /// Whether a training window keeps to one document.
    pub packing: Packing,
    /// What a document that cannot be used does: unreadable, not UTF-8 or binary under a text tokenizer, a broken record.
    pub on_error: OnError,
    /// What a file does that looks binary (a picture, a program) rather than text.
    pub binary: Binary,
    /// Documents of fewer bytes are left out (counted, never an error).
    pub min_bytes: u64,
    /// Folder of the token cache; default: `percept` in the user's cache folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// The rules by which text is read and split, which may change with a new version: 2 (default), or 1 for those before
    /// `.json`, `.csv`, `.zip` and others were read and held-out text was chosen by size. A run keeps those it began with.
    pub edition: u8,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            validation: Vec::new(),
            test: Vec::new(),
            split: SplitConfig::default(),
            include: Vec::new(),
            exclude: Vec::new(),
            text_key: "text".into(),
            tokenizer: "bytes".into(),
            packing: Packing::Document,
            on_error: OnError::Stop,
            binary: Binary::Keep,
            min_bytes: 0,
            cache: None,
            edition: EDITION,
        }
    }
}

/// The newest rules of reading and splitting.
const EDITION: u8 = 2;

impl DataConfig {
    /// The rules of runs that recorded no [`DataConfig::edition`].
    pub const FIRST_EDITION: u8 = 1;

    /// The configuration that reads `paths` with every other value at its default (`--data PATH...`).
    pub fn from_paths(paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { sources: paths.into_iter().map(SourceConfig::new).collect(), ..Self::default() }
    }

    /// Checks what can be checked without touching a file.
    ///
    /// # Errors
    /// A usage fault that names the key: no source, bad shares, weights on some sources only, a weight that is not positive.
    ///
    /// ```
    /// use percept_data::{DataConfig, SourceConfig};
    /// let mut config = DataConfig::from_paths(["books", "letters"]);
    /// config.validate()?;
    /// // A weight is a share of the training windows: all sources have one, or none.
    /// config.sources[0] = SourceConfig { weight: Some(3.0), ..SourceConfig::new("books") };
    /// let fault = config.validate().unwrap_err();
    /// assert_eq!(fault.to_string(), "data.sources: 1 of 2 sources have a weight");
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn validate(&self) -> Result<()> {
        if self.sources.is_empty() {
            return Err(Fault::usage("no text given: data.sources is empty")
                .hint("name a file or a folder, as in `--data my-texts/`"));
        }
        if !(Self::FIRST_EDITION..=EDITION).contains(&self.edition) {
            return Err(Fault::usage(format!("data.edition = {} does not exist", self.edition))
                .hint(format!("{EDITION} is the newest; a newer version of Percept may know more")));
        }
        self.no_empty_path()?;
        self.split.validate()?;
        let weighted = self.sources.iter().filter(|source| source.weight.is_some()).count();
        if weighted != 0 && weighted != self.sources.len() {
            return Err(Fault::usage(format!(
                "data.sources: {weighted} of {} sources have a weight",
                self.sources.len()
            ))
            .hint("give every source a weight, or none (then every window is read once per epoch)"));
        }
        for source in &self.sources {
            if let Some(weight) = source.weight
                && !(weight.is_finite() && weight > 0.0)
            {
                return Err(Fault::usage(format!("data.sources: weight {weight} of `{}`", source.path))
                    .hint("a weight is a number above 0"));
            }
        }
        Ok(())
    }

    fn no_empty_path(&self) -> Result<()> {
        let lists = [("data.sources", &self.sources), ("data.validation", &self.validation), ("data.test", &self.test)];
        for (key, sources) in lists {
            if sources.iter().any(|source| source.path.is_empty()) {
                return Err(Fault::usage(format!("{key}: a path is empty"))
                    .hint("name a file or a folder (`.` is the current one), or leave the path out"));
            }
        }
        if self.tokenizer.is_empty() {
            // It knows what to say, and is asked by others, too.
            Tokenizer::open(&self.tokenizer)?;
        }
        if self.cache.as_ref().is_some_and(|cache| cache.as_os_str().is_empty()) {
            return Err(Fault::usage("data.cache: the path is empty")
                .hint("name a folder, or leave the key out: tokens are then kept in your cache folder"));
        }
        Ok(())
    }
}

/// Shares of the text that are held out, and the seed that chooses which documents.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// Share of the text held out for validation.
    pub validation: f64,
    /// Share of the text held out for the final test.
    pub test: f64,
    /// Seed of the choice of documents.
    pub seed: u64,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self { validation: 0.05, test: 0.05, seed: 0 }
    }
}

impl SplitConfig {
    /// # Errors
    /// A usage fault where a share is negative or nothing is left to train on.
    pub fn validate(&self) -> Result<()> {
        let shares = [self.validation, self.test];
        if shares.iter().any(|share| !(0.0..1.0).contains(share)) || self.validation + self.test >= 1.0 {
            return Err(Fault::usage(format!(
                "data.split: validation = {}, test = {} leaves nothing to train on",
                self.validation, self.test
            ))
            .hint("each share is at least 0, and together they are below 1"));
        }
        Ok(())
    }
}

/// How a file is read, once it is decompressed.
///
/// ```
/// use percept_data::{Corpus, DataConfig, Format, SourceConfig, Tokenizer};
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("chat.log");
/// std::fs::write(&path, "{\"text\": \"hello\"}\n{\"text\": \"good bye\"}\n").unwrap();
/// // By its name it would be one document.
/// let records = SourceConfig { format: Format::Jsonl, ..SourceConfig::new(path.display().to_string()) };
/// let config = DataConfig { sources: vec![records], cache: Some(folder.path().join("cache")), ..Default::default() };
/// let corpus = Corpus::open(&config, &Tokenizer::bytes(), &mut |_| {})?;
/// assert_eq!(corpus.documents(), 2);
/// // Messages name the line of a record.
/// assert!(corpus.document(1).name.ends_with("chat.log:2"));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// By the ending of its name: as the formats below, else one document per file.
    #[default]
    Auto,
    /// One document per file.
    Text,
    /// One JSON record per line, one document per record.
    Jsonl,
    /// One JSON record, an array of records, or one record after the other.
    Json,
    /// A table with a header, comma-separated; one document per row.
    Csv,
    /// The same, separated by tabs.
    Tsv,
    /// A Parquet table; one document per row.
    Parquet,
}

impl Format {
    fn is_auto(&self) -> bool {
        *self == Format::Auto
    }
}

/// Whether a training window keeps to one document.
///
/// ```
/// use std::sync::Arc;
/// use percept_data::{Corpus, DataConfig, IGNORED, Packing, Part, Share, Tokenizer, WindowOptions, Windows};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("haiku.jsonl");
/// # std::fs::write(&path, "{\"text\": \"ab\"}\n".repeat(30)).unwrap();
/// # let cache = Some(folder.path().join("cache"));
/// # let config = DataConfig { cache, ..DataConfig::from_paths([path.display().to_string()]) };
/// // 30 documents of two bytes, in windows of six tokens.
/// let corpus = Arc::new(Corpus::open(&config, &Tokenizer::bytes(), &mut |_| {})?);
/// let targets = |packing| -> percept_fault::Result<usize> {
///     let options = WindowOptions { window: 6, batch: 1, seed: 1, packing, share: Share::default() };
///     let batch = Windows::new(&[Part::whole("haiku", corpus.clone())], options)?.next_batch()?;
///     Ok(batch.targets.iter().filter(|&&target| target != IGNORED).count())
/// };
/// // The rest of the window is padding, or more documents; the document token between them is no target.
/// assert_eq!((targets(Packing::Document)?, targets(Packing::Concatenate)?), (2, 4));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// A window holds tokens of one document only.
    #[default]
    Document,
    /// Documents are joined, the document token between them, and windows are cut from the joined text.
    Concatenate,
}

/// What a document that cannot be used does.
///
/// ```
/// use percept_data::{Corpus, DataConfig, OnError, Tokenizer};
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("notes.jsonl");
/// std::fs::write(&path, "{\"text\": \"fine\"}\n{\"txt\": \"no such key\"}\n").unwrap();
/// let mut config = DataConfig::from_paths([path.display().to_string()]);
/// config.cache = Some(folder.path().join("cache"));
/// let stopped = Corpus::open(&config, &Tokenizer::bytes(), &mut |_| {}).unwrap_err();
/// assert!(stopped.to_string().contains("notes.jsonl:2"), "{stopped}");
///
/// config.on_error = OnError::Skip;
/// let corpus = Corpus::open(&config, &Tokenizer::bytes(), &mut |_| {})?;
/// assert_eq!((corpus.documents(), corpus.statistics().skipped_documents()), (1, 1));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// Stop with a message that names it.
    #[default]
    Stop,
    /// Leave it out, count it and report it.
    Skip,
}

/// What a file that looks binary does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Binary {
    /// It is read as any other, and reported.
    #[default]
    Keep,
    /// It is left out, counted and reported.
    Skip,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_path_or_a_table_and_round_trips() {
        let text = "sources = [\"a\", { path = \"b\", weight = 2.0, format = \"jsonl\" }]";
        let config: DataConfig = toml::from_str(text).unwrap();
        assert_eq!(config.sources[0], SourceConfig::new("a"));
        assert_eq!((config.sources[1].weight, config.sources[1].format), (Some(2.0), Format::Jsonl));
        assert_eq!(toml::from_str::<DataConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn unknown_keys_are_named() {
        let error = toml::from_str::<DataConfig>("sources = [{ path = \"b\", wieght = 2.0 }]").unwrap_err();
        assert!(error.to_string().contains("wieght"), "{error}");
        let error = toml::from_str::<DataConfig>("source = [\"b\"]").unwrap_err();
        assert!(error.to_string().contains("unknown field `source`"), "{error}");
    }

    #[test]
    fn faults_name_the_key() {
        let mut config = DataConfig::default();
        assert!(config.validate().unwrap_err().to_string().contains("data.sources"));
        config.sources = vec!["a".into(), SourceConfig { weight: Some(1.0), ..SourceConfig::new("b") }];
        assert!(config.validate().unwrap_err().to_string().contains("1 of 2 sources have a weight"));
        config.sources.remove(0);
        config.validate().unwrap();
        config.sources[0].weight = Some(-1.0);
        assert!(config.validate().unwrap_err().to_string().contains("weight -1"));
        config.sources[0].weight = None;
        config.edition = 3;
        assert!(config.validate().unwrap_err().to_string().contains("data.edition = 3"));
        config.edition = 1;
        config.split.test = 0.96;
        assert!(config.validate().unwrap_err().to_string().contains("data.split"));
    }

    #[test]
    fn an_empty_path_is_named_by_its_key() {
        let empty = || vec![SourceConfig::default()];
        let with = |change: &dyn Fn(&mut DataConfig)| {
            let mut config = DataConfig::from_paths(["a"]);
            change(&mut config);
            config.validate().unwrap_err()
        };
        let cases = [
            ("data.sources", with(&|config| config.sources = empty())),
            ("data.validation", with(&|config| config.validation = empty())),
            ("data.test", with(&|config| config.test = empty())),
            ("data.tokenizer", with(&|config| config.tokenizer = String::new())),
            ("data.cache", with(&|config| config.cache = Some(PathBuf::new()))),
        ];
        for (key, fault) in cases {
            assert!(fault.is_usage() && fault.to_string().starts_with(&format!("{key}: ")), "{fault}");
            assert!(fault.hint_text().is_some(), "{key} has a hint");
        }
        assert!(Tokenizer::open("").unwrap_err().is_usage(), "also where nothing else was looked at");
    }

    #[test]
    fn the_schema_documents_every_key() {
        let schema = schemars::schema_for!(DataConfig).to_value();
        for (key, value) in schema["properties"].as_object().unwrap() {
            let described = value.get("description").is_some() || value.get("$ref").is_some();
            assert!(described, "{key} has no description");
        }
    }
}
