//! The models of Percept.
//!
//! A text's way through this crate: [`LanguageModel::embed`] -> [`layer::Block`]s (two
//! [`layer::Sublayer`]s each: a mixer and a channel sublayer) -> norm -> head -> loss. A [`Session`] runs the
//! same blocks token by token on a state.
//!
//! Begin with the examples of [`ModelConfig`], [`LanguageModel`], [`InferenceModel`] and [`Session`]. [`layer::Sublayer`] is what a mixer implements, [`mixer`] lists them,
//! [`properties`] says what a configuration costs and how far it sees; [`weights`] and [`parameters`] reach the weights.
//!
//! The crate knows nothing of files but weights, nothing of text, and nothing of training beyond
//! [`Trainable`]: gradients, and what happens to each weight.

pub mod batch;
pub mod channel;
pub mod config;
pub mod cost;
pub mod decoder;
pub mod encoder;
pub mod gradients;
mod inference_model;
pub mod init;
pub mod language_model;
pub mod layer;
pub mod layers;
pub mod mixer;
pub mod ops;
pub mod options;
pub mod order_agnostic;
pub mod parameters;
pub mod properties;
mod role;
mod rwkv;
pub mod session;
pub mod tensor_file;
mod trainable;
mod training;
pub mod weights;

pub use batch::{Batch, IGNORED, Loss};
pub use config::ModelConfig;
pub use gradients::{Gradients, Recompute};
pub use inference_model::InferenceModel;
pub use language_model::LanguageModel;
pub use layer::{KeyValuePrecision, Mode, Rows};
pub use order_agnostic::OrderAgnostic;
pub use percept_kernels::decode::WeightPrecision;
pub use role::{Role, Training};
pub use session::{Session, WindowSchedule};
pub use trainable::{BatchSize, Learned, Trainable};
