//! A panic is a bug of ours, and is told to the user as such: one message, exit code 4.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Mutex;

use percept::fault::{Fault, Result};

static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Runs the program; a panic becomes an internal fault.
///
/// The hook keeps the message instead of printing it: a library that catches its own panics (probing
/// for a device, say) then stays silent, and one that does not is reported exactly once, here.
pub(crate) fn guard(program: impl FnOnce() -> Result<()>) -> Result<()> {
    panic::set_hook(Box::new(remember));
    panic::catch_unwind(AssertUnwindSafe(program)).unwrap_or_else(|_| Err(fault()))
}

fn remember(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_string())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_string());
    let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
    let trace = Backtrace::capture();
    let trace = match trace.status() {
        BacktraceStatus::Captured => format!("\n{trace}"),
        _ => String::new(),
    };
    if let Ok(mut last) = LAST.lock() {
        *last = Some(format!("{message}{place}{trace}"));
    }
}

/// What the last panic said, and where; it is told once.
pub(crate) fn last() -> String {
    LAST.lock().ok().and_then(|mut last| last.take()).unwrap_or_else(|| "unknown".to_string())
}

fn fault() -> Fault {
    let message = last();
    Fault::internal(format!("internal fault: {message}"))
        .hint("this is a bug in Percept, not in your input: please report it with the command line; RUST_BACKTRACE=1 shows where it came from")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_internal_fault_with_its_place() {
        let fault = guard(|| panic!("broken invariant {}", 7)).unwrap_err();
        let _ = panic::take_hook();
        assert_eq!(fault.exit_code(), 4);
        let text = fault.to_string();
        assert!(text.starts_with("internal fault: broken invariant 7 (") && text.contains("crash.rs:"), "{text}");
    }
}
