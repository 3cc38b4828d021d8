//! Text, tokenized and split into training, validation and test.

mod choice;
mod given;
mod lopsided;
mod sample;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use percept_fault::{Fault, Result};

use crate::corpus::{Cuts, ENOUGH, Recipe, cache_folder, cuts, cuts_of_large, report_loss};
use crate::progress::go_on;
use crate::source::{self, Filter, Input, PassedOver};
use crate::tokenizer::sha256_hex;
use crate::windows::description;
use crate::{Corpus, DataConfig, Document, Packing, Part, Progress, SourceConfig, SplitConfig, Tokenizer};
use crate::{Watch, WindowOptions, Windows};

/// A part of the text, by its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// For training.
    Train,
    /// For choices during training.
    Validation,
    /// For the final figure.
    Test,
}

impl Split {
    /// A word for messages.
    pub fn label(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

/// Text, tokenized and split as a [`DataConfig`] says.
///
/// Validation and test text is what the configuration names; else the `valid` and `test` parts of sources that come split; else
/// a seeded choice of whole documents that comes near the shares of bytes. Where none does, and where there are fewer than five
/// documents, the large ones are cut: the first part is for training, the next for validation, the last for the test.
///
/// ```
/// use percept_data::{DataConfig, Dataset, Split};
/// # let folder = tempfile::tempdir().unwrap();
/// # let (texts, cache) = (folder.path().join("texts"), folder.path().join("cache"));
/// # std::fs::create_dir(&texts).unwrap();
/// # for chapter in 0..20 {
/// #     std::fs::write(texts.join(format!("{chapter}.txt")), "It was a dark and stormy night.\n".repeat(9)).unwrap();
/// # }
/// // A folder with 20 chapters; a tenth of the text is held out for each of validation and test.
/// let mut config = DataConfig::from_paths([texts.display().to_string()]);
/// config.split.validation = 0.1;
/// config.split.test = 0.1;
/// config.cache = Some(cache);
/// let dataset = Dataset::open(&config, None, &mut |_| {})?;
/// let documents = [Split::Train, Split::Validation, Split::Test].map(|split| dataset.size(split).documents);
/// assert_eq!(documents, [16, 2, 2]);
///
/// // What is held out is read as whole documents.
/// let document = dataset.evaluation(Split::Test).next().unwrap();
/// assert!(document.name.ends_with(".txt"));
/// assert_eq!((document.tokens.len(), document.words), (288, 63));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug)]
pub struct Dataset {
    config: DataConfig,
    tokenizer: Tokenizer,
    train: Vec<Part>,
    validation: Vec<Part>,
    test: Vec<Part>,
}

impl Dataset {
    /// Finds the tokens of all sources in the cache, or reads and tokenizes them, and splits them.
    ///
    /// `tokenizer`: used instead of the one that `config` names; a run that resumes has its own copy.
    ///
    /// # Errors
    /// The configuration is wrong, a source is missing, a document cannot be used (unless `config.on_error` is `skip`), a
    /// file is in two splits, no training text is left, or the cache cannot be written. Interrupted: `watch` stopped it.
    pub fn open(config: &DataConfig, tokenizer: Option<Tokenizer>, watch: &mut dyn Watch<'_>) -> Result<Self> {
        config.validate()?;
        let tokenizer = match tokenizer {
            Some(tokenizer) => tokenizer,
            None => Tokenizer::open(&config.tokenizer)?,
        };
        let cache = cache_folder(config, watch)?;
        let config = source::keep_in_cache(config, &cache, watch)?;
        let mut dataset = Self { config, tokenizer, train: vec![], validation: vec![], test: vec![] };
        go_on(watch.stop())?;
        dataset.read(&cache, watch)?;
        report_loss(dataset.all_parts().map(|part| &*part.corpus), watch);
        // Not a moment too late: what comes next may not look at it.
        go_on(watch.stop())?;
        Ok(dataset)
    }

    fn read(&mut self, cache: &Path, watch: &mut dyn Watch<'_>) -> Result<()> {
        let Listed { pools, validation, test, outputs } = Listed::new(&self.config, watch)?;
        self.config.exclude.extend(outputs);
        let held_out = SplitConfig {
            validation: if validation.is_empty() { self.config.split.validation } else { 0.0 },
            test: if test.is_empty() { self.config.split.test } else { 0.0 },
            ..self.config.split
        };
        for Pool { name, weight, inputs } in pools {
            let recipe = Recipe::new(&self.config, &inputs, &self.tokenizer, cache, watch.stop());
            let parts = split_pool(&name, &recipe, &held_out, watch)?;
            if let Some(warning) = lopsided::warning(&name, parts.each_ref().map(bytes_of), &held_out) {
                watch.progress(Progress::Warning(warning));
            }
            let part = |(corpus, documents)| Part { name: name.clone(), weight, corpus, documents };
            let [train, validation, test] = parts.map(|split| split.map(part));
            self.train.extend(train);
            self.validation.extend(validation);
            self.test.extend(test);
        }
        for (split, inputs) in [(Split::Validation, validation), (Split::Test, test)] {
            if inputs.is_empty() {
                continue;
            }
            let recipe = Recipe::new(&self.config, &inputs, &self.tokenizer, cache, watch.stop());
            let corpus = Corpus::from_recipe(&recipe, watch)?;
            corpus.has_documents()?;
            let part = Part::whole(split.label(), Arc::new(corpus));
            match split {
                Split::Validation => self.validation.push(part),
                _ => self.test.push(part),
            }
        }
        Ok(())
    }

    /// The configuration, with what can be read only once (`-`, a pipe) replaced by the file that now holds it.
    pub fn config(&self) -> &DataConfig {
        &self.config
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The parts of a split; none where no document belongs to it.
    pub fn parts(&self, split: Split) -> &[Part] {
        match split {
            Split::Train => &self.train,
            Split::Validation => &self.validation,
            Split::Test => &self.test,
        }
    }

    /// A sampler of training windows.
    ///
    /// # Errors
    /// As [`Windows::new`].
    pub fn windows(&self, options: WindowOptions) -> Result<Windows> {
        Windows::new(&self.train, options)
    }

    /// The documents of a split, part by part and in order, with what they measure.
    pub fn evaluation(&self, split: Split) -> impl Iterator<Item = Document<'_>> {
        self.parts(split).iter().flat_map(Part::iter)
    }

    /// Whether figures per byte and per word make sense: the tokens of every split give back the text. Otherwise report token
    /// perplexity only, and say lossy.
    pub fn is_lossless(&self) -> bool {
        self.all_parts().all(|part| part.corpus.is_lossless())
    }

    fn all_parts(&self) -> impl Iterator<Item = &Part> {
        self.train.iter().chain(&self.validation).chain(&self.test)
    }

    /// Hash of the validation and test text; that of the training text is a part of the sampler's position.
    pub fn held_out_fingerprint(&self) -> String {
        let texts = [&self.validation, &self.test].map(|parts| description(parts));
        sha256_hex(&[b"held out 1", texts[0].as_bytes(), texts[1].as_bytes()])
    }

    /// The packing that the configuration asks for.
    pub fn packing(&self) -> Packing {
        self.config.packing
    }

    /// Documents, tokens and bytes of a split.
    pub fn size(&self, split: Split) -> SplitSize {
        self.evaluation(split).fold(SplitSize::default(), |size, document| SplitSize {
            documents: size.documents + 1,
            tokens: size.tokens + document.tokens.len() as u64,
            bytes: size.bytes + document.bytes,
            words: size.words + document.words,
        })
    }
}

/// What a split measures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SplitSize {
    /// Documents.
    pub documents: u64,
    /// Tokens, without document tokens.
    pub tokens: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// White-space separated words.
    pub words: u64,
}

/// Inputs that are split and sampled together.
struct Pool {
    name: String,
    weight: Option<f64>,
    inputs: Vec<Input>,
}

/// All inputs, by use.
struct Listed {
    pools: Vec<Pool>,
    validation: Vec<Input>,
    test: Vec<Input>,
    /// See [`PassedOver::outputs`].
    outputs: Vec<String>,
}

impl Listed {
    fn new(config: &DataConfig, watch: &mut dyn Watch<'_>) -> Result<Self> {
        let filter = Filter::new(config)?;
        let mut passed_over = PassedOver::default();
        let mut list_all = |sources: &[SourceConfig]| -> Result<Vec<Input>> {
            let lists = sources.iter().map(|source| source::list(source, &filter, &mut passed_over));
            lists.collect::<Result<Vec<_>>>().map(|all| all.concat())
        };
        let (mut validation, mut test) = (list_all(&config.validation)?, list_all(&config.test)?);
        let mut pools: Vec<Pool> = Vec::new();
        for source in &config.sources {
            let inputs = match given::given(source) {
                None => list_all(std::slice::from_ref(source))?,
                Some(given) => {
                    watch.progress(Progress::Note(format!("{} comes split: its parts are used as given", source.path)));
                    // What the configuration names comes first.
                    if config.validation.is_empty() {
                        validation.extend(list_all(&given.validation)?);
                    }
                    if config.test.is_empty() {
                        test.extend(list_all(&given.test)?);
                    }
                    list_all(&given.train)?
                }
            };
            match pools.last_mut() {
                // Sources without weights are one pool.
                Some(pool) if source.weight.is_none() => {
                    pool.name = format!("{}, {}", pool.name, source.label());
                    pool.inputs.extend(inputs);
                }
                _ => pools.push(Pool { name: source.label().into(), weight: source.weight, inputs }),
            }
        }
        let outputs = std::mem::take(&mut passed_over.outputs);
        let mut listed = Self { pools, validation, test, outputs };
        listed.uses().for_each(|inputs| passed_over.once(inputs));
        passed_over.lines().into_iter().for_each(|line| watch.progress(Progress::Note(line)));
        listed.check_overlap()?;
        Ok(listed)
    }

    /// The inputs of each use: pool by pool, then what is held out.
    fn uses(&mut self) -> impl Iterator<Item = &mut Vec<Input>> {
        let pools = self.pools.iter_mut().map(|pool| &mut pool.inputs);
        pools.chain([&mut self.validation, &mut self.test])
    }

    /// # Errors
    /// A file has two uses: it would be held out and trained on, or have two weights.
    fn check_overlap(&mut self) -> Result<()> {
        let mut seen = HashSet::new();
        for input in self.uses().flat_map(|inputs| inputs.iter()) {
            if input.file().is_some_and(|file| !seen.insert(file.identity.clone())) {
                return Err(Fault::usage(format!("{} is named twice in [data]", input.name))
                    .hint("a file belongs to one source, and to one of training, validation and test"));
            }
        }
        Ok(())
    }
}

/// The corpus and the documents of a split.
type Members = (Arc<Corpus>, Vec<usize>);

fn bytes_of(members: &Option<Members>) -> u64 {
    members.as_ref().map_or(0, |(corpus, documents)| lopsided::bytes(corpus, documents))
}

/// Splits a pool into training, validation and test documents.
fn split_pool(
    name: &str,
    recipe: &Recipe<'_>,
    held_out: &SplitConfig,
    watch: &mut dyn Watch<'_>,
) -> Result<[Option<Members>; 3]> {
    let holds_out = held_out.validation + held_out.test > 0.0;
    if holds_out && let Some(cuts) = cuts(recipe, held_out)? {
        return cut(name, recipe, &cuts, watch);
    }
    let corpus = Arc::new(Corpus::from_recipe(recipe, watch)?);
    has_documents(name, &corpus)?;
    let documents = corpus.documents();
    let by_size = || {
        let sizes: Vec<u64> = (0..documents).map(|index| corpus.document_bytes(index)).collect();
        (documents >= ENOUGH).then(|| choice::by_size(&sizes, held_out)).flatten()
    };
    let choice = match holds_out && recipe.edition > 1 {
        true => by_size(),
        false => Some(choice::by_number(documents, held_out)),
    };
    match choice {
        Some(choice) => Ok(choice.map(|documents| (!documents.is_empty()).then(|| (corpus.clone(), documents)))),
        None => cut(name, recipe, &cuts_of_large(recipe, held_out)?, watch),
    }
}

/// The parts of documents that are cut.
fn cut(name: &str, recipe: &Recipe<'_>, cuts: &Cuts, watch: &mut dyn Watch<'_>) -> Result<[Option<Members>; 3]> {
    let mut read = |ranges: &[std::ops::Range<u64>]| -> Result<Option<Members>> {
        if ranges.iter().all(std::ops::Range::is_empty) {
            return Ok(None);
        }
        let corpus = Arc::new(Corpus::from_recipe(&Recipe { ranges: Some(ranges), ..*recipe }, watch)?);
        let documents = (0..corpus.documents()).collect();
        Ok(Some((corpus, documents)))
    };
    let [train, validation, test] = [read(&cuts.train)?, read(&cuts.validation)?, read(&cuts.test)?];
    train.as_ref().map_or(Ok(()), |(corpus, _)| has_documents(name, corpus))?;
    Ok([train, validation, test])
}

/// # Errors
/// Every document of the pool was left out.
fn has_documents(pool: &str, corpus: &Corpus) -> Result<()> {
    corpus.has_documents().map_err(|fault| fault.at(&format!("{pool}: ")))
}

#[cfg(test)]
mod tests;
