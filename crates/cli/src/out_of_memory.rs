//! An allocation that fails ends the program as every fault of the environment does: a message, a hint, exit code 3.
//!
//! Rust's own answer is an abort with a backtrace, and a handler of one's own is not stable. So the allocator looks at what it
//! hands out. Nothing here allocates once that has happened.

use std::alloc::{GlobalAlloc, Layout};
use std::fmt::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use percept::HugePages;

/// Exit code of faults of the environment.
const EXIT_CODE: i32 = 3;

/// What to do about it, where that is known better than in general.
static HINT: Mutex<String> = Mutex::new(String::new());

/// Sets the hint of the message, e.g. from which checkpoint the work goes on.
pub(crate) fn hint(text: String) {
    if let Ok(mut hint) = HINT.lock() {
        *hint = text;
    }
}

/// The hint of commands that do many trainings, and go on with them when they are given again.
pub(crate) fn hint_same_command() {
    hint(
        "what was trained is saved, and the same command goes on from there; a smaller train.batch needs less memory"
            .into(),
    );
}

/// The program's allocator: [`HugePages`], whose failures end the program.
#[derive(Debug)]
pub(crate) struct OrExit;

// SAFETY: every call goes to `HugePages` as it came, and what it returns is returned.
unsafe impl GlobalAlloc for OrExit {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: forwarded to the caller.
        given(unsafe { HugePages.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: forwarded to the caller.
        given(unsafe { HugePages.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: forwarded to the caller.
        given(unsafe { HugePages.realloc(start, layout, size) }, size)
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: forwarded to the caller.
        unsafe { HugePages.dealloc(start, layout) }
    }
}

fn given(start: *mut u8, size: usize) -> *mut u8 {
    match start.is_null() {
        true => end(size),
        false => start,
    }
}

/// Says that `size` bytes could not be had, and ends the process.
#[cold]
fn end(size: usize) -> ! {
    static TOLD: AtomicBool = AtomicBool::new(false);
    // One thread tells; others that fail at the same time wait for the end.
    while TOLD.swap(true, Ordering::SeqCst) {
        std::thread::sleep(Duration::from_secs(1));
    }
    let mut text = Text { bytes: [0; 8192], length: 0 };
    // The buffer takes what fits, and the rest is cut off.
    let _ = match HINT.try_lock() {
        Ok(hint) if !hint.is_empty() => message(&mut text, size, &hint),
        _ => message(&mut text, size, "free some memory, or use a machine with more"),
    };
    // Not `std::process::exit`: what runs at its exit may allocate.
    // SAFETY: the bytes are those of a buffer of ours; writing and ending need nothing else.
    unsafe {
        libc::write(2, text.bytes.as_ptr().cast(), text.length as _);
        libc::_exit(EXIT_CODE)
    }
}

fn message(text: &mut Text, size: usize, hint: &str) -> fmt::Result {
    let size = size as f64 / f64::from(1 << 20);
    writeln!(text, "\nerror: out of memory: the system has no further {size:.1} MiB for this process\nhint: {hint}")
}

/// A text of bounded length.
struct Text {
    bytes: [u8; 8192],
    length: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let taken = text.len().min(self.bytes.len() - self.length);
        self.bytes[self.length..self.length + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.length += taken;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_how_much_and_what_to_do_and_is_cut_where_it_is_too_long() {
        let mut text = Text { bytes: [0; 8192], length: 0 };
        message(&mut text, 3 << 19, "go on").unwrap();
        let written = std::str::from_utf8(&text.bytes[..text.length]).unwrap();
        assert_eq!(
            written,
            "\nerror: out of memory: the system has no further 1.5 MiB for this process\nhint: go on\n"
        );
        message(&mut text, 1, &"x".repeat(10_000)).unwrap();
        assert_eq!(text.length, 8192);
    }
}
