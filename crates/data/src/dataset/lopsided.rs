//! Whether held-out text is about as much as was asked for.

use crate::{Corpus, SplitConfig};

/// A part further from its share than this factor is told.
const FAR: f64 = 2.5;

/// What is wrong with parts (training, validation, test) of so many bytes, if they are far from their shares.
pub(super) fn warning(name: &str, [train, validation, test]: [u64; 3], split: &SplitConfig) -> Option<String> {
    let total = (train + validation + test) as f64;
    let shares = [1.0 - split.validation - split.test, split.validation, split.test];
    let got = [train, validation, test].map(|bytes| bytes as f64 / total);
    let is_far = |(got, asked): (f64, f64)| asked > 0.0 && (got > asked * FAR || got < asked / FAR);
    if total == 0.0 || !got.into_iter().zip(shares).any(is_far) {
        return None;
    }
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let part =
        |label: &str, index: usize| format!("{label} {} ({} asked)", percent(got[index]), percent(shares[index]));
    Some(format!(
        "{name} splits unevenly by bytes: {}, {}, {}; its documents are too few or too unequal: name held-out text in \
         data.validation and data.test, or set data.split",
        part("training", 0),
        part("validation", 1),
        part("test", 2)
    ))
}

/// Bytes of some documents of a corpus.
pub(super) fn bytes(corpus: &Corpus, documents: &[usize]) -> u64 {
    documents.iter().map(|&index| corpus.document_bytes(index)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_far_from_their_shares_are_told() {
        let split = SplitConfig::default();
        assert_eq!(warning("a", [90, 5, 5], &split), None);
        assert_eq!(warning("a", [86, 2, 12], &split), None);
        let text = warning("a", [207, 499_000, 793], &split).unwrap();
        assert!(
            text.starts_with(
                "a splits unevenly by bytes: training 0.0 % (90.0 % asked), validation 99.8 % (5.0 % asked)"
            )
        );
        assert!(warning("a", [95, 0, 5], &split).is_some(), "nothing held out");
        assert_eq!(warning("a", [100, 0, 0], &SplitConfig { validation: 0.0, test: 0.0, seed: 0 }), None);
        assert_eq!(warning("a", [0, 0, 0], &split), None);
    }
}
