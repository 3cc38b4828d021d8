//! Why work ends before all of it is done.

use percept_fault::Fault;

/// Why the work ends before all is done.
pub(crate) enum Halt {
    /// It was asked to stop.
    Asked,
    /// Something failed that what is left would meet again.
    Fault(Fault),
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
