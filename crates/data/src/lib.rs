//! From files to batches of tokens.
//!
//! A text's way: [`SourceConfig`] names files, which are read as a stream of documents; a [`Tokenizer`] turns them into a
//! [`Corpus`], a memory-mapped cache of tokens; [`Dataset`] splits its documents into training, validation and test; and
//! [`Windows`] draws training batches from them in a seeded order that resumes exactly. Evaluation reads whole documents
//! ([`Dataset::evaluation`]).
//!
//! Begin with the example of [`Dataset`], from files to splits, and of [`Windows`], from there to batches. [`Watch`] tells how far long work has got, and
//! stops it; [`Task`] and [`Problem`] make up texts whose answers are known.
//!
//! This crate knows nothing of models.

#[cfg(target_endian = "big")]
compile_error!("the token cache is little-endian and is mapped as it is");

mod config;
mod corpus;
mod dataset;
mod identity;
mod mark;
mod part;
mod problem;
mod progress;
mod source;
mod stream;
mod targets;
#[cfg(test)]
mod testing;
mod tokenizer;
mod windows;

pub use config::{Binary, DataConfig, Format, OnError, Packing, SourceConfig, SplitConfig, check_apart};
pub use corpus::{Corpus, Document, DocumentTokens, Statistics, folder_in_cache};
pub use dataset::{Dataset, Split, SplitSize};
pub use identity::Identity;
pub use mark::{Made, Marked, holds_others, mark_folder};
pub use part::Part;
pub use problem::{Class, Mode, Problem, Worked};
pub use progress::{Phase, Progress, Watch};
pub use source::{Answer, Exercise, Group, PassedOver, Remark, SkipReason, Task, keep_streams};
pub use stream::is_stream;
pub use targets::Targets;
pub use tokenizer::{Detokenizer, Tokenizer, WordParts};
pub use windows::{IGNORED, SamplerPosition, Share, TokenBatch, WindowOptions, Windows};
