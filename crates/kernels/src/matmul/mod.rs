//! Matrix products over strided views: in f32 with AVX-512 in [`avx512`], elsewhere on the `gemm` crate; in
//! bfloat16, on AVX512-BF16 or AMX, in [`bf16`].

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod bf16;
mod operand;

pub(crate) use operand::Operand;

use crate::cost;
use crate::precision::Precision;
use crate::product::Product;
use gemm::Parallelism;
#[cfg(target_arch = "x86_64")]
use rayon::prelude::*;

/// A matrix somewhere in a slice: element `(i, j)` is at `i * row + j * column`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) row: usize,
    pub(crate) column: usize,
}

impl<'a> View<'a> {
    /// Rows `stride` apart, columns next to each other.
    pub(crate) fn rows(data: &'a [f32], stride: usize) -> Self {
        Self { data, row: stride, column: 1 }
    }

    /// The transpose.
    pub(crate) fn transposed(self) -> Self {
        Self { data: self.data, row: self.column, column: self.row }
    }

    /// The part that begins at this element.
    fn from(self, row: usize, column: usize) -> Self {
        Self { data: &self.data[row * self.row + column * self.column..], ..self }
    }

    fn fits(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row + (columns - 1) * self.column < self.data.len()
    }
}

/// What happens to the elements of the output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// They are replaced.
    Overwrite,
    /// The product is added to them.
    Accumulate,
}

/// Who computes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread.
    One,
    /// All of the current pool.
    All,
}

#[cfg(target_arch = "x86_64")] // `gemm` has threads of its own.
impl Threads {
    /// Calls `body` with every number below `count`.
    fn each(self, count: usize, body: impl Fn(usize) + Sync + Send) {
        match self {
            Self::One => (0..count).for_each(body),
            Self::All => (0..count).into_par_iter().for_each(body),
        }
    }
}

/// [`multiply`] with operands rounded to `precision`, by all threads.
pub(crate) fn product(
    precision: Precision,
    sizes: (usize, usize, usize),
    out: (&mut [f32], usize, Output),
    a: View<'_>,
    b: View<'_>,
) {
    product_on(Product::of(precision), sizes, out, a, b);
}

/// [`product`] on given instructions.
pub(crate) fn product_on(
    instructions: Product,
    (m, n, k): (usize, usize, usize),
    (out, stride, output): (&mut [f32], usize, Output),
    a: View<'_>,
    b: View<'_>,
) {
    if instructions == Product::F32 || m == 0 || n == 0 {
        return multiply((m, n, k), (out, stride, output), a, b, Threads::All);
    }
    assert!(instructions.is_available(), "products in bf16 need AVX512-BF16");
    check((m, n, k), (out, stride), a, b);
    cost::count(m, n, k);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the asserts found the instructions, and keep every access inside the three slices.
    unsafe {
        match instructions {
            Product::Amx => bf16::multiply::<bf16::Amx>((m, n, k), (out, stride, output), a, b),
            _ => bf16::multiply::<bf16::Avx512>((m, n, k), (out, stride, output), a, b),
        }
    }
}

fn check((m, n, k): (usize, usize, usize), (out, stride): (&[f32], usize), a: View<'_>, b: View<'_>) {
    assert!(a.fits(m, k) && b.fits(k, n), "an operand is smaller than its shape");
    assert!((m - 1) * stride + n <= out.len() && (n <= stride || m == 1), "the output is smaller than its shape");
}

/// `out [m, n] (+)= a [m, k] * b [k, n]`; the rows of `out` are `stride` apart.
pub(crate) fn multiply(
    (m, n, k): (usize, usize, usize),
    (out, stride, output): (&mut [f32], usize, Output),
    a: View<'_>,
    b: View<'_>,
    threads: Threads,
) {
    if m == 0 || n == 0 {
        return;
    }
    check((m, n, k), (out, stride), a, b);
    // SAFETY: the asserts keep every access inside the three slices, and `out` is borrowed mutably.
    unsafe { multiply_raw((m, n, k), (out.as_mut_ptr(), stride, output), a, b, threads) }
}

/// [`multiply`] into a raw output, for outputs whose rows interleave with those of other threads.
///
/// # Safety
/// `out` is valid for writes (and initialised, where it accumulates) at every `i * stride + j`, and nobody else
/// accesses these elements meanwhile. `a` and `b` must contain their shapes.
pub(crate) unsafe fn multiply_raw(
    (m, n, k): (usize, usize, usize),
    (out, stride, output): (*mut f32, usize, Output),
    a: View<'_>,
    b: View<'_>,
    threads: Threads,
) {
    debug_assert!(a.fits(m, k) && b.fits(k, n));
    cost::count(m, n, k);
    #[cfg(target_arch = "x86_64")]
    if avx512::takes(m, a, b) {
        // SAFETY: forwarded to the caller.
        return unsafe { avx512::multiply((m, n, k), (Shared(out), stride, output), a, b, threads) };
    }
    let accumulate = output == Output::Accumulate;
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => match rayon::current_num_threads() {
            1 => Parallelism::None,
            count => Parallelism::Rayon(count),
        },
    };
    // SAFETY: forwarded to the caller; strides are in elements.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.column as isize,
            b.row as isize,
            if accumulate { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// A pointer that threads may share because each touches other elements.
#[derive(Clone, Copy)]
pub(crate) struct Shared(*mut f32);

// SAFETY: the users of `Shared` write disjoint elements; each use states why.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// The first element of `slice`.
    pub(crate) fn new(slice: &mut [f32]) -> Self {
        Self(slice.as_mut_ptr())
    }

    /// The slice from `offset` on.
    ///
    /// # Safety
    /// As [`Shared::at`].
    #[cfg(target_arch = "x86_64")] // Only the bf16 kernels need it.
    pub(crate) unsafe fn from(self, offset: usize) -> Self {
        // SAFETY: forwarded to the caller.
        Self(unsafe { self.at(offset) })
    }

    /// The element at `offset`.
    ///
    /// # Safety
    /// `offset` is at most the length of the slice.
    pub(crate) unsafe fn at(self, offset: usize) -> *mut f32 {
        // SAFETY: the caller keeps `offset` inside the slice.
        unsafe { self.0.add(offset) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_strided_views() {
        let a: Vec<f32> = (0..12).map(|i| i as f32).collect(); // 2 x 3, stride 6
        let b: Vec<f32> = (0..8).map(|i| 0.5 * i as f32).collect(); // 4 x 3 transposed from 3 x 2, stride 3
        let mut out = vec![1.0f32; 10];
        let product = |i: usize, j: usize| (0..3).map(|k| a[i * 6 + k] * b[k + j * 4]).sum::<f32>();
        multiply(
            (2, 2, 3),
            (&mut out, 5, Output::Accumulate),
            View::rows(&a, 6),
            View::rows(&b, 4).transposed(),
            Threads::One,
        );
        for i in 0..2 {
            for j in 0..5 {
                let expected = if j < 2 { 1.0 + product(i, j) } else { 1.0 };
                assert_eq!(out[i * 5 + j], expected);
            }
        }
    }

    #[test]
    #[should_panic(expected = "an operand is smaller")]
    fn a_short_operand_is_refused() {
        let mut out = vec![0.0; 4];
        multiply(
            (2, 2, 3),
            (&mut out, 2, Output::Overwrite),
            View::rows(&[0.0; 5], 3),
            View::rows(&[0.0; 6], 2),
            Threads::One,
        );
    }
}
