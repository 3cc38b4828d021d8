//! Training targets, and texts with errors.

use percept_model::config::Offsets;
use percept_model::order_agnostic::{Asked, Corrupted, Draws, Lesson, Windows, corrupt};
use percept_model::{Batch, IGNORED};

use crate::fixture::{Fixture, check, fixtures};

/// Of ratios, relative.
const CLOSE: f64 = 2e-6;

/// The recorded draws.
struct Recorded {
    draws: std::vec::IntoIter<(i64, f32)>,
}

impl Recorded {
    fn next(&mut self, kinds: &[i64]) -> f32 {
        let (kind, value) = self.draws.next().expect("a draw");
        assert!(kinds.contains(&kind), "a draw of kind {kind}, not {kinds:?}");
        value
    }
}

impl Draws for Recorded {
    fn uniform(&mut self) -> f32 {
        self.next(&[0])
    }

    fn within(&mut self, least: usize, most: usize) -> usize {
        let value = self.next(&[1, 2]) as usize;
        assert!((least..=most).contains(&value), "{value} is not in {least} ..= {most}");
        value
    }

    fn ratio(&mut self) -> f32 {
        self.next(&[3])
    }
}

/// The pairs of a lesson: source, target and label.
fn pairs(lesson: &Lesson) -> Vec<(usize, usize, i64)> {
    let mut labels = lesson.labels.iter();
    let mut pairs = Vec::new();
    for Asked { offset, sources } in &lesson.asked {
        for &source in sources {
            let target = (source % lesson.length).strict_add_signed(*offset);
            pairs.push((source, target, i64::from(*labels.next().expect("a label"))));
        }
    }
    assert!(labels.next().is_none());
    pairs.sort_unstable();
    pairs
}

/// The pairs that the authors' labels name.
fn their_pairs(fixture: &Fixture, kind: &str) -> Vec<(usize, usize, i64)> {
    let (shape, labels) = fixture.integers(&format!("{kind}.labels"));
    let (_, targets) = fixture.integers(&format!("{kind}.targets_position"));
    let scored = (0..labels.len()).filter(|&at| labels[at] >= 0);
    let mut pairs: Vec<_> = scored.map(|at| (at / shape[2], targets[at] as usize, labels[at])).collect();
    pairs.sort_unstable();
    pairs
}

#[test]
fn targets_and_corrupted_texts_are_the_authors() {
    for fixture in fixtures("targets") {
        let (shape, ids) = fixture.integers("input_ids");
        let (rows, length) = (shape[0], shape[1]);
        let tokens: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
        let starts: Vec<usize> = fixture.integers("starts").1.into_iter().map(|start| start as usize).collect();
        let mut targets = vec![IGNORED; tokens.len()];
        for (row, &start) in starts.iter().enumerate() {
            (start..length).for_each(|at| targets[row * length + at - 1] = tokens[row * length + at]);
        }
        let batch = Batch { tokens: tokens.clone(), targets, rows, length };
        let windows = Windows { batch: &batch, document: u32::MAX, first: 0 };
        let Offsets { forward, backward } = fixture.offsets();
        assert_eq!(pairs(&Lesson::forward(&windows, forward)), their_pairs(&fixture, "forward"), "{}", fixture.name);

        let kinds = fixture.integers("draw_kind").1;
        let draws: Vec<_> = kinds.into_iter().zip(fixture.floats("draw_value").1).collect();
        let mut draws = Recorded { draws: draws.into_iter() };
        let (mut corrupted, mut labelled) = (tokens.clone(), vec![false; tokens.len()]);
        let (mut ratio, mut share) = (0.0, 0.0);
        for (row, &start) in starts.iter().enumerate() {
            let answer = row * length + start..(row + 1) * length;
            let Corrupted { tokens, labelled: own, ratio: drawn, share: replaced } =
                corrupt(&batch.tokens[answer.clone()], &mut draws);
            corrupted[answer.clone()].copy_from_slice(&tokens);
            labelled[answer].copy_from_slice(&own);
            (ratio, share) = (ratio + drawn / rows as f32, share + replaced / rows as f32);
        }
        assert!(draws.draws.next().is_none(), "{}: draws are left", fixture.name);
        let theirs: Vec<u32> = fixture.integers("corrupted_ids").1.into_iter().map(|id| id as u32).collect();
        assert_eq!(corrupted, theirs, "{}", fixture.name);
        let lesson = Lesson::backward(&windows, corrupted, &labelled, backward);
        assert_eq!(pairs(&lesson), their_pairs(&fixture, "backward"), "{}", fixture.name);
        check(&fixture, "ratio_drawn", (&[ratio], &fixture.floats("ratio_drawn").1), CLOSE);
        check(&fixture, "replace_ratio", (&[share], &fixture.floats("replace_ratio").1), CLOSE);
        let sampled = fixture.integers("model_samples").1[0] == 1;
        assert_eq!(share - 0.05 < ratio, sampled, "{}", fixture.name);
    }
}
