//! What a team is made of. The model in `loom/` compiles the team with this module over loom's primitives instead.

pub(super) use std::hint::spin_loop;
pub(super) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
pub(super) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
pub(super) use std::thread::{Builder, JoinHandle, yield_now};
use std::time::{Duration, Instant};

/// Turns of a spinning loop before it looks at the clock or lets other threads run.
pub(super) const TURNS: usize = 64;

/// How long a helper spins without work before it sleeps.
pub(super) struct Patience(Instant);

impl Patience {
    /// Longer than sampling takes between two tokens.
    pub(super) const TIME: Duration = Duration::from_micros(200);

    /// From now on.
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    /// Whether it is time to sleep.
    pub(super) fn is_over(&self) -> bool {
        self.0.elapsed() > Self::TIME
    }
}
