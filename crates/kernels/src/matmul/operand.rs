//! The right operand of several products that one thread takes.
//!
//! This is where attention meets the formats: in f32 an operand stays where it is, in bfloat16 it is rounded and packed when it
//! is made, once for all of its products. Another instruction set for them is another variant.

#[cfg(target_arch = "x86_64")]
use super::bf16::{Amx, Avx512, Packed, STEP};
use super::{Output, Threads, View, multiply_raw};
use crate::precision::Precision;
use crate::product::Product;
use std::ops::Range;

/// A matrix `[depth, columns]` to multiply by, as a whole or in parts.
pub(crate) enum Operand<'a> {
    /// As it lies.
    Plain(View<'a>),
    /// Rounded to bfloat16, for AVX512-BF16.
    #[cfg(target_arch = "x86_64")]
    Avx512(Packed<Avx512>),
    /// Rounded to bfloat16, for AMX.
    #[cfg(target_arch = "x86_64")]
    Amx(Packed<Amx>),
}

impl<'a> Operand<'a> {
    /// Parts begin, and end unless the matrix does, at multiples of this many rows or columns.
    pub(crate) fn step(precision: Precision) -> usize {
        match precision {
            #[cfg(target_arch = "x86_64")]
            Precision::Bf16 => STEP,
            _ => 1,
        }
    }

    /// The matrix of this size in a view, for products by these instructions.
    ///
    /// # Panics
    /// If the view is smaller, or the instructions are not available.
    pub(crate) fn new(product: Product, view: View<'a>, sizes: (usize, usize)) -> Self {
        assert!(view.fits(sizes.0, sizes.1), "an operand is smaller than its shape");
        assert!(product.is_available(), "{product:?} is not available");
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the asserts.
        unsafe {
            match product {
                Product::F32 => {}
                Product::Avx512Bf16 => return Self::Avx512(Packed::new(view, sizes)),
                Product::Amx => return Self::Amx(Packed::new(view, sizes)),
            }
        }
        Self::Plain(view)
    }

    /// `out [rows, columns.len()] (+)= a [rows, depth.len()] * self [depth, columns]`; the rows of `out` are `stride` apart.
    ///
    /// # Panics
    /// If the part is outside the matrix or empty, begins or ends where it may not, or `a` is smaller than its shape.
    ///
    /// # Safety
    /// `out` is valid for writes (and initialised, where it accumulates) at every `i * stride + j`, and nobody else accesses
    /// these elements meanwhile.
    pub(crate) unsafe fn multiply(
        &self,
        (depth, columns): (Range<usize>, Range<usize>),
        rows: usize,
        out: (*mut f32, usize, Output),
        a: View<'_>,
    ) {
        assert!(a.fits(rows, depth.len()), "an operand is smaller than its shape");
        match self {
            Self::Plain(view) => {
                let part = view.from(depth.start, columns.start);
                assert!(part.fits(depth.len(), columns.len()), "a part is outside its operand");
                // SAFETY: the asserts; the rest is forwarded to the caller.
                unsafe { multiply_raw((rows, columns.len(), depth.len()), out, a, part, Threads::One) };
            }
            // SAFETY: the assert; `new` has found the instructions; the rest is forwarded to the caller.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(packed) => unsafe { packed.multiply((depth, columns), rows, out, a) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Amx(packed) => unsafe { packed.multiply((depth, columns), rows, out, a) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

    fn products() -> impl Iterator<Item = Product> {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        crate::amx::emulator::is_ready();
        Product::ALL.into_iter().filter(|product| product.is_available())
    }

    /// `a [rows, depth]`, once for each part, next to each other or on top of each other.
    fn product(operand: &Operand<'_>, a: &[f32], (depth, columns): (usize, usize), parts: [&[usize]; 2]) -> Vec<u32> {
        let rows = a.len() / depth;
        let mut out = vec![f32::NAN; rows * columns];
        for (index, top) in parts[0].windows(2).enumerate() {
            let output = if index == 0 { Output::Overwrite } else { Output::Accumulate };
            for left in parts[1].windows(2) {
                let out = (out[left[0]..].as_mut_ptr(), columns, output);
                let a = View::rows(&a[top[0]..], depth);
                // SAFETY: the columns of the part, in rows of all columns.
                unsafe { operand.multiply((top[0]..top[1], left[0]..left[1]), rows, out, a) };
            }
        }
        out.iter().map(|x| x.to_bits()).collect()
    }

    #[test]
    fn parts_make_the_whole() {
        let (rows, depth, columns) = (13, 75, 107);
        let (a, b) = (random(rows * depth, 1), random(depth * columns, 2));
        for each in products() {
            for view in [View::rows(&b, columns), View::rows(&b, depth).transposed()] {
                let operand = Operand::new(each, view, (depth, columns));
                let product = |parts: [&[usize]; 2]| product(&operand, &a, (depth, columns), parts);
                let whole = product([&[0, depth], &[0, columns]]);
                let columns_apart = product([&[0, depth], &[0, 32, 96, columns]]);
                // In f32 on older processors, the order of a sum depends on how many there are.
                assert!(each == Product::F32 || columns_apart == whole, "{each:?}");
                let depth_apart = product([&[0, 64, depth], &[0, 64, columns]]);
                for (part, whole) in columns_apart.iter().chain(&depth_apart).zip(whole.iter().chain(&whole)) {
                    let [part, whole] = [*part, *whole].map(f32::from_bits);
                    assert!((part - whole).abs() < 1e-5, "{each:?}: {part} instead of {whole}");
                }
            }
        }
    }

    #[test]
    fn parts_are_inside_and_begin_at_a_step() {
        let b = random(70 * 70, 1);
        for each in products() {
            let operand = Operand::new(each, View::rows(&b, 70), (70, 70));
            let mut wrong = vec![(0..71, 0..70), (0..70, 64..71), (96..97, 0..1)];
            if each != Product::F32 {
                wrong.extend([(1..70, 0..70), (0..70, 16..70), (0..31, 0..70), (0..70, 0..48), (32..32, 0..70)]);
            }
            for part in wrong {
                let name = format!("{each:?} {part:?}");
                let product = std::panic::AssertUnwindSafe(|| {
                    let (a, mut out) = (vec![0.0; 100], vec![0.0; 100]);
                    // SAFETY: a row of at most 71 columns.
                    unsafe { operand.multiply(part, 1, (out.as_mut_ptr(), 71, Output::Overwrite), View::rows(&a, 71)) };
                });
                assert!(std::panic::catch_unwind(product).is_err(), "{name}");
            }
        }
    }
}
