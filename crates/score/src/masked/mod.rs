//! Scoring of encoders, which tell masked tokens.
//!
//! A document is cut into sequences of at most the tokens that the encoder knows positions for; each begins with what is before it, the document
//! token or the last token of the sequence before, and scores the others.
//!
//! - **Masked perplexity**: exp of the mean of -ln p over the tokens that are asked. Words are chosen, and their tokens replaced, as in
//!   training; the chance is a function of the sequence's own tokens, so that every encoder with this context and tokenizer is asked the same,
//!   whatever is scored with it.
//! - **Pseudo-log-likelihood** (arXiv 1910.14659): the sum over all tokens of ln p of each, it alone being masked.

mod masker;
mod score;

pub use masker::Masker;
pub use score::{MaskedScore, PseudoScore, masked_score, pseudo_score};
