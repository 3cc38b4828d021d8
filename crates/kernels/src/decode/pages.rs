//! Memory for packed weights: zeroed, in huge pages where the system has them.
//!
//! A token reads all of it. With pages of 4 KiB a virtual machine spends more than half of that time on address
//! translation.

use memmap2::MmapMut;

/// Words of 32 bits.
#[derive(Debug)]
pub struct Pages(MmapMut);

impl Pages {
    /// `words` zeros.
    ///
    /// # Errors
    /// The system has no memory.
    pub fn zeroed(words: usize) -> std::io::Result<Self> {
        let pages = MmapMut::map_anon((words * size_of::<u32>()).max(1))?;
        // A wish: without huge pages everything works, slower. (Miri has none.)
        #[cfg(all(target_os = "linux", not(miri)))]
        let _ = pages.advise(memmap2::Advice::HugePage);
        Ok(Self(pages))
    }

    /// All words.
    pub fn words(&self) -> &[u32] {
        bytemuck::cast_slice(&self.0[..self.0.len() / size_of::<u32>() * size_of::<u32>()])
    }

    /// All words, to be changed.
    pub fn words_mut(&mut self) -> &mut [u32] {
        let length = self.0.len() / size_of::<u32>() * size_of::<u32>();
        bytemuck::cast_slice_mut(&mut self.0[..length])
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
}
