//! The instructions of large products.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::precision::Precision;
use crate::simd::level;

/// The instructions by which large matrices are multiplied.
///
/// ```
/// use percept_kernels::{Precision, Product};
/// assert_eq!(Product::of(Precision::F32), Product::F32);
/// if Precision::Bf16.is_supported() {
///     // On a processor with both this is AMX, until another one is chosen.
///     let best = Product::of(Precision::Bf16);
///     assert!(best.is_available());
///     Product::Avx512Bf16.choose();
///     assert_eq!(Product::of(Precision::Bf16), Product::Avx512Bf16);
///     best.choose();
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Product {
    /// Multiply-adds in f32, of the widest vectors that there are.
    F32,
    /// Pairs of bfloat16 in vectors, AVX512-BF16.
    Avx512Bf16,
    /// Tiles of bfloat16, AMX. Denormal numbers, the sums included, count as zero. Linux only.
    Amx,
}

impl Product {
    /// All, the plainest first.
    pub const ALL: [Self; 3] = [Self::F32, Self::Avx512Bf16, Self::Amx];

    /// Whether this processor has the instructions and this process may use them.
    pub fn is_available(self) -> bool {
        match self {
            Self::F32 => true,
            Self::Avx512Bf16 => Precision::Bf16.is_supported(),
            // The operands are rounded and packed by AVX512-BF16.
            Self::Amx => Precision::Bf16.is_supported() && (has_amx() || is_emulated()),
        }
    }

    /// Their name.
    pub fn instructions(self) -> &'static str {
        match self {
            Self::F32 => level().name(),
            Self::Avx512Bf16 => "avx512bf16",
            Self::Amx => "amx-bf16",
        }
    }

    /// The format of the operands.
    pub fn precision(self) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::Avx512Bf16 | Self::Amx => Precision::Bf16,
        }
    }

    /// What products in `precision` use now: what was [chosen](Product::choose), or else AMX where it is available.
    pub fn of(precision: Precision) -> Self {
        const AVX512_BF16: u8 = Product::Avx512Bf16 as u8;
        const AMX: u8 = Product::Amx as u8;
        match (precision, with_chosen(|chosen| chosen.load(Ordering::Relaxed))) {
            (Precision::F32, _) => Self::F32,
            (Precision::Bf16, AVX512_BF16) => Self::Avx512Bf16,
            (Precision::Bf16, AMX) => Self::Amx,
            (Precision::Bf16, _) if has_amx() => Self::Amx,
            (Precision::Bf16, _) => Self::Avx512Bf16,
        }
    }

    /// From now on, products of this process in this one's [precision](Product::precision) use these instructions.
    ///
    /// # Panics
    /// If they are not [available](Product::is_available).
    pub fn choose(self) {
        assert!(self.is_available(), "{self:?} is not available");
        if self.precision() == Precision::Bf16 {
            with_chosen(|chosen| chosen.store(self as u8, Ordering::Relaxed));
        }
    }
}

/// What was chosen, as a number; zero is nothing. Tests, which share a process, choose for their thread alone.
fn with_chosen<R>(body: impl FnOnce(&AtomicU8) -> R) -> R {
    #[cfg(not(test))]
    {
        static CHOSEN: AtomicU8 = AtomicU8::new(0);
        body(&CHOSEN)
    }
    #[cfg(test)]
    {
        thread_local! {
            static CHOSEN: AtomicU8 = const { AtomicU8::new(0) };
        }
        CHOSEN.with(body)
    }
}

/// Whether the processor has AMX in bfloat16.
fn has_amx() -> bool {
    #[cfg(target_arch = "x86_64")]
    return crate::amx::is_available();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether a test has AMX without such a processor.
fn is_emulated() -> bool {
    #[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
    return crate::amx::emulator::is_installed();
    #[cfg(not(all(test, target_arch = "x86_64", target_os = "linux")))]
    false
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_is_what_products_use() {
        assert!(Product::F32.is_available());
        if !crate::amx::emulator::is_ready() {
            return;
        }
        // The emulator is never the default.
        let best = if has_amx() { Product::Amx } else { Product::Avx512Bf16 };
        assert_eq!(Product::of(Precision::Bf16), best);
        for product in Product::ALL.into_iter().filter(|product| product.is_available()) {
            product.choose();
            assert_eq!(Product::of(product.precision()), product);
            assert_eq!(Product::of(Precision::F32), Product::F32);
        }
        Product::F32.choose();
        assert_eq!(Product::of(Precision::Bf16), Product::Amx, "f32 is no choice among the products in bf16");
    }
}
