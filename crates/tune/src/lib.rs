//! Search of hyperparameters: which values of these configuration keys give the lowest metric, for how many trials?
//!
//! - [`Space`]: what is searched, from a TOML file: choices, ranges of integers, logarithmic ranges of configuration keys
//! - [`Method`], [`Algorithm`]: random search, regularised evolution, TPE, REINFORCE with independent logits, and REINFORCE with the
//!   attention policy of arXiv 2006.00939
//! - [`Search`], [`Halving`]: one trial after another, with successive halving on top; kept and gone on with exactly
//! - [`Incumbent`], [`MainEffects`]: the best trial so far, and which keys matter
//! - [`Table`], [`Study`]: searches of a table of evaluated configurations: regret against cost, over many seeds
//!
//! It trains nothing itself: a program runs the trials and tells what came of them.
//!
//! ```
//! use percept_tune::{Halving, Method, Outcome, Search, SearchState, Space};
//! # let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("llp.toml");
//! std::fs::write(&path, r#"
//! [space]
//! model.depth = { integers = [1, 4] }
//! train.learning_rate = { log = [1e-4, 1e-2], points = 9 }
//! "#).unwrap();
//! // What is minimised; a real one trains a model.
//! let objective = |depth: f64, rate: f64| (depth - 3.0).abs() + (rate / 1e-3).ln().abs();
//!
//! let mut search = Search::new(Space::read(&path)?, Method::Tpe(Default::default()), Halving::default(), 1)?;
//! let mut best = (f64::INFINITY, String::new());
//! for run in 0..60 {
//!     let trial = search.next();
//!     let values: Vec<_> = search.space().values(&trial.point).collect();
//!     let depth = values[0].1.as_integer().unwrap() as f64;
//!     let metric = objective(depth, values[1].1.as_float().unwrap());
//!     if metric < best.0 {
//!         best = (metric, values.iter().map(|(key, value)| format!("{key}={value} ")).collect());
//!     }
//!     search.tell(&trial, Outcome::of(metric))?;
//!     if run == 30 {
//!         // Killed here, it goes on as if it had not been.
//!         let kept = serde_json::to_string(&search.state()?).unwrap();
//!         let state: SearchState = serde_json::from_str(&kept).unwrap();
//!         search = Search::resume(Space::read(&path)?, state)?;
//!     }
//! }
//! assert_eq!(best.1, "model.depth=3 train.learning_rate=0.001 ");
//! # Ok::<(), percept_fault::Fault>(())
//! ```

mod algorithm;
mod draws;
mod effects;
mod incumbent;
mod search;
mod space;
mod study;
mod table;
mod trial;

pub use algorithm::{Algorithm, EvolutionSettings, IndependentSettings, Method, ReinforceSettings, TpeSettings};
pub use effects::{Effect, MainEffects};
pub use incumbent::Incumbent;
pub use search::{Halving, Search, SearchState};
pub use space::{Axis, Order, Point, Space};
pub use study::{Average, Step, Study, trace};
pub use table::{Stage, Table};
pub use trial::{Outcome, Trial};
