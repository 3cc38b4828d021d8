//! Parity of order-agnostic models with the authors' code (COrAL, arXiv 2410.09675): logits, loss and gradients of the head, training
//! targets and the corruption of texts. Parity of decoding is a test of `percept-generate`.
//!
//! Fixtures come from the folder in `PERCEPT_CORAL_FIXTURES`, or from `shared/fixtures/coral` beside the repository; without either the
//! tests say that they were skipped.

mod fixture;
mod head;
mod reference;
mod targets;
