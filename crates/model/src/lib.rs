//! The models of Percept.
//!
//! A text's way through this crate: [`LanguageModel::embed`] -> [`block::Block`]s (a
//! [`mixer::Mixer`] and a feed-forward sublayer each) -> norm -> head -> loss. A [`Session`] runs the
//! same blocks token by token on a state.
//!
//! The crate knows nothing of files but weights, nothing of text, and nothing of training beyond
//! gradients.

pub mod batch;
pub mod block;
pub mod config;
pub mod cost;
pub mod decoder;
pub mod gradients;
pub mod init;
pub mod language_model;
pub mod layers;
mod limits;
pub mod mixer;
pub mod ops;
pub mod parameters;
pub mod properties;
pub mod rows;
pub mod schedule;
pub mod session;
pub mod state;
pub mod weights;

pub use batch::{Batch, IGNORED, Loss};
pub use config::ModelConfig;
pub use gradients::{Gradients, Recompute};
pub use language_model::LanguageModel;
pub use percept_kernels::decode::WeightPrecision;
pub use rows::{Mode, Rows};
pub use session::{Session, WindowSchedule};
