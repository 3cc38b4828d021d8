//! Percept: language models with bounded memory, from the Perceiver family.
//!
//! This crate is the facade: it re-exports what an application needs, so that one dependency is
//! enough. The program `percept` is built from the same parts, in a package of its own.
//!
//! - [`model`]: configurations, models and their running state ([`model::Session`])
//! - [`data`]: sources, tokenizers, the token cache and the window sampler
//! - [`train`]: presets, run folders, the training loop
//! - [`generate`]: the next token from a distribution, and text from sessions
//! - [`score`]: perplexities under a stated protocol, suites of what a model does with its context, n-gram baselines
//! - [`verify`]: whether a model keeps its promises: causality, streaming, state, reach
//! - [`plan`]: operations, memory and time of a configuration, before anything runs
//! - [`compare`]: several models on one text under equal conditions, and the report of it
//! - [`tune`]: search of hyperparameters, and how well the methods do it
//! - [`chart`]: charts as SVG
//! - [`files`] and [`random`]: files that are complete or absent, and seeded numbers
//! - [`Fault`]: the one error type, with a hint and an exit code
//!
//! Each of them begins with what is where, and its types have examples. From text to a trained model, what it is worth, and what it writes:
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::AtomicBool;
//! use percept::generate::{GenerationConfig, generate};
//! use percept::model::Session;
//! use percept::score::{Limits, MemoryTexts, ModelScorer, Protocol, score};
//! use percept::train::{Event, Which, load_run, resolve_preset, train};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let (book, run) = (folder.path().join("book.txt"), folder.path().join("run"));
//! # std::fs::write(&book, "It was a dark and stormy night; the rain fell in torrents.\n".repeat(50)).unwrap();
//! let mut config = resolve_preset("llp-tiny")?;
//! config.data = percept::data::DataConfig::from_paths([book.display().to_string()]);
//! config.train.steps = 4;
//! # config.data.cache = Some(folder.path().join("cache"));
//! # config.model.layers = "llp(segment=8)".into();
//! # (config.model.dim, config.model.depth, config.model.heads, config.model.context) = (16, 1, 2, 32);
//! # (config.train.warmup, config.train.batch, config.sample.tokens) = (1, 2, 4);
//! let mut watch = |event| {
//!     if let Event::Step(metrics) = event {
//!         println!("step {}: {:.3} nats per token", metrics.step, metrics.loss);
//!     }
//! };
//! train(&config, &run, &AtomicBool::new(false), &mut watch)?;
//!
//! let trained = load_run(&run, Which::Best, &Default::default())?;
//! let texts = MemoryTexts::new(trained.tokenizer.clone(), vec![b"It was a dark night.".to_vec()]);
//! let scorer = ModelScorer::new("mine", &trained.model);
//! let score = score(&scorer, &texts, Protocol::Stream, &Limits::default(), &mut |_| ())?;
//! assert_eq!((score.targets, score.bits_per_byte.is_some()), (20, true));
//!
//! let mut session = Session::new(Arc::new(trained.model.into()));
//! let prompt = [trained.tokenizer.document_token()];
//! let settings = GenerationConfig { tokens: 10, ..Default::default() };
//! let text = generate(&mut session, &trained.tokenizer, &prompt, &settings, &mut |piece| Ok(print!("{piece}")))?;
//! assert_eq!(text.tokens, 10);
//! # Ok::<(), percept::Fault>(())
//! ```

mod huge_pages;

pub use huge_pages::HugePages;
pub use percept_chart as chart;
pub use percept_compare as compare;
pub use percept_data as data;
pub use percept_fault::{self as fault, Fault, Kind, Result};
pub use percept_files as files;
pub use percept_generate as generate;
pub use percept_model as model;
pub use percept_plan as plan;
pub use percept_random as random;
pub use percept_score as score;
pub use percept_train as train;
pub use percept_tune as tune;
pub use percept_verify as verify;

/// The README's example, compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
