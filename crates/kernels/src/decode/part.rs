//! Parts of one block of memory, each with an owner of its own.

use std::alloc::{Layout, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};

use super::pages;

/// Elements to a multiple of which a part begins: a line of a cache.
const LINE: usize = 16;

/// Elements that lie in one block with those of other parts, from the beginning of a line of a cache on: what a stream keeps is read
/// layer after layer, and so no vector lies in two lines, and the block in huge pages, where the system has them. The block lives as
/// long as one of its parts; what is never touched takes no memory.
///
/// ```
/// use percept_kernels::decode::Part;
/// let [mut keys, values] = <[Part; 2]>::try_from(Part::zeroed(&[3, 2])).unwrap();
/// keys[2] = 7.0;
/// assert_eq!((&keys[..], &values[..]), ([0.0, 0.0, 7.0].as_slice(), [0.0; 2].as_slice()));
/// ```
pub struct Part {
    /// Never reached but through its parts, of which each has elements of its own.
    block: Arc<MmapRaw>,
    start: usize,
    length: usize,
}

impl Part {
    /// A block of zeros, cut into parts of these lengths; each begins with a line of a cache. Ends the program, as an allocation does,
    /// where the system has no room.
    pub fn zeroed(lengths: &[usize]) -> Vec<Self> {
        let total: usize = lengths.iter().map(|length| length.next_multiple_of(LINE)).sum();
        // Not reserved: rows of a text that ends early are never touched.
        let map = pages::map(MmapOptions::new().no_reserve_swap(), total * size_of::<f32>());
        let layout = || Layout::array::<f32>(total).unwrap_or(Layout::new::<f32>());
        let block = Arc::new(MmapRaw::from(map.unwrap_or_else(|_| handle_alloc_error(layout()))));
        let mut end = 0;
        let part = |&length: &usize| {
            let start = end;
            end += length.next_multiple_of(LINE);
            Self { block: block.clone(), start, length }
        };
        lengths.iter().map(part).collect()
    }

    /// Copies of parts, in one block.
    pub fn copied<'a>(parts: impl Iterator<Item = &'a Self>) -> Vec<Self> {
        let parts: Vec<&Self> = parts.collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.length).collect();
        let mut copies = Self::zeroed(&lengths);
        copies.iter_mut().zip(parts).for_each(|(copy, part)| copy.copy_from_slice(part));
        copies
    }

    fn first(&self) -> *mut f32 {
        self.block.as_mut_ptr().cast::<f32>().wrapping_add(self.start)
    }
}

impl Deref for Part {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `length` elements of the block begin there, at a multiple of their size since a page does. No other part reaches
        // them, and they were zero before this one wrote some.
        unsafe { std::slice::from_raw_parts(self.first(), self.length) }
    }
}

impl DerefMut for Part {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and the part is borrowed by nobody else.
        unsafe { std::slice::from_raw_parts_mut(self.first(), self.length) }
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Part of {} elements", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_apart_and_outlive_each_other() {
        let mut parts = Part::zeroed(&[5, 0, 17, 1]);
        std::thread::scope(|scope| {
            for (value, part) in (1u8..).zip(&mut parts) {
                scope.spawn(move || part.fill(f32::from(value)));
            }
        });
        let lines = |part: &Part| part.as_ptr().align_offset(LINE * size_of::<f32>());
        assert_eq!(parts.iter().map(lines).collect::<Vec<_>>(), [0; 4]);
        let copies = Part::copied(parts.iter());
        parts[2][16] = 9.0;
        let last = parts.pop().unwrap();
        let sums: Vec<f32> = parts.iter().map(|part| part.iter().sum()).collect();
        drop(parts);
        assert_eq!((sums, &last[..]), (vec![5.0, 0.0, 57.0], [4.0].as_slice()));
        assert_eq!(copies[2][..], [3.0; 17]);
    }
}
