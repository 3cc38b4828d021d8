//! Inputs as one stream of documents, in pieces of bounded size.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use percept_fault::Result;

use super::{Input, InputKind, SkipReason, Stamp, Synthetic, record};
use crate::tokenizer::{LOOKAHEAD, cut};

/// Longest line of a `.jsonl` file, so that a file that is none does not fill the memory.
const LONGEST_LINE: u64 = 1 << 30;
/// Bytes read at a time.
const BUFFER: usize = 1 << 20;

/// What a document stream consists of: `Begin Piece* (End | Bad)`, over and over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A document starts: which input it is from, at which line (from 1; 0 where the document is the whole input), and how
    /// many bytes of it are passed over.
    Begin { input: usize, line: u64, from: u64 },
    /// The next bytes of the document.
    Piece(Vec<u8>),
    /// The document is complete; its first `scored_from` bytes are context only.
    End { scored_from: u64 },
    /// The document cannot be used, and why.
    Bad(SkipReason, String),
}

/// What a reader of the stream answers: go on, stop here, or a fault.
pub(crate) type Flow = Result<ControlFlow<()>>;

/// Whether documents come in pieces or whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// In the pieces of [`cut`].
    Cut,
    /// In one piece each.
    Whole,
}

/// A pass over inputs.
#[derive(Debug, Clone)]
pub(crate) struct Reading<'a> {
    pub(crate) inputs: &'a [Input],
    pub(crate) pieces: Pieces,
    /// The bytes to read of each document, in order of the stream; `None`: all. An empty range leaves the document out.
    pub(crate) ranges: Option<&'a [Range<u64>]>,
    /// Bytes of files read so far (compressed where they are compressed), for progress.
    pub(crate) read: Arc<AtomicU64>,
}

type Sink<'s> = dyn FnMut(Step) -> Flow + 's;

/// Passes a step on, and returns where the receiver has had enough.
macro_rules! send {
    ($sink:expr, $step:expr) => {
        if $sink($step)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    };
}

impl<'a> Reading<'a> {
    pub(crate) fn new(inputs: &'a [Input], pieces: Pieces) -> Self {
        Self { inputs, pieces, ranges: None, read: Arc::default() }
    }

    /// Sends every document to `sink`, until it breaks.
    pub(crate) fn run(&self, sink: &mut Sink<'_>) -> Flow {
        let mut document = 0;
        for (input, Input { kind, .. }) in self.inputs.iter().enumerate() {
            let begin = |line, from| Step::Begin { input, line, from };
            let flow = match kind {
                InputKind::Text(file) => {
                    let range = self.range(&mut document);
                    self.text(file, begin(0, range.start), range, sink)?
                }
                InputKind::Records { file, key } => self.records(file, key, &begin, &mut document, sink)?,
                InputKind::Synthetic(task) => self.synthetic(task, &begin, &mut document, sink)?,
                InputKind::Unreadable(cause) => {
                    self.range(&mut document);
                    send!(sink, begin(0, 0));
                    sink(Step::Bad(SkipReason::Unreadable, cause.clone()))?
                }
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The range of the next document.
    fn range(&self, document: &mut usize) -> Range<u64> {
        let range = match self.ranges {
            Some(ranges) => ranges.get(*document).cloned().unwrap_or(0..0),
            None => 0..u64::MAX,
        };
        *document += 1;
        range
    }

    fn text(&self, file: &Stamp, begin: Step, range: Range<u64>, sink: &mut Sink<'_>) -> Flow {
        if range.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        send!(sink, begin);
        let unreadable = |error: std::io::Error| Step::Bad(SkipReason::Unreadable, error.to_string());
        let mut reader = match open(&file.path, range, &self.read) {
            Ok(reader) => reader,
            Err(error) => return sink(unreadable(error)),
        };
        let (mut buffer, mut ended) = (Vec::new(), false);
        loop {
            while !ended && (buffer.len() < LOOKAHEAD || self.pieces == Pieces::Whole) {
                match reader.by_ref().take(BUFFER as u64).read_to_end(&mut buffer) {
                    Ok(read) => ended = read == 0,
                    Err(error) => return sink(unreadable(error)),
                }
            }
            let mut start = 0;
            while start < buffer.len() && (ended || buffer.len() - start >= LOOKAHEAD) {
                let length = self.piece_length(&buffer[start..]);
                send!(sink, Step::Piece(buffer[start..start + length].to_vec()));
                start += length;
            }
            buffer.drain(..start);
            if ended {
                return sink(Step::End { scored_from: 0 });
            }
        }
    }

    fn records(
        &self,
        file: &Stamp,
        key: &str,
        begin: &dyn Fn(u64, u64) -> Step,
        document: &mut usize,
        sink: &mut Sink<'_>,
    ) -> Flow {
        let bad = |error: std::io::Error| Step::Bad(SkipReason::Unreadable, error.to_string());
        let mut lines = match open(&file.path, 0..u64::MAX, &self.read) {
            Ok(reader) => BufReader::with_capacity(BUFFER, reader),
            Err(error) => {
                send!(sink, begin(0, 0));
                return sink(bad(error));
            }
        };
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            match lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(read) if read as u64 == LONGEST_LINE => {
                    send!(sink, begin(number, 0));
                    return sink(Step::Bad(SkipReason::BrokenRecord, "the line is longer than 1 GiB".into()));
                }
                Ok(_) => {}
                Err(error) => {
                    send!(sink, begin(number, 0));
                    return sink(bad(error));
                }
            }
            let json = line.strip_prefix(b"\xef\xbb\xbf".as_slice()).unwrap_or(&line).trim_ascii();
            if json.is_empty() {
                continue;
            }
            let range = self.range(document);
            if range.is_empty() {
                continue;
            }
            send!(sink, begin(number, range.start));
            let flow = match record::text(json, key) {
                Ok(text) => self.whole(part(text.as_bytes(), &range), 0, sink)?,
                Err(cause) => sink(Step::Bad(SkipReason::BrokenRecord, cause))?,
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn synthetic(
        &self,
        task: &Synthetic,
        begin: &dyn Fn(u64, u64) -> Step,
        document: &mut usize,
        sink: &mut Sink<'_>,
    ) -> Flow {
        for index in 0..task.documents {
            if self.range(document).is_empty() {
                continue;
            }
            send!(sink, begin(index + 1, 0));
            let document = task.document(index);
            if self.whole(&document.text, document.scored_from as u64, sink)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The rest of a document that is in memory.
    fn whole(&self, mut text: &[u8], scored_from: u64, sink: &mut Sink<'_>) -> Flow {
        while !text.is_empty() {
            let (piece, rest) = text.split_at(self.piece_length(text));
            send!(sink, Step::Piece(piece.to_vec()));
            text = rest;
        }
        sink(Step::End { scored_from })
    }

    fn piece_length(&self, text: &[u8]) -> usize {
        match self.pieces {
            Pieces::Cut => cut(text),
            Pieces::Whole => text.len(),
        }
    }
}

fn part<'t>(text: &'t [u8], range: &Range<u64>) -> &'t [u8] {
    let clamp = |at: u64| usize::try_from(at).map_or(text.len(), |at| at.min(text.len()));
    &text[clamp(range.start)..clamp(range.end)]
}

/// The decompressed bytes `range` of a file.
fn open(path: &Path, range: Range<u64>, read: &Arc<AtomicU64>) -> std::io::Result<Box<dyn Read>> {
    let mut file = File::open(path)?;
    let length = range.end - range.start;
    let counted = |file| Counted { file, read: read.clone() };
    let ending = path.extension().and_then(OsStr::to_str).map(str::to_lowercase);
    let mut reader: Box<dyn Read> = match ending.as_deref() {
        Some("gz") => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(BUFFER, counted(file)))),
        Some("zst") => Box::new(zstd::Decoder::new(counted(file))?),
        _ => {
            file.seek(SeekFrom::Start(range.start))?;
            return Ok(Box::new(counted(file).take(length)));
        }
    };
    std::io::copy(&mut reader.by_ref().take(range.start), &mut std::io::sink())?;
    Ok(Box::new(reader.take(length)))
}

/// Counts what is read of a file.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => {
                    self.read.fetch_add(*result.as_ref().unwrap_or(&0) as u64, Ordering::Relaxed);
                    return result;
                }
            }
        }
    }
}
