//! Why training can't go on.

use std::error::Error;
use std::fmt;

use percept_fault::Fault;

/// Loss or gradient were no longer finite. It is the cause of the fault that ends a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Divergence {
    /// What was not finite, e.g. `loss`.
    pub what: &'static str,
    /// The step, counted from 1.
    pub step: u64,
    /// What it was instead.
    pub value: f64,
}

impl Divergence {
    /// The divergence behind a fault, if that is its cause.
    pub fn of(fault: &Fault) -> Option<&Self> {
        fault.source()?.downcast_ref()
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} of step {} is {}", self.what, self.step, self.value)
    }
}

impl Error for Divergence {}
