//! The comparison of several models under equal conditions: which of these should I train, at what cost?
//!
//! A way through it: [`Spec`] says what to compare; [`Lineup`] reads the text and configures every model equal in all that must
//! be equal; [`Lineup::run`] trains, scores the test text once at the end, and assembles a [`Comparison`] from what the
//! folder holds.

mod assemble;
mod budget;
mod clock;
pub(crate) mod contender;
mod curve;
mod engine;
mod event;
#[cfg(test)]
mod fixtures;
pub(crate) mod halt;
mod judge;
mod lineup;
pub(crate) mod machine;
mod matching;
mod parts;
mod peak_memory;
mod preview;
mod questions;
mod result;
mod runs;
mod spec;
mod speed;
mod stage;
pub(crate) mod steps;
mod sweep;
pub(crate) mod task;
mod test_text;
pub(crate) mod text;

pub use contender::Contender;
pub use engine::{Ended, REPORT};
pub use event::Event;
pub use lineup::{Lineup, Purpose};
pub use matching::{TOLERANCE, matched};
pub use parts::{Part, PartState};
pub(crate) use parts::{check_number, check_over};
pub use preview::{ModelPreview, Preview};
pub use questions::Questions;
pub use result::*;
pub use spec::{Finalists, ModelSpec, Optimizer, Parameters, Spec};
pub use stage::Stage;
pub use sweep::Sweep;
pub(crate) use task::{read_json, write_json};
