//! As `sync.rs` beside the team, over loom.

pub(super) use std::sync::{PoisonError, TryLockError};

pub(super) use loom::hint::spin_loop;
pub(super) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
pub(super) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
pub(super) use loom::thread::{Builder, JoinHandle, yield_now};

/// Each turn yields: loom would run through all orders of several.
pub(super) const TURNS: usize = 1;

/// A helper without work sleeps at once; how long it spins changes nothing but time.
pub(super) struct Patience;

impl Patience {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn is_over(&self) -> bool {
        true
    }
}
