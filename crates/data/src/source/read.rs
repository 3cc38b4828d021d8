//! Inputs as one stream of documents, in pieces of bounded size.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use percept_fault::Result;

use super::decompress::Unpacked;
use super::{Compression, Input, InputKind, LINE_BITS, Remark, SkipReason, Synthetic};
use crate::tokenizer::cut;
use crate::{Binary, Targets};

/// What a document stream consists of: `Begin (Piece | Remark)* (End | Broken | Bad)`, over and over, with remarks between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A document starts: which input it is from, at which place in it ([`super::Names::of`]; 0 where the document is the whole
    /// input), and how many bytes of it are passed over.
    Begin { input: usize, line: u64, from: u64 },
    /// The next bytes of the document.
    Piece(Vec<u8>),
    /// The document is complete, and which of its bytes are targets.
    End { targets: Targets },
    /// The document breaks off here, and why: what follows cannot be read.
    Broken(String),
    /// The document cannot be used, and why.
    Bad(SkipReason, String),
    /// Something about the document that began last, and what.
    Remark(Remark, String),
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
    /// What becomes of files that look binary.
    pub(crate) binary: Binary,
    /// Once true, files cannot be read any more: whoever receives the steps looks at it, too.
    pub(crate) stop: &'a AtomicBool,
    /// Bytes of files read so far (compressed where they are compressed), for progress.
    pub(crate) read: Arc<AtomicU64>,
}

/// Receives the steps.
pub(super) type Sink<'s> = dyn FnMut(Step) -> Flow + 's;

/// Passes a step on, and returns where the receiver has had enough.
macro_rules! send {
    ($documents:expr, $step:expr) => {{
        let step = $step;
        if $documents.send(step)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }};
}
pub(super) use send;

impl<'a> Reading<'a> {
    pub(crate) fn new(inputs: &'a [Input], pieces: Pieces, binary: Binary, stop: &'a AtomicBool) -> Self {
        Self { inputs, pieces, ranges: None, binary, stop, read: Arc::default() }
    }

    /// Sends every document to `sink`, until it breaks.
    pub(crate) fn run(&self, sink: &mut Sink<'_>) -> Flow {
        let mut documents = Documents { reading: self, input: 0, member: 0, document: 0, sink };
        for (input, Input { kind, .. }) in self.inputs.iter().enumerate() {
            (documents.input, documents.member) = (input, 0);
            let flow = match kind {
                InputKind::File { file, reader } => reader.read(file, &mut documents)?,
                InputKind::Synthetic(task) => documents.synthetic(task)?,
                InputKind::Unreadable(cause) => documents.bad(0, SkipReason::Unreadable, cause.clone())?,
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    pub(super) fn piece_length(&self, text: &[u8]) -> usize {
        match self.pieces {
            Pieces::Cut => cut(text),
            Pieces::Whole => text.len(),
        }
    }

    /// A file whose bytes are counted as they are read.
    pub(super) fn file(&self, path: &Path) -> std::io::Result<Counted<'a>> {
        Ok(Counted { file: File::open(path)?, read: self.read.clone(), stop: self.stop })
    }

    /// The decompressed bytes of a file from `start` on.
    pub(super) fn open(&self, path: &Path, compression: Compression, start: u64) -> std::io::Result<Unpacked<'a>> {
        let mut file = self.file(path)?;
        if compression == Compression::None {
            file.file.seek(SeekFrom::Start(start))?;
            return compression.unpack(file);
        }
        let mut unpacked = compression.unpack(file)?;
        std::io::copy(&mut unpacked.by_ref().take(start), &mut std::io::sink())?;
        Ok(unpacked)
    }

    /// Counts bytes that were read by another way.
    #[cfg(feature = "parquet")]
    pub(super) fn passed(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Where a reader puts the documents of one input.
pub(super) struct Documents<'r, 's> {
    pub(super) reading: &'r Reading<'r>,
    input: usize,
    /// Number of the archive's member, from 1; 0 outside of archives.
    member: u64,
    /// Documents so far, of all inputs.
    document: usize,
    sink: &'r mut Sink<'s>,
}

impl Documents<'_, '_> {
    /// What follows is in this member of the archive, counted from 1.
    pub(super) fn enter(&mut self, member: u64) {
        self.member = member;
    }

    /// The bytes to read of the next document.
    pub(super) fn next_range(&mut self) -> Range<u64> {
        let range = match self.reading.ranges {
            Some(ranges) => ranges.get(self.document).cloned().unwrap_or(0..0),
            None => 0..u64::MAX,
        };
        self.document += 1;
        range
    }

    /// The step with which the document at `line` begins.
    pub(super) fn begin(&self, line: u64, from: u64) -> Step {
        Step::Begin { input: self.input, line: (self.member << LINE_BITS) | line, from }
    }

    pub(super) fn send(&mut self, step: Step) -> Flow {
        (self.sink)(step)
    }

    /// A document that is a record: its text is looked for only where it is wanted.
    pub(super) fn record<T: AsRef<[u8]>>(&mut self, line: u64, text: impl FnOnce() -> Result<T, String>) -> Flow {
        let range = self.next_range();
        if range.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        send!(self, self.begin(line, range.start));
        match text() {
            Ok(text) => self.whole(part(text.as_ref(), &range), Targets::ALL),
            Err(cause) => self.send(Step::Bad(SkipReason::BrokenRecord, cause)),
        }
    }

    /// A document of which nothing can be read.
    pub(super) fn bad(&mut self, line: u64, reason: SkipReason, cause: String) -> Flow {
        if self.next_range().is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        send!(self, self.begin(line, 0));
        self.send(Step::Bad(reason, cause))
    }

    /// Says that bytes after the end of the archive were ignored.
    pub(super) fn garbage(&mut self) -> Flow {
        self.send(Step::Remark(Remark::TrailingGarbage, "bytes after its end belong to no archive".into()))
    }

    fn synthetic(&mut self, task: &Synthetic) -> Flow {
        for index in 0..task.documents {
            if self.next_range().is_empty() {
                continue;
            }
            send!(self, self.begin(index + 1, 0));
            let (text, targets) = task.document(index);
            if self.whole(&text, targets)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The rest of a document that is in memory.
    fn whole(&mut self, mut text: &[u8], targets: Targets) -> Flow {
        while !text.is_empty() {
            let (piece, rest) = text.split_at(self.reading.piece_length(text));
            send!(self, Step::Piece(piece.to_vec()));
            text = rest;
        }
        self.send(Step::End { targets })
    }
}

fn part<'t>(text: &'t [u8], range: &Range<u64>) -> &'t [u8] {
    let clamp = |at: u64| usize::try_from(at).map_or(text.len(), |at| at.min(text.len()));
    &text[clamp(range.start)..clamp(range.end)]
}

/// Counts what is read of a file.
pub(super) struct Counted<'a> {
    file: File,
    read: Arc<AtomicU64>,
    stop: &'a AtomicBool,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::other("interrupted"));
        }
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

impl Seek for Counted<'_> {
    fn seek(&mut self, position: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(position)
    }
}
