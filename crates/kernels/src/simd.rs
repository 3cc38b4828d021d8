//! One source per loop, compiled for AVX-512, AVX2 and the baseline, chosen at run time.

use std::hint::black_box;
use std::sync::OnceLock;

/// Lanes that the loops keep apart, so that the compiler can use whole vectors and sums have a fixed order.
pub(crate) const LANES: usize = 16;

/// What the processor offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// The compilation target's baseline.
    Baseline,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The instructions that it is named after.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512f",
        }
    }
}

/// The best level of this processor.
pub(crate) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    #[cfg(test)]
    if let Some(level) = tests::forced() {
        return level;
    }
    *LEVEL.get_or_init(detect)
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match (avx2, avx512) {
        (true, true) => Level::Avx512,
        (true, false) => Level::Avx2,
        _ => Level::Baseline,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    Level::Baseline
}

/// Multiply and add: fused where the instruction exists, two operations elsewhere (a software fma is very slow).
pub(crate) trait Arithmetic {
    fn fma(a: f32, b: f32, c: f32) -> f32;
}

/// One rounding.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) struct Fused;
/// Two roundings.
#[cfg(not(target_arch = "aarch64"))]
pub(crate) struct Split;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl Arithmetic for Fused {
    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

#[cfg(not(target_arch = "aarch64"))]
impl Arithmetic for Split {
    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// What the baseline uses.
#[cfg(target_arch = "aarch64")]
pub(crate) type Plain = Fused;
/// What the baseline uses.
#[cfg(not(target_arch = "aarch64"))]
pub(crate) type Plain = Split;

/// Declares functions whose bodies are compiled once per [`Level`] and dispatched at run time. In a body, `A` is the
/// level's [`Arithmetic`].
macro_rules! simd {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? $body:block)*) => {$(
        $(#[$meta])*
        #[inline]
        $vis fn $name($($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            fn generic<A: $crate::simd::Arithmetic>($($arg: $type),*) $(-> $out)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $type),*) $(-> $out)? { generic::<$crate::simd::Fused>($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $type),*) $(-> $out)? { generic::<$crate::simd::Fused>($($arg),*) }
            match $crate::simd::level() {
                // SAFETY: `level` has found these instructions on this processor.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx2 => unsafe { avx2($($arg),*) },
                $crate::simd::Level::Baseline => generic::<$crate::simd::Plain>($($arg),*),
            }
        }
    )*};
}
pub(crate) use simd;

/// Sum of the lanes, pairwise.
#[inline(always)]
pub(crate) fn lanes_sum(lanes: [f32; LANES]) -> f32 {
    let mut lanes = lanes;
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Below this, [`exp`] gives zero. Products with smaller factors become denormal, and those are a hundred times slower.
const VANISHING: f32 = -60.0;

/// `exp(x)` to about 1e-7 relative (Cephes' polynomial), zero below [`VANISHING`]; `x` at most 88.
#[inline(always)]
pub(crate) fn exp<A: Arithmetic>(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let vanishes = x < VANISHING;
    let x = x.clamp(VANISHING, 88.0);
    let n = A::fma(x, std::f32::consts::LOG2_E, ROUND) - ROUND;
    let r = A::fma(n, -LN2_LOW, A::fma(n, -LN2_HIGH, x));
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
        p = A::fma(p, r, c);
    }
    let y = A::fma(p * r, r, r) + 1.0;
    // `n as i32` saturates, which costs instructions; n is in -87..=127 by the clamp, and NaN stays NaN through y.
    let exponent = (n + ROUND).to_bits() << 23;
    if vanishes { 0.0 } else { y * f32::from_bits(exponent.wrapping_add(1.0f32.to_bits())) }
}

/// `(erf(z), exp(-z^2))` to about 2e-7 absolute (Abramowitz and Stegun 7.1.26).
#[inline(always)]
pub(crate) fn erf_exp<A: Arithmetic>(z: f32) -> (f32, f32) {
    let size = z.abs();
    let t = 1.0 / A::fma(size, 0.327_591_1, 1.0);
    let e = exp::<A>(-size * size);
    let mut p = 1.061_405_4;
    for c in [-1.453_152, 1.421_413_8, -0.284_496_74, 0.254_829_6] {
        p = A::fma(p, t, c);
    }
    ((1.0 - p * t * e).copysign(z), e)
}

/// The largest element; what is no number counts for nothing.
#[inline(always)]
pub(crate) fn largest(x: &[f32]) -> f32 {
    let larger = |most: f32, x: f32| if x > most { x } else { most };
    let (chunks, mut lanes) = (x.chunks_exact(LANES), [f32::NEG_INFINITY; LANES]);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (most, x) in lanes.iter_mut().zip(chunk) {
            *most = larger(*most, *x);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

/// Sum of products, inside a loop that is compiled for a level.
#[inline(always)]
pub(crate) fn inner_product<A: Arithmetic>(a: &[f32], b: &[f32]) -> f32 {
    inner_product_of::<A, f32>(a, b)
}

/// An element that is computed with as an f32.
pub(crate) trait Widen: Copy {
    /// Its value.
    fn widened(self) -> f32;
}

impl Widen for f32 {
    #[inline(always)]
    fn widened(self) -> f32 {
        self
    }
}

/// Bits of a bfloat16.
impl Widen for u16 {
    #[inline(always)]
    fn widened(self) -> f32 {
        f32::from_bits(u32::from(self) << 16)
    }
}

/// The same with elements that are widened first.
#[inline(always)]
pub(crate) fn inner_product_of<A: Arithmetic, E: Widen>(a: &[f32], b: &[E]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder()).fold(0.0, |sum, (x, y)| A::fma(*x, y.widened(), sum));
    for (x, y) in a.zip(b) {
        for i in 0..LANES {
            lanes[i] = A::fma(x[i], y[i].widened(), lanes[i]);
        }
    }
    // Opaque to LLVM, which otherwise cuts the lanes in pairs to suit the sum, and multiplies two at a time.
    lanes_sum(black_box(lanes)) + rest
}

simd! {
    /// Sum of products.
    pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
        inner_product::<A>(a, b)
    }

    /// `x *= factor`.
    pub(crate) fn scale(x: &mut [f32], factor: f32) {
        for x in x {
            *x *= factor;
        }
    }

    /// `x += y`.
    pub(crate) fn add(x: &mut [f32], y: &[f32]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x += y;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The level that `KERNELS_LEVEL` names, for this test binary only.
    pub(super) fn forced() -> Option<Level> {
        static FORCED: OnceLock<Option<Level>> = OnceLock::new();
        *FORCED.get_or_init(|| match std::env::var("KERNELS_LEVEL").as_deref() {
            #[cfg(target_arch = "x86_64")]
            Ok("avx2") if detect() != Level::Baseline => Some(Level::Avx2),
            Ok(_) => Some(Level::Baseline),
            Err(_) => None,
        })
    }

    /// Runs all other tests of this binary on the levels below the processor's best.
    #[test]
    fn the_lower_levels_pass_the_same_tests() {
        for level in ["avx2", "baseline"] {
            let mut tests = std::process::Command::new(std::env::current_exe().unwrap());
            let output = tests.env("KERNELS_LEVEL", level).args(["--skip", "the_lower_levels"]).output().unwrap();
            assert!(output.status.success(), "{level}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }

    #[test]
    fn exp_and_erf_are_accurate() {
        for i in -6000..8800 {
            let x = i as f32 / 100.0;
            for y in [exp::<Fused>(x), exp::<Split>(x)] {
                assert!((f64::from(y) / f64::from(x).exp() - 1.0).abs() < 3e-7, "exp({x}) = {y}");
            }
        }
        assert!(exp::<Fused>(f32::NAN).is_nan());
        assert_eq!([f32::NEG_INFINITY, -1e30, -60.01].map(exp::<Fused>), [0.0; 3]);
        for (z, known) in
            [(0.0, 0.0), (0.1, 0.112_462_916), (-0.5, -0.520_499_9), (1.0, 0.842_700_8), (3.0, 0.999_977_9)]
        {
            assert!((erf_exp::<Fused>(z).0 - known).abs() < 3e-7, "erf({z})");
        }
    }

    #[test]
    fn dot_takes_any_length() {
        for n in [0, 1, 15, 16, 17, 50] {
            let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
            assert_eq!(dot(&a, &a), (0..n).map(|i| (i * i) as f32).sum::<f32>());
        }
    }
}
