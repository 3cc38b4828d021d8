//! Documents to a token cache, in one pass and bounded memory.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use percept_fault::{Fault, IoContext, Result};
use rayon::prelude::*;

use super::count::Count;
use super::format::{Meta, Record, Writer};
use super::loss::{Loss, Place, loss};
use super::{Recipe, Statistics};
use crate::progress::go_on;
use crate::source::{Remark, SkipReason, Step};
use crate::tokenizer::BadText;
use crate::{OnError, Phase, Progress, Targets, Tokenizer, Watch};

/// Bytes of text that are encoded at a time, on all cores.
const QUEUE_BYTES: usize = 8 << 20;
/// Steps that are queued at most, for texts of many small documents.
const QUEUE_STEPS: usize = 1 << 16;
/// How often it is looked whether the work is to end, while the tokenizer works.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Tokenizes the inputs of `recipe` into the cache file at `path`.
pub(super) fn build(recipe: &Recipe<'_>, key: &str, path: &Path, watch: &mut dyn Watch<'_>) -> Result<()> {
    let width = if recipe.tokenizer.vocab_size() <= 1 << 16 { 2 } else { 4 };
    let reading = recipe.reading(recipe.ranges);
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
            watch.progress(Progress::Working { phase: Phase::Tokenizing, done, total });
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
        go_on(self.recipe.stop)?;
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
        let (tokenizer, queue) = (self.recipe.tokenizer.clone(), std::mem::take(&mut self.queue));
        // Once a text is known not to come back, the others need not prove that they do.
        let proves = self.loss.is_none();
        let encode_all = move || -> Vec<Work> {
            let queue = queue.into_par_iter();
            queue.map(|(step, place)| encode(&tokenizer, step, proves.then_some(place))).collect()
        };
        let work = unless_stopped(self.recipe.stop, encode_all)?;
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
            Work::Other(Step::End { targets }) => self.end(targets)?,
            Work::Other(Step::Broken(cause)) => self.broken(cause)?,
            Work::Other(Step::Remark(remark, text)) => self.remark(remark, &text),
            Work::Other(Step::Bad(reason, cause)) => self.skip(reason, &cause)?,
        }
        Ok(())
    }

    /// The document breaks off: what was read of it is kept where such documents may be left out.
    fn broken(&mut self, cause: String) -> Result<()> {
        let keeps = self.recipe.on_error == OnError::Skip && self.recipe.edition > 1;
        if !keeps || self.open.bad.is_some() || self.writer.tokens() == self.open.start {
            let (reason, cause) = self.open.bad.take().unwrap_or((SkipReason::Unreadable, cause));
            return self.skip(reason, &cause);
        }
        let after = self.open.from + self.open.count.bytes;
        self.remark(Remark::CutShort, &format!("after {after} bytes: {cause}"));
        self.end(Targets::ALL)
    }

    fn remark(&mut self, remark: Remark, text: &str) {
        let example = format!("{}: {text}", self.recipe.place(self.open.input, self.open.line));
        self.statistics.remark(remark, example);
    }

    fn end(&mut self, targets: Targets) -> Result<()> {
        let Open { input, line, start, count, loss, bad, .. } = std::mem::take(&mut self.open);
        let tokens = self.writer.tokens() - start;
        let unusable = match bad {
            Some(bad) => Some(bad),
            None if targets.before(tokens as usize) == 0 => Some((SkipReason::Empty, "it has no text".into())),
            None if count.bytes < self.recipe.min_bytes => Some((
                SkipReason::TooShort,
                format!("its {} bytes are fewer than data.min_bytes = {}", count.bytes, self.recipe.min_bytes),
            )),
            None => None,
        };
        // What is said next may still be about this document.
        self.open = Open { input, line, start, ..Open::default() };
        if let Some((reason, cause)) = unusable {
            return self.skip(reason, &cause);
        }
        self.loss = self.loss.take().or(loss);
        let end = self.writer.tokens();
        // Only the text of targets counts. Context comes from synthetic tasks alone, which are ASCII and have no blanks.
        let [bytes, chars] = [count.bytes, count.chars].map(|count| targets.before(count as usize) as u64);
        let record = Record { end, targets, bytes, words: count.words, chars, input: input as u64, line };
        self.statistics.documents += 1;
        self.statistics.bytes += bytes;
        self.statistics.words += count.words;
        self.statistics.chars += chars;
        self.writer.record(record).at("write", self.path)
    }

    /// Leaves the open document out, or stops because of it.
    fn skip(&mut self, reason: SkipReason, cause: &str) -> Result<()> {
        let message = format!("{}: {cause}", self.recipe.place(self.open.input, self.open.line));
        let harmless = matches!(reason, SkipReason::Empty | SkipReason::TooShort | SkipReason::LooksBinary);
        if self.recipe.on_error == OnError::Stop && !harmless {
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
    if !tokenizer.takes_any_bytes()
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

/// What `work` gives, or a fault as soon as the work is to end: it is then left alone and comes to nothing.
fn unless_stopped<T: Send + 'static>(stop: &AtomicBool, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    // A thread of the pool must not wait for the pool.
    if rayon::current_thread_index().is_some() {
        return Ok(work());
    }
    let (sender, receiver) = mpsc::channel();
    rayon::spawn(move || {
        let done = catch_unwind(AssertUnwindSafe(work));
        // Nobody receives it where the work was to end.
        sender.send(done).ok();
    });
    loop {
        match receiver.recv_timeout(LOOK_EVERY) {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(RecvTimeoutError::Timeout) => go_on(stop)?,
            Err(RecvTimeoutError::Disconnected) => return Err(Fault::internal("a thread of the tokenizer is gone")),
        }
    }
}

/// What to do about a document that stopped the work.
fn hint(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::NotUtf8 => {
            "convert it to UTF-8, leave it out (data.exclude, or data.on_error = \"skip\"), or use data.tokenizer = \"bytes\", which reads any file"
        }
        SkipReason::Binary => {
            "leave such files out (data.binary = \"skip\", or data.exclude), or use data.tokenizer = \"bytes\", which reads any file"
        }
        SkipReason::BrokenRecord => {
            "mend the record, name the key of the text in data.text_key, leave the file out (data.exclude), or skip such records: data.on_error = \"skip\""
        }
        SkipReason::Unreadable | SkipReason::Empty | SkipReason::TooShort | SkipReason::LooksBinary => {
            "check the file and its permissions, or leave it out: data.exclude, or data.on_error = \"skip\""
        }
    }
}
