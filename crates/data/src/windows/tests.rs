use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::testing::{Folder, corpus};
use crate::{DataConfig, Tokenizer};

const DOCUMENT: u32 = 256;

/// A part with a document for each length; token `t` of document `d` is the byte `d + t`, so that windows show where they
/// are from.
fn part(folder: &Folder, lengths: &[usize]) -> Part {
    for (document, &length) in lengths.iter().enumerate() {
        let text: Vec<u8> = (0..length).map(|at| (document * 31 + at) as u8).collect();
        folder.write(&format!("{document:03}.bin"), &text);
    }
    Part::whole("part", Arc::new(corpus(&folder.config(), &Tokenizer::bytes()).unwrap().0))
}

fn options(window: usize, batch: usize, packing: Packing) -> WindowOptions {
    WindowOptions { window, batch, seed: 3, packing, share: Share::default() }
}

/// Targets of a batch by the window's row.
fn scored(batch: &TokenBatch) -> Vec<Vec<u32>> {
    let rows = batch.targets.chunks(batch.length);
    rows.map(|row| row.iter().copied().filter(|&target| target != IGNORED).collect()).collect()
}

fn counts<T: std::hash::Hash + Eq>(items: impl IntoIterator<Item = T>) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    items.into_iter().for_each(|item| *counts.entry(item).or_default() += 1);
    counts
}

/// Every token of all documents.
fn tokens(part: &Part) -> Vec<u32> {
    part.iter().flat_map(|document| document.tokens.to_vec()).collect()
}

fn arbitrary_packing() -> impl Strategy<Value = Packing> {
    prop_oneof![Just(Packing::Document), Just(Packing::Concatenate)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_token_is_a_target_once_per_epoch(
        lengths in prop::collection::vec(1_usize..60, 1..8),
        long in 0_usize..400,
        window in 1_usize..24,
        batch in 1_usize..5,
        packing in arbitrary_packing(),
    ) {
        let folder = Folder::new();
        let part = part(&folder, &[&lengths[..], &[long + 1]].concat());
        let mut windows = Windows::new(std::slice::from_ref(&part), options(window, batch, packing)).unwrap();
        let expected = counts(tokens(&part));
        let mut rows = std::iter::repeat_with(|| windows.next_batch().unwrap()).flat_map(|batch| scored(&batch));
        for epoch in 0..3 {
            let (mut seen, mut left) = (Vec::new(), expected.values().sum::<usize>());
            while left > 0 {
                let row = rows.next().unwrap();
                prop_assert!(row.len() <= left, "epoch {} repeats a target", epoch);
                // Only a window that starts or ends between documents that are joined has no target.
                prop_assert!(!row.is_empty() || packing == Packing::Concatenate);
                left -= row.len();
                seen.extend(row);
            }
            prop_assert_eq!(counts(seen), expected.clone(), "epoch {}", epoch);
        }
    }

    #[test]
    fn a_target_is_the_token_after_its_input(
        lengths in prop::collection::vec(1_usize..90, 1..6),
        window in 1_usize..40,
        packing in arbitrary_packing(),
    ) {
        let folder = Folder::new();
        let part = part(&folder, &lengths);
        let mut windows = Windows::new(&[part], options(window, 3, packing)).unwrap();
        for _ in 0..20 {
            let batch = windows.next_batch().unwrap();
            for (inputs, targets) in batch.tokens.chunks(window).zip(batch.targets.chunks(window)) {
                // After the last target comes padding, if anything.
                let last = targets.iter().rposition(|&target| target != IGNORED).unwrap_or(0);
                let after = inputs[..=last].iter().skip(1).map(Some).chain([None]);
                for ((&input, &target), after) in inputs.iter().zip(targets).zip(after) {
                    prop_assert_ne!(target, DOCUMENT, "the document token is never a target");
                    if target != IGNORED {
                        prop_assert!(after.is_none_or(|&after| after == target));
                        prop_assert!(input == DOCUMENT || target == (input + 1) % 256, "{} then {}", input, target);
                    }
                }
                if packing == Packing::Document {
                    let real = inputs.iter().rposition(|&token| token != DOCUMENT).map_or(0, |at| at + 1);
                    prop_assert!(!inputs[1..real.max(1)].contains(&DOCUMENT), "a window mixes documents");
                }
            }
        }
    }

    #[test]
    fn a_restored_sampler_goes_on_exactly(
        lengths in prop::collection::vec(1_usize..200, 1..6),
        steps in 0_usize..40,
        batch in 1_usize..4,
        packing in arbitrary_packing(),
    ) {
        let folder = Folder::new();
        let part = part(&folder, &lengths);
        let new = |batch| Windows::new(std::slice::from_ref(&part), options(8, batch, packing)).unwrap();
        let mut whole = new(batch);
        (0..steps).for_each(|_| drop(whole.next_batch().unwrap()));
        let json = serde_json::to_string(&whole.position()).unwrap();
        let mut resumed = new(batch);
        resumed.restore(&serde_json::from_str(&json).unwrap()).unwrap();
        for _ in 0..10 {
            prop_assert_eq!(resumed.next_batch().unwrap(), whole.next_batch().unwrap());
        }
        prop_assert_eq!((resumed.position(), resumed.order_hash()), (whole.position(), whole.order_hash()));
        // The position does not depend on the size of the batches.
        let mut other = new(batch * 2);
        other.restore(&serde_json::from_str(&json).unwrap()).unwrap();
        let mut again = new(batch);
        again.restore(&serde_json::from_str(&json).unwrap()).unwrap();
        let two = [again.next_batch().unwrap().tokens, again.next_batch().unwrap().tokens].concat();
        prop_assert_eq!(other.next_batch().unwrap().tokens, two);
        prop_assert_eq!(other.order_hash(), again.order_hash());
    }
}

#[test]
fn short_documents_are_padded_and_tails_get_context() {
    let folder = Folder::new();
    let part = part(&folder, &[3, 11]);
    let mut windows = Windows::new(&[part], options(8, 1, Packing::Document)).unwrap();
    assert_eq!((windows.windows_per_epoch(), windows.targets_per_epoch()), (3, 14));
    let batches: Vec<TokenBatch> = (0..3).map(|_| windows.next_batch().unwrap()).collect();
    let short = batches.iter().find(|batch| batch.targets[0] == 0).unwrap();
    assert_eq!(short.tokens, [DOCUMENT, 0, 1, DOCUMENT, DOCUMENT, DOCUMENT, DOCUMENT, DOCUMENT]);
    assert_eq!(short.targets, [&[0, 1, 2][..], &[IGNORED; 5]].concat());
    let tail = batches.iter().find(|batch| batch.targets[7] == 41).unwrap();
    assert_eq!(tail.tokens, [33, 34, 35, 36, 37, 38, 39, 40], "a tail is filled with the tokens before it");
    assert!(tail.targets.iter().filter(|&&target| target != IGNORED).count() < 8);
}

#[test]
fn windows_come_in_another_order_and_phase_each_epoch() {
    let folder = Folder::new();
    let part = part(&folder, &[400]);
    let mut windows = Windows::new(&[part], options(8, 1, Packing::Document)).unwrap();
    let mut epoch = || {
        let mut rows: Vec<Vec<u32>> = vec![];
        while rows.iter().map(Vec::len).sum::<usize>() < 400 {
            rows.extend(scored(&windows.next_batch().unwrap()));
        }
        rows
    };
    let (first, second) = (epoch(), epoch());
    assert_ne!(first, second);
    let sorted = |mut rows: Vec<Vec<u32>>| {
        rows.sort();
        rows
    };
    assert_ne!(sorted(first), sorted(second), "the window grid moves");
    assert!((windows.epochs() - 2.0).abs() < 1e-9, "{}", windows.epochs());
}

#[test]
fn ranks_share_what_one_process_reads() {
    let folder = Folder::new();
    let part = part(&folder, &[100, 50, 70]);
    let new = |batch, rank, world| {
        let options = WindowOptions { share: Share { rank, world }, ..options(8, batch, Packing::Document) };
        Windows::new(std::slice::from_ref(&part), options).unwrap()
    };
    let (mut one, mut ranks) = (new(6, 0, 1), [new(2, 0, 3), new(2, 1, 3), new(2, 2, 3)]);
    for _ in 0..12 {
        let whole = one.next_batch().unwrap();
        let shares: Vec<u32> = ranks.iter_mut().flat_map(|rank| rank.next_batch().unwrap().targets).collect();
        assert_eq!(shares, whole.targets);
    }
    assert_eq!(ranks[0].position().windows(), one.position().windows());
}

#[test]
fn parts_are_mixed_by_weight_and_resume() {
    let (a, b) = (Folder::new(), Folder::new());
    let mut parts = [part(&a, &[500]), part(&b, &[40, 9])];
    (parts[0].weight, parts[1].weight) = (Some(1.0), Some(3.0));
    let mut windows = Windows::new(&parts, options(8, 1, Packing::Document)).unwrap();
    for step in 1..200 {
        windows.next_batch().unwrap();
        let taken: Vec<u64> = windows.position().parts.iter().map(|part| part.taken).collect();
        assert!((taken[1] as f64 - 0.75 * f64::from(step)).abs() <= 1.0, "{taken:?} after {step}");
    }
    let position = windows.position();
    let next = windows.next_batch().unwrap();
    let mut resumed = Windows::new(&parts, options(8, 1, Packing::Document)).unwrap();
    resumed.restore(&position).unwrap();
    assert_eq!(resumed.next_batch().unwrap(), next);
}

#[test]
fn only_the_marked_targets_of_synthetic_tasks_count() {
    let folder = Folder::new();
    let config = DataConfig { sources: vec!["synthetic:copy?length=5&documents=10".into()], ..folder.config() };
    let part = Part::whole("copy", Arc::new(corpus(&config, &Tokenizer::bytes()).unwrap().0));
    for (window, packing) in [(16, Packing::Document), (4, Packing::Document), (16, Packing::Concatenate)] {
        let mut windows = Windows::new(std::slice::from_ref(&part), options(window, 1, packing)).unwrap();
        assert_eq!(windows.targets_per_epoch(), 50);
        let expected = counts(part.iter().flat_map(|document| document.tokens.range(6..11)));
        let mut seen = Vec::new();
        while seen.len() < 50 {
            seen.extend(scored(&windows.next_batch().unwrap()).concat());
        }
        assert_eq!(counts(seen), expected, "window {window}, {packing:?}");
    }
}

#[test]
fn of_mqar_the_values_alone_count() {
    let folder = Folder::new();
    let source = "synthetic:mqar?shortest=5&length=5&documents=10";
    let config = DataConfig { sources: vec![source.into()], ..folder.config() };
    let part = Part::whole("mqar", Arc::new(corpus(&config, &Tokenizer::bytes()).unwrap().0));
    // Five pairs, the separator, five keys each with its value.
    let values = |tokens: Vec<u32>| (12..21).step_by(2).map(|at| tokens[at]).collect::<Vec<_>>();
    for (window, packing) in [(32, Packing::Document), (3, Packing::Document), (32, Packing::Concatenate)] {
        let mut windows = Windows::new(std::slice::from_ref(&part), options(window, 1, packing)).unwrap();
        assert_eq!(windows.targets_per_epoch(), 50);
        let expected = counts(part.iter().flat_map(|document| values(document.tokens.to_vec())));
        let mut seen = Vec::new();
        while seen.len() < 50 {
            seen.extend(scored(&windows.next_batch().unwrap()).concat());
        }
        assert_eq!(counts(seen), expected, "window {window}, {packing:?}");
    }
}

#[test]
fn another_sampler_is_refused() {
    let folder = Folder::new();
    let part = part(&folder, &[100, 50]);
    let sampler = |options| Windows::new(std::slice::from_ref(&part), options).unwrap();
    let position = sampler(options(8, 1, Packing::Document)).position();
    for other in [
        options(9, 1, Packing::Document),
        options(8, 1, Packing::Concatenate),
        WindowOptions { seed: 4, ..options(8, 1, Packing::Document) },
    ] {
        let fault = sampler(other).restore(&position).unwrap_err();
        assert!(fault.is_usage() && fault.hint_text().is_some(), "{fault}");
    }
    let fewer = Part { documents: vec![1], ..part.clone() };
    assert!(Windows::new(&[fewer], options(8, 1, Packing::Document)).unwrap().restore(&position).is_err());
    sampler(options(8, 5, Packing::Document)).restore(&position).unwrap();
}

#[test]
fn impossible_options_are_faults() {
    let folder = Folder::new();
    let part = part(&folder, &[100]);
    let bad_rank = WindowOptions { share: Share { rank: 2, world: 2 }, ..options(8, 1, Packing::Document) };
    for bad in [options(0, 1, Packing::Document), options(8, 0, Packing::Document), bad_rank] {
        assert!(Windows::new(std::slice::from_ref(&part), bad).unwrap_err().is_usage());
    }
    let empty = Part { documents: vec![], ..part };
    let fault = Windows::new(&[empty], options(8, 1, Packing::Document)).unwrap_err();
    assert!(fault.to_string().contains("no text to train on"), "{fault}");
}
