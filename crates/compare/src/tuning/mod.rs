//! The tuner: which values of these configuration keys give the best model, for how much training?
//!
//! A way through it: [`TuneSpec`] says what to search; [`Tuning`] reads the text; [`Tuning::run`] trains one trial after another, each in a run
//! folder, and tells the algorithm ([`percept_tune::Search`]) what came of it. A run is that of a comparison: begun, gone on with, or found finished.

mod candidate;
#[cfg(test)]
mod fixtures;
mod keys;
mod page;
mod preview;
mod ready;
mod result;
mod run;
mod spec;
mod tabulate;
mod words;

pub use page::{tune_html, write_tune_page};
pub use preview::TunePreview;
pub use ready::Tuning;
pub use result::{AxisInfo, Status, TrialResult, TuneReport, shown};
pub use run::TuneEnded;
pub use spec::{Metric, Strategy, TuneSpec};
pub use tabulate::{SPACE, TABLE};
pub use words::tune_words;

/// The report's name in the folder of a search.
pub const TUNE: &str = "tune.json";
