//! Asked to stop: the first time the work saves and stops, and Ctrl-C a second time stops at once.
//!
//! A command with nothing to save stops at the first one; while it reads text, it tidies up before.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use percept::fault::{Fault, Result};

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
/// It ends what the process does for others, in good order.
const SERVES: u8 = 3;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// A person, by Ctrl-C.
    Person,
    /// The system: a batch system before the end of the time, a service manager, a terminal that closes. These ask more
    /// than once, and none of them means that what was trained should be lost.
    System,
}

/// Listens from now on; once per process.
pub(crate) fn install() -> Result<()> {
    listen().map_err(|error| {
        Fault::environment("cannot listen for Ctrl-C").because(error).hint("the system allows no further thread")
    })
}

/// From now on the first request only raises the flag: the caller watches it, saves and stops.
pub(crate) fn save_first() -> &'static AtomicBool {
    MODE.store(SAVES, Ordering::SeqCst);
    &REQUESTED
}

/// From now on the first request only raises the flag: the caller watches it, ends what it does for others and stops.
pub(crate) fn end_in_order() -> &'static AtomicBool {
    MODE.store(SERVES, Ordering::SeqCst);
    &REQUESTED
}

fn asked(by: Asker) {
    let again = REQUESTED.swap(true, Ordering::SeqCst);
    match (MODE.load(Ordering::SeqCst), again) {
        (ENDS_READING, false) => talk("\ninterrupted: stopping (Ctrl-C again stops at once)"),
        (SAVES, false) => talk("\ninterrupted: saving after this step (Ctrl-C again stops at once)"),
        // The server says it.
        (SERVES, false) => {}
        (ENDS_READING | SAVES | SERVES, true) if by == Asker::System => {}
        _ => {
            talk("");
            std::process::exit(EXIT_CODE);
        }
    }
}

#[cfg(unix)]
fn listen() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU};

    // USR1, USR2 and XCPU end a process that does not listen; batch systems send them before the time is up.
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU])?;
    if !is_ignored(SIGHUP) {
        signals.handle().add_signal(SIGHUP)?;
    }
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in &mut signals {
            asked(if signal == SIGINT { Asker::Person } else { Asker::System });
        }
    })?;
    Ok(())
}

/// Whether whoever started this process wants it to live on, as `nohup` does.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: all zeros are a value of this struct of numbers.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is set; what is set is written into a place of ours.
    let known = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) } == 0;
    known && action.sa_sigaction == libc::SIG_IGN
}

#[cfg(not(unix))]
fn listen() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Ok(ctrlc::set_handler(|| asked(Asker::Person))?)
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
