//! Parity with the code of other authors, or with what was derived from it, for the rivals of LLP.
//!
//! Fixtures come from `shared/fixtures` beside the repository, and from the folder in `PERCEPT_RIVAL_FIXTURES`, which holds folders
//! of the same layout; without either the tests say that they were skipped. Files are told apart by their metadata: `model` and
//! `kind` say what they are, the rest gives the configuration. Each model has its module, which asks [`fixture`] for its own.

mod combiner;
mod fixture;
mod groupbert;
mod rwkv;
mod stream;
mod tost;
