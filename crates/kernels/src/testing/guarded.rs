//! Elements with nothing beside them: who touches what lies before or after them is stopped at once.

use std::ops::{Deref, DerefMut};

/// The side on which nothing lies.
#[derive(Debug, Clone, Copy)]
pub(super) enum Edge {
    Before,
    After,
}

/// A slice at the edge of a page beside one that may not be touched. Miri sees every access outside of an allocation anyway.
#[cfg(all(unix, not(miri)))]
pub(super) struct Guarded {
    map: *mut libc::c_void,
    bytes: usize,
    elements: *mut f32,
    len: usize,
}

#[cfg(all(unix, not(miri)))]
impl Guarded {
    pub(super) fn new(values: &[f32], edge: Edge) -> Self {
        // SAFETY: a question.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let held = size_of_val(values).next_multiple_of(page).max(page);
        let bytes = held + 2 * page;
        let (protection, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping; the elements lie inside it, between its first and its last page, which are closed.
        unsafe {
            let map = libc::mmap(std::ptr::null_mut(), bytes, protection, kind, -1, 0);
            assert_ne!(map, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(map, page, libc::PROT_NONE), 0);
            assert_eq!(libc::mprotect(map.add(page + held), page, libc::PROT_NONE), 0);
            let offset = match edge {
                Edge::Before => page,
                Edge::After => page + held - size_of_val(values),
            };
            let elements = map.add(offset).cast::<f32>();
            elements.copy_from_nonoverlapping(values.as_ptr(), values.len());
            Self { map, bytes, elements, len: values.len() }
        }
    }
}

#[cfg(all(unix, not(miri)))]
impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`.
        unsafe { libc::munmap(self.map, self.bytes) };
    }
}

#[cfg(all(unix, not(miri)))]
impl Deref for Guarded {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `new` has written them.
        unsafe { std::slice::from_raw_parts(self.elements, self.len) }
    }
}

#[cfg(all(unix, not(miri)))]
impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and they are ours.
        unsafe { std::slice::from_raw_parts_mut(self.elements, self.len) }
    }
}

#[cfg(not(all(unix, not(miri))))]
pub(super) struct Guarded(Box<[f32]>);

#[cfg(not(all(unix, not(miri))))]
impl Guarded {
    pub(super) fn new(values: &[f32], _: Edge) -> Self {
        Self(values.into())
    }
}

#[cfg(not(all(unix, not(miri))))]
impl Deref for Guarded {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

#[cfg(not(all(unix, not(miri))))]
impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}
