//! The loop, and what it asks of a task: steps, validation, checkpoints, until all is done or someone asks to stop.
//!
//! It knows no kind of model: [`task::Task`] says what is trained, [`source::Source`] where batches come from,
//! [`ranks::Ranks`] who else trains. [`language`] is the task of language models; [`start`] and [`resume`] are how its runs begin.

mod average;
pub(crate) mod begin;
pub(crate) mod divergence;
mod go_on;
pub(crate) mod language;
pub(crate) mod lessons;
pub(crate) mod masked;
pub(crate) mod objective;
pub(crate) mod observer;
mod optimizer;
pub(crate) mod order_agnostic_source;
pub(crate) mod ranks;
pub(crate) mod resume;
mod run_task;
pub(crate) mod source;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod step;
pub(crate) mod streams;
pub(crate) mod task;
pub(crate) mod text_source;
mod time_limit;
mod trainer;
mod validation;
