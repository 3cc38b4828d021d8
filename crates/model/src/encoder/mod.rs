//! Bidirectional encoders that learn to tell masked tokens: GroupBERT (Chelombiev et al., arXiv 2106.05822) and BERT (Devlin et al.,
//! arXiv 1810.04805).
//!
//! A room of its own: an encoder sees the whole sequence, so it is no language model, has no stream and no state. With the rest of the
//! crate it shares layers, operations and [`crate::Trainable`].
//!
//! A sequence's way: words + positions (+ types) -> norm -> [`Layer`]s of [`Sublayer`]s -> norm (where the sublayers have theirs
//! before them) -> at the masked positions dense, GELU, norm, and the words again as output matrix.
//!
//! - [`EncoderConfig`]: the configuration
//! - [`Sequences`]: what is read, with padding; [`MaskedBatch`]: with the positions that are asked and what stood there
//! - [`Masking`]: which tokens are asked, and what stands in their place
//! - [`Encoder`]: the model; it is trained on masked batches
//! - [`EncoderProperties`]: weights and work, by formula

mod attention;
mod batch;
mod config;
mod convolution;
mod feed_forward;
mod init;
mod layer;
mod masking;
mod model;
mod padding;
mod properties;
mod training;

pub use attention::SelfAttention;
pub use batch::{MaskedBatch, Sequences};
pub use config::{EncoderConfig, LayerKind, NormPlace};
pub use convolution::Convolution;
pub use feed_forward::{FeedForward, GroupedFeedForward};
pub use layer::{AnySublayer, Layer, Sublayer};
pub use masking::Masking;
pub use model::{Embeddings, Encoder, Head};
pub use padding::Padding;
pub use properties::EncoderProperties;
