//! The suite: what models can compute, directly and after writing out the running state (chain of thought).
//!
//! Each problem and mode is a [comparison](crate::Lineup) of its own, in a folder of its own: text, budget, seeds and resumption are its. What is
//! added is an examination of every trained run, in questions as long as those of training and longer ones, and one page over all.

mod exam;
mod line;
mod page;
mod parts;
mod plan;
mod result;
mod run;
mod words;

use std::path::Path;

use percept_fault::Result;

use crate::Spec;

pub use crate::comparison::Questions;
pub use line::{Line, Shares};
pub use page::{suite_html, write_suite_page};
pub use parts::SuitePart;
pub use plan::Suite;
pub use result::{ExamAt, LengthChance, ModeResult, ModelExams, REACHED, RunExam, SuiteReport, TaskResult};
pub use run::{SuiteEnded, SuiteEvent};
pub use words::suite_words;

/// The report's name in the folder of a suite.
pub const SUITE: &str = "suite.json";
/// The page's.
pub const SUITE_HTML: &str = "suite.html";

/// A suite that takes some minutes: one model, which learns parity of up to 20 bits with a chain of thought and not without.
///
/// # Errors
/// None but for a mistake in the file that ships with the program.
pub fn quick() -> Result<Spec> {
    Spec::parse(include_str!("quick.toml"), Path::new("quick.toml"))
}
