//! Order-agnostic models: from each position all tokens around it are predicted (COrAL, Xie et al., arXiv 2410.09675).
//!
//! All layers but the last are what they are. In the last one, rotary attention, the query of row i (a *source*, which has seen
//! y_0 .. y_i) is rotated to the position p that it asks for (a *target*), at an offset p - i in -b ..= f:
//!
//! a_ip = softmax over j <= i of ((R(p) q_i) (R(j) k_j) / sqrt(e)) v_j, then output projection, residual, channel sublayer, norm and head
//!
//! Keys and values are computed once; only p - j enters a score. Offset 1 is the next token, and what such a model predicts where nothing
//! else is asked for ([`crate::config::Objective`]); offsets up to 0 predict again what the source has seen, perhaps wrongly.
//!
//! - [`Lesson`]: which sources are asked for which targets of a batch
//! - [`corrupt`]: the text with errors from which backward offsets learn
//! - [`OrderAgnostic`]: the model as it is trained, on an [`OrderAgnosticBatch`]
//! - [`crate::Session::feed_asking`]: the same of a stream

mod answers;
mod batch;
mod corruption;
mod lesson;
mod samples;
mod trained;

pub use batch::{OrderAgnosticBatch, Windows};
pub use corruption::{Corrupted, Draws, Seeded, corrupt};
pub use lesson::{Asked, Lesson};
pub use samples::Samples;
pub use trained::OrderAgnostic;
