//! Comparison: which of these models should I train, at what cost?
//!
//! - [`Lineup`], [`Spec`], [`Comparison`]: several models on one text under equal conditions
//! - [`report`]: a comparison as one HTML page, JSON, CSV and a table for the terminal
//! - [`suite`]: what models can compute: a comparison per problem, and examinations of its runs
//! - [`tuning`]: search of hyperparameters: every trial a run of its own
//!
//! A whole comparison, as small as it gets:
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//! use percept_compare::report::{Report, terminal, write_views};
//! use percept_compare::{Ended, Event, Lineup, Purpose, Spec};
//! use percept_train::Override;
//! # let folder = tempfile::tempdir().unwrap();
//! # let (texts, cache, out) = (folder.path().join("texts"), folder.path().join("cache"), folder.path().join("out"));
//! # std::fs::create_dir(&texts).unwrap();
//! # for at in 0..12 {
//! #     let text: String = (0..20).map(|line| format!("{} sheep and {} more\n", line * at, line + at)).collect();
//! #     std::fs::write(texts.join(format!("{at}.txt")), text).unwrap();
//! # }
//! # let mut base = vec![
//! #     Override::flag("--data", "data.sources", vec![texts.display().to_string()]),
//! #     Override::flag("--cache", "data.cache", cache.display().to_string()),
//! # ];
//! # for change in [
//! #     "data.split.validation=0.2", "data.split.test=0.2", "model.dim=16", "model.depth=2", "model.heads=2",
//! #     "model.context=32", "model.segment=8", "train.batch=2", "train.warmup=1", "train.device=cpu", "sample.tokens=4",
//! # ] {
//! #     base.push(Override::set(change)?);
//! # }
//! // `base`: where the text is, and very small models.
//! let spec = Spec {
//!     name: "sheep".into(),
//!     models: vec!["llp".into(), "transformer".into()],
//!     base,
//!     budget: Some("300 tokens".parse()?),
//!     points: 2,
//!     ..Spec::default()
//! };
//! let lineup = Lineup::new(spec, &out, Purpose::Run, &mut |_| {})?;
//! let mut runs = 0;
//! let ended = lineup.run(&AtomicBool::new(false), &mut |event| runs += usize::from(matches!(event, Event::Run { .. })))?;
//! let Ended::Finished(comparison) = ended else { panic!("nobody asked it to stop") };
//!
//! // One run of each; the models come best first, and all of them saw the same windows.
//! assert_eq!((runs, comparison.models.len()), (2, 2));
//! assert!(comparison.models[0].test.unwrap().mean <= comparison.models[1].test.unwrap().mean);
//! assert!(comparison.fairness.data_order.iter().all(|order| order.equal));
//!
//! let report = Report::from(comparison);
//! write_views(&out, &report)?;
//! assert!(out.join("report.html").exists() && terminal(&report).contains("transformer"));
//! # Ok::<(), percept_fault::Fault>(())
//! ```

mod comparison;
pub mod report;
pub mod suite;
pub mod tuning;

pub use comparison::*;
