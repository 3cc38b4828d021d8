//! The allocator of the program: large allocations in huge pages.
//!
//! A training step and a token walk through hundreds of megabytes. With pages of 4 KiB a good part of that time goes into address
//! translation and page faults (docs/performance.md).

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes from which an allocation is worth a call to the system.
const LARGE: usize = 4 << 20;

/// The system's allocator, with the wish for huge pages under large allocations. Where the system does not grant it, or is
/// not Linux, it is the system's allocator.
///
/// A program that embeds Percept takes it, or not, in one line:
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: percept::HugePages = percept::HugePages;
///
/// # fn main() {
/// let weights = vec![1.0f32; 4 << 20];
/// assert_eq!(weights[12_345], 1.0);
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct HugePages;

// SAFETY: every call goes to `System` as it came; advice changes neither contents nor addresses.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: forwarded to the caller.
        advised(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: forwarded to the caller.
        advised(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: forwarded to the caller.
        advised(unsafe { System.realloc(start, layout, size) }, size)
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: forwarded to the caller.
        unsafe { System.dealloc(start, layout) }
    }
}

#[cfg(target_os = "linux")]
fn advised(start: *mut u8, size: usize) -> *mut u8 {
    /// A huge page on x86-64, and a multiple of every smaller page.
    const HUGE: usize = 2 << 20;
    if size >= LARGE && !start.is_null() {
        let skipped = start.align_offset(HUGE);
        let length = size.saturating_sub(skipped) / HUGE * HUGE;
        // SAFETY: the range lies inside the allocation. A refusal changes nothing, so the result does not matter.
        unsafe { libc::madvise(start.wrapping_add(skipped).cast(), length, libc::MADV_HUGEPAGE) };
    }
    start
}

#[cfg(not(target_os = "linux"))]
fn advised(start: *mut u8, _size: usize) -> *mut u8 {
    start
}
