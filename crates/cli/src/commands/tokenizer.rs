//! `percept tokenizer`: train one on your text, look at what one does, or hand it to other programs.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use percept::Result;
use percept::data::{Dataset, Split, Tokenizer};
use percept::files::json;
use percept::train::RunFolder;
use serde::Serialize;

use crate::arguments::Global;
use crate::arguments::config::ReadingArgs;
use crate::human;
use crate::terminal::{Style, invocation};
use crate::training::DataMeter;

/// Bytes of text that a tokenizer is trained on at most: a seeded sample of a longer text.
const SAMPLE: u64 = 256 << 20;

/// Arguments of `percept tokenizer`.
#[derive(Debug, Args)]
pub(crate) struct TokenizerCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Train a byte-level BPE tokenizer on text
    Train(Train),
    /// Show what a tokenizer does, on a text if one is given
    Inspect(Inspect),
    /// Write a tokenizer in Hugging Face's format, for other programs
    Export(Export),
}

#[derive(Debug, Args)]
#[command(after_help = "For example: percept tokenizer train my-texts/ --vocab 4096 --out tokenizer.json")]
struct Train {
    /// Files or folders of text, records, tables or archives; - for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Tokens in all, with the 256 bytes and the document token
    #[arg(long, value_name = "N", default_value_t = 4096)]
    vocab: usize,
    /// File to write
    #[arg(long, value_name = "FILE", default_value = "tokenizer.json")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct Inspect {
    /// `bytes`, or a tokenizer.json
    tokenizer: String,
    /// Text to cut into tokens
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "For example: percept tokenizer export runs/mine --out tokenizers/mine")]
struct Export {
    /// `bytes`, a tokenizer.json, a World vocabulary, or a run
    tokenizer: String,
    /// Folder to write: tokenizer.json, tokenizer_config.json
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

impl TokenizerCommand {
    pub(crate) fn run(&self, global: &Global) -> Result<()> {
        match &self.action {
            Action::Train(train) => train.run(global),
            Action::Inspect(inspect) => inspect.run(global),
            Action::Export(export) => export.run(global),
        }
    }
}

impl Train {
    fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let config = self.reading.config(&self.paths)?;
        let dataset = Dataset::open(&config, Some(Tokenizer::bytes()), &mut DataMeter::new(terminal))?;
        terminal.say(format!(
            "learning {} from {} of training text",
            human::plural(self.vocab as u64, "token"),
            human::bytes(dataset.size(Split::Train).bytes.min(SAMPLE))
        ));
        let tokenizer = dataset.train_bpe(self.vocab, SAMPLE)?;
        tokenizer.save(&self.out)?;
        terminal.text(format!("{}: {}", self.out.display(), tokenizer.describe()))?;
        terminal.say(format!(
            "next: {} train llp-tiny --data {} --tokenizer {}",
            invocation(),
            self.paths.join(" "),
            self.out.display()
        ));
        terminal.json(&Description::of(&tokenizer))
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Description {
    vocab: usize,
    document_token: u32,
    lossless: bool,
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Vec<Piece>>,
}

/// One token of the text that was given.
#[derive(Debug, Serialize)]
struct Piece {
    id: u32,
    text: String,
}

impl Description {
    fn of(tokenizer: &Tokenizer) -> Self {
        Self {
            vocab: tokenizer.vocab_size(),
            document_token: tokenizer.document_token(),
            lossless: tokenizer.is_lossless(),
            fingerprint: tokenizer.fingerprint().to_string(),
            tokens: None,
        }
    }
}

impl Inspect {
    fn run(&self, global: &Global) -> Result<()> {
        let terminal = global.terminal();
        let tokenizer = Tokenizer::open(&self.tokenizer)?;
        let mut description = Description::of(&tokenizer);
        let row =
            |name: &str, value: String| terminal.text(format!("{} {value}", Style::Bold.out(&format!("{name:<14}"))));
        row("tokens", human::grouped(description.vocab as u64))?;
        row("document token", description.document_token.to_string())?;
        row(
            "lossless",
            if description.lossless {
                "yes"
            } else {
                "no: it changes some texts; whether it keeps yours is seen when it reads them"
            }
            .into(),
        )?;
        row("fingerprint", description.fingerprint.clone())?;
        if let Some(text) = &self.text {
            let pieces = pieces(&tokenizer, text)?;
            for piece in &pieces {
                terminal.text(format!("  {:>6}  {:?}", piece.id, piece.text))?;
            }
            description.tokens = Some(pieces);
        }
        terminal.json(&description)
    }
}

/// What `--json` prints of an export.
#[derive(Debug, Serialize)]
struct Exported<'a> {
    #[serde(serialize_with = "json::path")]
    out: &'a PathBuf,
    vocab: usize,
    document_token: u32,
}

impl Export {
    fn run(&self, global: &Global) -> Result<()> {
        let tokenizer = match Path::new(&self.tokenizer) {
            run if run.is_dir() => RunFolder::new(run).tokenizer()?,
            _ => Tokenizer::open(&self.tokenizer)?,
        };
        tokenizer.export(&self.out)?;
        let terminal = global.terminal();
        terminal.text(format!("{}: {} in Hugging Face's format", self.out.display(), tokenizer.describe()))?;
        let (vocab, document_token) = (tokenizer.vocab_size(), tokenizer.document_token());
        terminal.json(&Exported { out: &self.out, vocab, document_token })
    }
}

fn pieces(tokenizer: &Tokenizer, text: &str) -> Result<Vec<Piece>> {
    let ids = tokenizer.encode(text.as_bytes())?;
    let piece = |(at, &id): (usize, &u32)| {
        let text = tokenizer.decode_after(&ids[..at], &[id]);
        Piece { id, text: String::from_utf8_lossy(&text).into_owned() }
    };
    Ok(ids.iter().enumerate().map(piece).collect())
}
