//! Whether memory stays where it is.

/// Looks that begin: what is kept grows to its limits.
const FIRST: f64 = 0.2;

/// By how much the most of the later half of the looks is above the most of the earlier half, without the first ones: 1 is flat. `None` of too few.
pub(crate) fn growth(looks: &[u64]) -> Option<f64> {
    let settled = &looks[(looks.len() as f64 * FIRST) as usize..];
    if settled.len() < 6 {
        return None;
    }
    let (before, last) = settled.split_at(settled.len() / 2);
    let most = |looks: &[u64]| looks.iter().copied().max().unwrap_or(0) as f64;
    Some(most(last) / most(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_at_the_start_alone_is_flat() {
        let flat: Vec<u64> = (0..30).map(|look| if look < 6 { 100 + 10 * look } else { 150 + look % 3 }).collect();
        assert_eq!(growth(&flat), Some(1.0));
        let leaks: Vec<u64> = (0..30).map(|look| 100 + 10 * look).collect();
        assert!(growth(&leaks).is_some_and(|growth| growth > 1.3));
        assert_eq!(growth(&[1; 6]), None);
    }
}
