//! Ctrl-C: the first one asks the work to save and stop, the second one stops at once.
//!
//! A command with nothing to save stops at the first one; while it reads text, it tidies up before.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use percept_fault::{Fault, Result};

use crate::terminal::talk;

/// Exit code of a process that was interrupted, as shells expect it (128 + SIGINT).
const EXIT_CODE: i32 = 130;

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// What the first Ctrl-C does: one of the values below.
static MODE: AtomicU8 = AtomicU8::new(ENDS);
/// It ends the process.
const ENDS: u8 = 0;
/// It ends the reading of text, which leaves nothing half written.
const ENDS_READING: u8 = 1;
/// It ends the work, which is saved.
const SAVES: u8 = 2;

/// Installs the handler; once per process.
pub(crate) fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        let again = REQUESTED.swap(true, Ordering::SeqCst);
        match MODE.load(Ordering::SeqCst) {
            ENDS_READING if !again => talk("\ninterrupted: stopping (Ctrl-C again stops at once)"),
            SAVES if !again => talk("\ninterrupted: saving after this step (Ctrl-C again stops at once)"),
            _ => {
                talk("");
                std::process::exit(EXIT_CODE);
            }
        }
    })
    .map_err(|error| Fault::internal("cannot listen for Ctrl-C").because(error))
}

/// From now on the first Ctrl-C only raises the flag: the caller watches it, saves and stops.
pub(crate) fn save_first() -> &'static AtomicBool {
    MODE.store(SAVES, Ordering::SeqCst);
    &REQUESTED
}

/// While it lives, the first Ctrl-C only raises the flag: the caller reads text, watches it and stops soon.
#[derive(Debug)]
pub(crate) struct Reading(());

impl Reading {
    pub(crate) fn begin() -> Self {
        // A command that saves goes on doing so.
        MODE.compare_exchange(ENDS, ENDS_READING, Ordering::SeqCst, Ordering::SeqCst).ok();
        Self(())
    }

    pub(crate) fn stop(&self) -> &'static AtomicBool {
        &REQUESTED
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        MODE.compare_exchange(ENDS_READING, ENDS, Ordering::SeqCst, Ordering::SeqCst).ok();
    }
}
