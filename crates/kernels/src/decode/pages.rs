//! Memory that every token reads: zeroed, in huge pages where the system has them.
//!
//! With pages of 4 KiB a virtual machine spends more than half of the time of a token on address translation.

use memmap2::{MmapMut, MmapOptions};

/// Bytes of a huge page on x86-64, and a multiple of every smaller page.
const HUGE: usize = 2 << 20;

/// `bytes` zeros or a few more. As much as fills huge pages lies in some, where the system has them; what is never touched
/// takes no memory.
///
/// # Errors
/// The system has no memory, or no room for addresses.
pub(super) fn map(options: &mut MmapOptions, bytes: usize) -> std::io::Result<MmapMut> {
    // Linux lets what is made of whole huge pages begin with one.
    let whole = if bytes < HUGE { bytes.max(1) } else { bytes.next_multiple_of(HUGE) };
    let map = options.len(whole).map_anon()?;
    // A wish: without huge pages everything works, slower. The rest stays in small ones, since it may never be touched.
    // (Miri has none.)
    #[cfg(all(target_os = "linux", not(miri)))]
    let _ = map.advise_range(memmap2::Advice::HugePage, 0, bytes / HUGE * HUGE);
    Ok(map)
}

/// Words of 32 bits, for packed weights.
#[derive(Debug)]
pub struct Pages {
    map: MmapMut,
    words: usize,
}

impl Pages {
    /// `words` zeros.
    ///
    /// # Errors
    /// The system has no memory.
    pub fn zeroed(words: usize) -> std::io::Result<Self> {
        Ok(Self { map: map(&mut MmapOptions::new(), words * size_of::<u32>())?, words })
    }

    /// All words.
    pub fn words(&self) -> &[u32] {
        bytemuck::cast_slice(&self.map[..self.words * size_of::<u32>()])
    }

    /// All words, to be changed.
    pub fn words_mut(&mut self) -> &mut [u32] {
        bytemuck::cast_slice_mut(&mut self.map[..self.words * size_of::<u32>()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_zero_and_can_be_written() {
        let mut pages = Pages::zeroed(5).unwrap();
        assert_eq!(pages.words(), [0; 5]);
        pages.words_mut()[4] = 7;
        assert_eq!(pages.words()[4], 7);
        assert!(Pages::zeroed(0).unwrap().words().is_empty());
    }

    #[test]
    fn there_are_as_many_words_as_were_asked_for_beyond_a_huge_page_too() {
        for words in [HUGE / 4 - 1, HUGE / 4, HUGE / 4 + 1] {
            let mut pages = Pages::zeroed(words).unwrap();
            pages.words_mut()[words - 1] = 7;
            assert_eq!((pages.words().len(), pages.words()[words - 1]), (words, 7));
        }
    }
}
