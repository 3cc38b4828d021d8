//! Algorithms that suggest configurations and learn from what came of them.

mod evolution;
mod independent;
mod random;
mod reinforce;
mod reward;
mod told;
mod tpe;

use percept_fault::{Fault, Result, nearest};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use evolution::EvolutionSettings;
pub use independent::IndependentSettings;
pub use reinforce::ReinforceSettings;
pub use tpe::TpeSettings;

use crate::space::{Point, Space};
use crate::trial::Outcome;

/// Suggests configurations of a space, and learns from what came of them.
///
/// A suggestion depends on the seed, its number, and what was told before: asking changes nothing, so a search that was cut off
/// between asking and telling asks again and gets the same.
///
/// ```
/// use percept_tune::{Axis, Method, Outcome, Space};
/// let values = (0..8).map(Into::into).collect();
/// let space = Space::new(vec![Axis::new("model.depth", values)?])?;
/// let mut tpe = Method::Tpe(Default::default()).start(&space, 1)?;
/// for number in 0..40 {
///     let point = tpe.ask(&space, number);
///     tpe.tell(&space, number, &point, Outcome::of((point[0] as f64 - 3.0).abs()));
/// }
/// // What it knows can be kept, and goes on as if nothing had been.
/// let kept = tpe.state()?;
/// let again = Method::Tpe(Default::default()).resume(&space, kept)?;
/// assert_eq!(again.ask(&space, 40), tpe.ask(&space, 40));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub trait Algorithm {
    /// The configuration of trial `number`, from 0.
    fn ask(&self, space: &Space, number: u64) -> Point;

    /// Learns what came of the configuration that was suggested as `number`.
    fn tell(&mut self, space: &Space, number: u64, point: &[usize], outcome: Outcome);

    /// All that it knows.
    ///
    /// # Errors
    /// An internal fault where that can't be written.
    fn state(&self) -> Result<Value>;
}

/// An algorithm by name, with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Method {
    /// Every configuration as likely as any other.
    Random,
    /// Regularised evolution (arXiv 1802.01548).
    Evolution(EvolutionSettings),
    /// The tree-structured Parzen estimator (Bergstra et al. 2011).
    Tpe(TpeSettings),
    /// REINFORCE with logits of its own for each axis, the baseline of arXiv 2006.00939.
    Independent(IndependentSettings),
    /// REINFORCE with a two-stream attention policy (arXiv 2006.00939).
    Reinforce(ReinforceSettings),
}

impl Method {
    /// Every method with its default settings.
    pub fn all() -> Vec<Self> {
        vec![
            Self::Random,
            Self::Evolution(Default::default()),
            Self::Tpe(Default::default()),
            Self::Independent(Default::default()),
            Self::Reinforce(Default::default()),
        ]
    }

    /// The method of this name, with its default settings.
    ///
    /// # Errors
    /// Usage: there is none.
    ///
    /// ```
    /// use percept_tune::Method;
    /// assert_eq!(Method::named("tpe")?, Method::Tpe(Default::default()));
    /// assert_eq!(Method::named("tpa").unwrap_err().hint_text(), Some("did you mean `tpe`?"));
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn named(name: &str) -> Result<Self> {
        let all = Self::all();
        let names: Vec<&str> = all.iter().map(Self::name).collect();
        let unknown = || {
            Fault::usage(format!("there is no algorithm `{name}`")).hint(match nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", names.join(", ")),
            })
        };
        all.iter().find(|method| method.name() == name).cloned().ok_or_else(unknown)
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Evolution(_) => "evolution",
            Self::Tpe(_) => "tpe",
            Self::Independent(_) => "independent",
            Self::Reinforce(_) => "reinforce",
        }
    }

    /// The algorithm before its first trial.
    ///
    /// # Errors
    /// Usage: a setting is out of range.
    pub fn start(&self, space: &Space, seed: u64) -> Result<Box<dyn Algorithm>> {
        Ok(match self {
            Self::Random => Box::new(random::Random::new(seed)),
            Self::Evolution(settings) => Box::new(evolution::Evolution::new(settings, seed)?),
            Self::Tpe(settings) => Box::new(tpe::Tpe::new(settings, seed)?),
            Self::Independent(settings) => Box::new(independent::Independent::new(settings, space, seed)?),
            Self::Reinforce(settings) => Box::new(reinforce::Reinforce::new(settings, space, seed)?),
        })
    }

    /// The algorithm that [`Algorithm::state`] was asked of.
    ///
    /// # Errors
    /// Environment: the state is of another algorithm or another space.
    pub fn resume(&self, space: &Space, state: Value) -> Result<Box<dyn Algorithm>> {
        Ok(match self {
            Self::Random => Box::new(read::<random::Random>(state)?),
            Self::Evolution(_) => Box::new(read::<evolution::Evolution>(state)?.of(space)?),
            Self::Tpe(_) => Box::new(read::<tpe::Tpe>(state)?.of(space)?),
            Self::Independent(_) => Box::new(read::<independent::Independent>(state)?.of(space)?),
            Self::Reinforce(_) => Box::new(reinforce::Reinforce::resume(read(state)?, space)?),
        })
    }
}

/// The fault of a state that fits no search.
fn foreign(what: &str) -> Fault {
    Fault::environment(format!("the search's state {what}"))
        .hint("it belongs to another search or another space: start a new one")
}

fn read<T: DeserializeOwned>(state: Value) -> Result<T> {
    serde_json::from_value(state).map_err(|error| foreign("can't be read").because(error))
}

fn written<T: Serialize>(state: &T) -> Result<Value> {
    serde_json::to_value(state).map_err(|error| Fault::internal("a search's state can't be written").because(error))
}

/// A setting that must hold.
fn check(holds: bool, method: &str, what: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Fault::usage(format!("{method}: {what}")).hint("change that setting")) }
}

/// Any configuration, each as likely as the others.
fn anywhere(space: &Space, draws: &mut crate::draws::Draws) -> Point {
    space.axes().iter().map(|axis| draws.below(axis.choices())).collect()
}
