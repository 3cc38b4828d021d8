//! What long work tells its caller while it runs, and how the caller stops it.

use std::sync::atomic::{AtomicBool, Ordering};

use percept_fault::{Fault, Result};

/// The part of the work that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Text comes from a pipe or another source that is no file.
    Receiving,
    /// Content of the files is hashed, to find or name their token cache.
    Hashing,
    /// Text becomes tokens.
    Tokenizing,
}

impl Phase {
    /// A word for a progress line.
    pub fn label(self) -> &'static str {
        match self {
            Phase::Receiving => "receiving",
            Phase::Hashing => "hashing",
            Phase::Tokenizing => "tokenizing",
        }
    }
}

/// One report from long work. Callers show it or ignore it; nothing depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// `done` of `total` bytes of input files (compressed bytes where they are compressed).
    Working {
        /// What is being done.
        phase: Phase,
        /// Bytes done.
        done: u64,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
    /// Something the user should read: a damaged cache that is rebuilt, skipped documents.
    Note(String),
    /// Something the user should not miss: text that is hardly what was meant.
    Warning(String),
}

/// Whoever waits for long work: is told how it goes, and may stop it. Any `FnMut(Progress)` is one that never does.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use percept_data::{Corpus, DataConfig, Progress, Tokenizer, Watch};
///
/// /// Gives up once somebody has pressed the button.
/// struct Button<'a> {
///     pressed: &'a AtomicBool,
/// }
///
/// impl<'a> Watch<'a> for Button<'a> {
///     fn progress(&mut self, progress: Progress) {
///         if let Progress::Warning(text) = progress {
///             eprintln!("{text}");
///         }
///     }
///
///     fn stop(&self) -> &'a AtomicBool {
///         self.pressed
///     }
/// }
///
/// # let cache = tempfile::tempdir().unwrap();
/// # let config = DataConfig { cache: Some(cache.path().into()), ..DataConfig::from_paths(["synthetic:copy"]) };
/// let pressed = AtomicBool::new(false);
/// pressed.store(true, Ordering::Relaxed);
/// let fault = Corpus::open(&config, &Tokenizer::bytes(), &mut Button { pressed: &pressed }).unwrap_err();
/// assert_eq!(fault.exit_code(), 130);
/// ```
pub trait Watch<'a> {
    /// One report.
    fn progress(&mut self, progress: Progress);

    /// Once true, the work ends soon, with a fault of kind [`percept_fault::Kind::Interrupted`] and nothing half written.
    fn stop(&self) -> &'a AtomicBool {
        static NEVER: AtomicBool = AtomicBool::new(false);
        &NEVER
    }
}

impl<'a, F: FnMut(Progress)> Watch<'a> for F {
    fn progress(&mut self, progress: Progress) {
        self(progress);
    }
}

/// A fault where the work is to end.
pub(crate) fn go_on(stop: &AtomicBool) -> Result<()> {
    match stop.load(Ordering::Relaxed) {
        true => Err(Fault::interrupted("interrupted while reading text; nothing is left half written")
            .hint("the same command starts over")),
        false => Ok(()),
    }
}
