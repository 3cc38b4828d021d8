//! Documents to a token cache, in one pass and bounded memory.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;

use percept_fault::{Fault, IoContext, Result};
use rayon::prelude::*;

use super::count::Count;
use super::format::{Meta, Record, Writer};
use super::loss::{Loss, Place, loss};
use super::{Recipe, Statistics};
use crate::source::{Reading, SkipReason, Step};
use crate::tokenizer::BadText;
use crate::{OnError, Phase, Progress, Tokenizer};

/// Bytes of text that are encoded at a time, on all cores.
const QUEUE_BYTES: usize = 8 << 20;
/// Steps that are queued at most, for texts of many small documents.
const QUEUE_STEPS: usize = 1 << 16;

/// Tokenizes the inputs of `recipe` into the cache file at `path`.
pub(super) fn build(recipe: &Recipe<'_>, key: &str, path: &Path, report: &mut dyn FnMut(Progress)) -> Result<()> {
    let width = if recipe.tokenizer.vocab_size() <= 1 << 16 { 2 } else { 4 };
    let reading = Reading { ranges: recipe.ranges, ..Reading::new(recipe.inputs, recipe.pieces()) };
    let total = recipe.bytes();
    let mut builder = Builder {
        recipe,
        path,
        writer: Writer::new(path, width)?,
        queue: Vec::new(),
        queued: 0,
        open: Open::default(),
        statistics: Statistics::default(),
        place: Place::First,
        loss: None,
    };
    let _ = reading.run(&mut |step| {
        if builder.push(step)? == Pushed::Encoded {
            let done = reading.read.load(Ordering::Relaxed);
            report(Progress::Working { phase: Phase::Tokenizing, done, total });
        }
        Ok(ControlFlow::Continue(()))
    })?;
    builder.flush()?;
    let meta = Meta {
        key: key.into(),
        width,
        vocab_size: recipe.tokenizer.vocab_size(),
        document_token: recipe.tokenizer.document_token(),
        lossless: builder.loss.is_none(),
        loss: builder.loss,
        statistics: Statistics { tokens: builder.writer.tokens(), ..builder.statistics },
    };
    builder.writer.finish(path, &meta)
}

struct Builder<'a> {
    recipe: &'a Recipe<'a>,
    path: &'a Path,
    writer: Writer,
    /// What is to be encoded, and where in its document that stands.
    queue: Vec<(Step, Place)>,
    queued: usize,
    /// Where the next piece stands.
    place: Place,
    open: Open,
    statistics: Statistics,
    /// The first place where the text of a document that is kept does not come back.
    loss: Option<Loss>,
}

/// The document that is being written.
#[derive(Default)]
struct Open {
    input: usize,
    line: u64,
    /// Bytes of the document before the part that is read.
    from: u64,
    /// Tokens of the documents before.
    start: u64,
    count: Count,
    loss: Option<Loss>,
    bad: Option<(SkipReason, String)>,
}

#[derive(PartialEq)]
enum Pushed {
    Queued,
    Encoded,
}

/// A step with its text encoded.
enum Work {
    Piece { tokens: Vec<u32>, count: Count, loss: Option<Loss> },
    BadPiece { bad: BadText, bytes: u64 },
    Other(Step),
}

impl Builder<'_> {
    fn push(&mut self, step: Step) -> Result<Pushed> {
        let place = match &step {
            Step::Piece(piece) => {
                self.queued += piece.len();
                std::mem::replace(&mut self.place, Place::Later)
            }
            _ => {
                self.place = Place::First;
                Place::First
            }
        };
        self.queue.push((step, place));
        if self.queued < QUEUE_BYTES && self.queue.len() < QUEUE_STEPS {
            return Ok(Pushed::Queued);
        }
        self.flush()?;
        Ok(Pushed::Encoded)
    }

    fn flush(&mut self) -> Result<()> {
        let tokenizer = self.recipe.tokenizer;
        let queue = std::mem::take(&mut self.queue).into_par_iter();
        // Once a text is known not to come back, the others need not prove that they do.
        let work: Vec<Work> = match self.loss {
            None => queue.map(|(step, place)| encode(tokenizer, step, Some(place))).collect(),
            Some(_) => queue.map(|(step, _)| encode(tokenizer, step, None)).collect(),
        };
        self.queued = 0;
        work.into_iter().try_for_each(|work| self.apply(work))
    }

    fn apply(&mut self, work: Work) -> Result<()> {
        match work {
            Work::Other(Step::Begin { input, line, from }) => {
                self.open = Open { input, line, from, start: self.writer.tokens(), ..Open::default() };
            }
            Work::Piece { tokens, count, loss } if self.open.bad.is_none() => {
                let Open { input, line, from, .. } = self.open;
                let at = from + self.open.count.bytes;
                self.open.loss = self.open.loss.take().or(loss.map(|loss| loss.placed(input as u64, line, at)));
                self.open.count.append(count);
                self.writer.write(&tokens).at("write", self.path)?;
            }
            Work::BadPiece { bad, bytes } if self.open.bad.is_none() => {
                let reason = match bad {
                    BadText::Utf8 { .. } | BadText::Tokenizer(_) => SkipReason::NotUtf8,
                    BadText::Nul { .. } => SkipReason::Binary,
                };
                let cause = bad.after(self.open.from + self.open.count.bytes).to_string();
                self.open.count.bytes += bytes;
                self.open.bad = Some((reason, cause));
            }
            Work::Piece { .. } | Work::BadPiece { .. } | Work::Other(Step::Piece(_)) => {}
            Work::Other(Step::End { scored_from }) => self.end(scored_from)?,
            Work::Other(Step::Bad(reason, cause)) => self.skip(reason, &cause)?,
        }
        Ok(())
    }

    fn end(&mut self, scored_from: u64) -> Result<()> {
        let Open { input, line, start, count, loss, bad, .. } = std::mem::take(&mut self.open);
        let tokens = self.writer.tokens() - start;
        let unusable = match bad {
            Some(bad) => Some(bad),
            None if tokens <= scored_from => Some((SkipReason::Empty, "it has no text".into())),
            None if count.bytes < self.recipe.min_bytes => Some((
                SkipReason::TooShort,
                format!("its {} bytes are fewer than data.min_bytes = {}", count.bytes, self.recipe.min_bytes),
            )),
            None => None,
        };
        if let Some((reason, cause)) = unusable {
            self.open = Open { input, line, start, ..Open::default() };
            return self.skip(reason, &cause);
        }
        self.loss = self.loss.take().or(loss);
        let end = self.writer.tokens();
        // Only the text of targets counts. Context comes from synthetic tasks alone, which are ASCII and have no blanks.
        let (bytes, chars) = (count.bytes - scored_from, count.chars - scored_from);
        let record = Record { end, scored_from, bytes, words: count.words, chars, input: input as u64, line };
        self.statistics.documents += 1;
        self.statistics.bytes += bytes;
        self.statistics.words += count.words;
        self.statistics.chars += chars;
        self.writer.record(record).at("write", self.path)
    }

    /// Leaves the open document out, or stops because of it.
    fn skip(&mut self, reason: SkipReason, cause: &str) -> Result<()> {
        let message = format!("{}: {cause}", self.recipe.place(self.open.input, self.open.line));
        if self.recipe.on_error == OnError::Stop && reason != SkipReason::TooShort {
            return Err(Fault::environment(message).hint(hint(reason)));
        }
        self.statistics.skip(reason, message);
        self.writer.truncate(self.open.start).at("write", self.path)
    }
}

/// `check`: where the text stands, if it is to be compared with what comes back.
fn encode(tokenizer: &Tokenizer, step: Step, check: Option<Place>) -> Work {
    let Step::Piece(text) = step else { return Work::Other(step) };
    let bytes = text.len() as u64;
    if !tokenizer.is_bytes()
        && let Some(offset) = text.iter().position(|&byte| byte == 0)
    {
        return Work::BadPiece { bad: BadText::Nul { offset: offset as u64 }, bytes };
    }
    match tokenizer.encode_piece(&text) {
        Ok(tokens) => Work::Piece {
            count: Count::of(&text),
            loss: check.and_then(|place| loss(tokenizer, &text, &tokens, place)),
            tokens,
        },
        Err(bad) => Work::BadPiece { bad, bytes },
    }
}

/// What to do about a document that stopped the work.
fn hint(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Empty => "remove it, name it in data.exclude, or skip such documents: data.on_error = \"skip\"",
        SkipReason::NotUtf8 | SkipReason::Binary => {
            "convert it to UTF-8, leave it out (data.exclude, or data.on_error = \"skip\"), or use data.tokenizer = \"bytes\", which reads any file"
        }
        SkipReason::BrokenRecord => {
            "mend the line, name the key of the text in data.text_key, or skip such records: data.on_error = \"skip\""
        }
        SkipReason::Unreadable | SkipReason::TooShort => {
            "check the file and its permissions, or leave it out: data.exclude, or data.on_error = \"skip\""
        }
    }
}
