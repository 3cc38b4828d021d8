//! Ctrl-C: the first one asks the work to save and stop, the second one stops at once.
//!
//! A command with nothing to save stops at the first one.

use std::sync::atomic::{AtomicBool, Ordering};

use percept_fault::{Fault, Result};

use crate::terminal::talk;

/// Exit code of a process that was interrupted, as shells expect it (128 + SIGINT).
const EXIT_CODE: i32 = 130;

static REQUESTED: AtomicBool = AtomicBool::new(false);
static SAVES: AtomicBool = AtomicBool::new(false);

/// Installs the handler; once per process.
pub(crate) fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        let again = REQUESTED.swap(true, Ordering::SeqCst);
        if again || !SAVES.load(Ordering::SeqCst) {
            talk("");
            std::process::exit(EXIT_CODE);
        }
        talk("\ninterrupted: saving after this step (Ctrl-C again stops at once)");
    })
    .map_err(|error| Fault::internal("cannot listen for Ctrl-C").because(error))
}

/// From now on the first Ctrl-C only raises the flag: the caller watches it, saves and stops.
pub(crate) fn save_first() -> &'static AtomicBool {
    SAVES.store(true, Ordering::SeqCst);
    &REQUESTED
}
