//! What the tests share.

mod bounds;
mod guarded;

/// Elements in -1..1 that look random and depend on the seed alone.
pub(crate) fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Panics unless every element is within `tolerance`, relative to the largest expected magnitude (at least 1).
pub(crate) fn close(what: &str, fast: &[f32], plain: &[f64], tolerance: f64) {
    assert_eq!(fast.len(), plain.len(), "{what}");
    let size = plain.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    for (i, (fast, plain)) in fast.iter().zip(plain).enumerate() {
        assert!((f64::from(*fast) - plain).abs() < tolerance * size, "{what}[{i}]: {fast} instead of {plain}");
    }
}
