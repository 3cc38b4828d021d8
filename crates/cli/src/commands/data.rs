//! `percept data`: what a text is made of, before training on it.

use clap::{Args, Subcommand};
use percept::Result;
use percept::data::{Corpus, PassedOver, Problem, Statistics, Tokenizer};
use serde::Serialize;

use crate::arguments::Global;
use crate::arguments::config::ReadingArgs;
use crate::human;
use crate::terminal::Style;
use crate::training::DataMeter;

/// Arguments of `percept data`.
#[derive(Debug, Args)]
pub(crate) struct Data {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Count documents, bytes, words and tokens, and what was left out
    Stats(Stats),
    /// Show the first documents with their sizes and beginnings
    Inspect(Inspect),
}

/// The text and its tokenizer.
#[derive(Debug, Args)]
struct Texts {
    /// Files or folders of text, records, tables or archives; - for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// `bytes`, or a tokenizer.json
    #[arg(long, value_name = "FILE", default_value = "bytes", help_heading = "Text")]
    tokenizer: String,
}

#[derive(Debug, Args)]
struct Stats {
    #[command(flatten)]
    texts: Texts,
}

#[derive(Debug, Args)]
struct Inspect {
    #[command(flatten)]
    texts: Texts,
    /// How many documents
    #[arg(long, value_name = "N", default_value_t = 5)]
    documents: usize,
    /// How many tokens of each
    #[arg(long, value_name = "N", default_value_t = 40)]
    tokens: usize,
}

impl Data {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        match &self.action {
            Action::Stats(stats) => stats.run(global),
            Action::Inspect(inspect) => inspect.run(global),
        }
    }
}

impl Texts {
    fn open(&self, global: &Global) -> Result<(Corpus, Tokenizer)> {
        let config = self.reading.config(&self.paths)?;
        let tokenizer = Tokenizer::open(&self.tokenizer)?;
        let mut meter = DataMeter::new(global.terminal());
        let corpus = Corpus::open(&config, &tokenizer, &mut meter)?;
        Ok((corpus, tokenizer))
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Counted<'a> {
    #[serde(flatten)]
    statistics: &'a Statistics,
    passed_over: &'a PassedOver,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Guess>,
}

/// What guessing is worth in a problem of some length.
#[derive(Debug, Serialize)]
struct Guess {
    name: &'static str,
    mode: &'static str,
    length: u64,
    chance: f64,
}

impl Guess {
    /// At the shortest and at the longest question of a problem.
    fn of(problem: Problem) -> impl Iterator<Item = Self> {
        let (shortest, longest) = problem.lengths();
        let lengths = [Some(shortest), Some(longest).filter(|&longest| longest > shortest)];
        lengths.into_iter().flatten().map(move |length| Self {
            name: problem.name(),
            mode: problem.mode().name(),
            length,
            chance: problem.chance(length),
        })
    }
}

impl Stats {
    fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let (corpus, tokenizer) = self.texts.open(global)?;
        let statistics = corpus.statistics();
        let row =
            |name: &str, value: String| terminal.text(format!("{} {value}", Style::Bold.out(&format!("{name:<10}"))));
        row("documents", human::grouped(statistics.documents))?;
        row("bytes", format!("{} ({})", human::grouped(statistics.bytes), human::bytes(statistics.bytes)))?;
        row("words", human::grouped(statistics.words))?;
        row("characters", human::grouped(statistics.chars))?;
        row("tokens", format!("{} ({})", human::grouped(statistics.tokens), tokenizer.describe()))?;
        let per_token = statistics.bytes as f64 / statistics.tokens.max(1) as f64;
        row("per token", format!("{per_token:.3} bytes"))?;
        for (reason, count) in &statistics.skipped {
            row("left out", format!("{}: {}", human::plural(*count, "document"), reason.label()))?;
        }
        for example in &statistics.examples {
            terminal.text(format!("  {example}"))?;
        }
        for line in statistics.remark_lines() {
            row("note", line)?;
        }
        for example in &statistics.remark_examples {
            terminal.text(format!("  {example}"))?;
        }
        for (reason, group) in corpus.passed_over().groups().into_iter().filter(|(_, group)| group.count > 0) {
            row("left out", format!("{}, {reason}", human::grouped(group.count)))?;
            group.first.iter().try_for_each(|name| terminal.text(format!("  {name}")))?;
        }
        let problems: Vec<Guess> =
            self.texts.paths.iter().filter_map(|path| Problem::of_source(path)).flat_map(Guess::of).collect();
        for Guess { name, length, chance, .. } in &problems {
            row("chance", format!("{:.1} % of an answer of {name} at length {length}", 100.0 * chance))?;
        }
        terminal.json(&Counted { statistics, passed_over: corpus.passed_over(), problems })
    }
}

/// One document with its beginning.
#[derive(Debug, Serialize)]
struct Beginning {
    name: String,
    bytes: u64,
    words: u64,
    tokens: usize,
    first_tokens: Vec<u32>,
    text: String,
}

impl Inspect {
    fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let (corpus, tokenizer) = self.texts.open(global)?;
        let shown = self.documents.min(corpus.documents());
        let beginnings: Vec<Beginning> = (0..shown).map(|index| self.beginning(&corpus, &tokenizer, index)).collect();
        for document in &beginnings {
            terminal.text(format!(
                "{}  {}, {}, {}",
                Style::Bold.out(&document.name),
                human::plural(document.bytes, "byte"),
                human::plural(document.words, "word"),
                human::plural(document.tokens as u64, "token")
            ))?;
            terminal.text(format!("  {:?}\n  {:?}", document.text, document.first_tokens))?;
        }
        let rest = corpus.documents() - shown;
        if rest > 0 {
            terminal.say(format!("and {} (--documents N shows more)", human::plural(rest as u64, "other document")));
        }
        terminal.json(&serde_json::json!({ "documents": beginnings }))
    }

    fn beginning(&self, corpus: &Corpus, tokenizer: &Tokenizer, index: usize) -> Beginning {
        let document = corpus.document(index);
        let first_tokens = document.tokens.range(0..self.tokens.min(document.tokens.len()));
        Beginning {
            text: String::from_utf8_lossy(&tokenizer.decode(&first_tokens)).into_owned(),
            name: document.name,
            bytes: document.bytes,
            words: document.words,
            tokens: document.tokens.len(),
            first_tokens,
        }
    }
}
