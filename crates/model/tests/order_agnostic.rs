//! Order-agnostic models: what a stream answers is what a whole window does, and nothing sees what comes later.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{DType, Device, activation::log_softmax};
use percept_model::config::{Objective, Offsets};
use percept_model::order_agnostic::{Lesson, OrderAgnosticBatch, Windows};
use percept_model::session::Pair;
use percept_model::{
    Batch, Gradients, InferenceModel, LanguageModel, Mode, ModelConfig, OrderAgnostic, Recompute, Session, Trainable,
};

const OFFSETS: Offsets = Offsets { forward: 3, backward: 5 };

fn config(layers: &str) -> ModelConfig {
    let base = ModelConfig::default().with("segment", 6).unwrap().with("latents", 8).unwrap();
    ModelConfig {
        layers: layers.into(),
        objective: Objective::OrderAgnostic,
        order_agnostic: OFFSETS,
        vocab: 23,
        dim: 16,
        depth: 2,
        heads: 2,
        context: 32,
        init_std: 0.4,
        ..base
    }
}

fn tokens(count: usize) -> Vec<u32> {
    (0..count as u64).map(|at| percept_random::below(22, &[7, at]) as u32 + 1).collect()
}

/// Every pair of a window of tokens: the lessons of both kinds, where all is labelled.
fn lessons(model: &LanguageModel, tokens: &[u32]) -> [Lesson; 2] {
    let targets = tokens[1..].iter().copied().chain([1]).collect();
    let batch = Batch { tokens: tokens.to_vec(), targets, rows: 1, length: tokens.len() };
    let windows = Windows { batch: &batch, document: 0, first: model.window_rows(tokens.len()).history };
    let labelled = vec![true; tokens.len()];
    [
        Lesson::forward(&windows, OFFSETS.forward),
        Lesson::backward(&windows, tokens.to_vec(), &labelled, OFFSETS.backward),
    ]
}

/// ln p of every token for every pair of a window.
fn whole(model: &LanguageModel, tokens: &[u32]) -> BTreeMap<(usize, usize), Vec<f64>> {
    let mut found = BTreeMap::new();
    for lesson in lessons(model, tokens) {
        let ln_p: Vec<f64> = log_softmax(model.answer_logits(&lesson), 2).into_data().iter().collect();
        let sources = lesson.asked.iter().flat_map(|asked| asked.sources.iter().map(|at| (*at, asked.offset)));
        for ((source, offset), row) in sources.zip(ln_p.chunks(23)) {
            found.insert((source, source.strict_add_signed(offset)), row.to_vec());
        }
    }
    found
}

fn furthest(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

const STACKS: [&str; 7] =
    ["llp", "transformer", "longlora", "rwkv7, llp", "tost, transformer", "conv, llp(segment=4)", "perceiver-ar, llp"];

#[test]
fn a_stream_in_any_pieces_answers_as_a_whole_window() {
    for layers in STACKS {
        let model: Arc<InferenceModel> =
            Arc::new(LanguageModel::new(&config(layers), 5, &Device::flex()).unwrap().into());
        let tokens = tokens(if layers.starts_with("perceiver") { 8 } else { 30 });
        let expected = whole(&model, &tokens);
        for cut in [1, 3, 7, 30] {
            let (mut session, mut seen) = (Session::new(model.clone()), BTreeMap::new());
            for piece in tokens.chunks(cut) {
                let mut visit = |pair: Pair, row: &[f32]| {
                    seen.insert(
                        (pair.source, pair.target),
                        row.iter().map(|ln_p| f64::from(*ln_p)).collect::<Vec<_>>(),
                    );
                };
                session.feed_asking(piece, &|_| true, &mut visit).unwrap();
            }
            for (pair, row) in &expected {
                assert!(furthest(row, &seen[pair]) < 2e-4, "{layers} in pieces of {cut}: {pair:?}");
            }
            // What it says without being asked is the answer at an offset of one.
            let next: Vec<f64> = session.log_probabilities().unwrap().into_iter().map(f64::from).collect();
            assert!(furthest(&next, &expected[&(tokens.len() - 1, tokens.len())]) < 2e-4, "{layers}");
        }
    }
}

#[test]
fn a_window_that_is_run_again_answers_as_the_whole_window_does() {
    let model: Arc<InferenceModel> =
        Arc::new(LanguageModel::new(&config("perceiver-ar, llp"), 5, &Device::flex()).unwrap().into());
    let tokens = tokens(33);
    // Of 33 tokens the last eight are latents, and the first one has left the window.
    let expected = whole(&model, &tokens[1..]);
    let (mut session, mut seen) = (Session::new(model), BTreeMap::new());
    let mut visit = |pair: Pair, row: &[f32]| {
        seen.insert((pair.source, pair.target), row.iter().map(|ln_p| f64::from(*ln_p)).collect::<Vec<_>>());
    };
    session.feed_asking(&tokens, &|pair| pair.source >= 25, &mut visit).unwrap();
    // That window begins with token 28; those before it were asked in an earlier one.
    for (&(source, target), row) in expected.range((27, 0)..) {
        assert!(furthest(row, &seen[&(source + 1, target + 1)]) < 2e-4, "{source} asks for {target}");
    }
}

#[test]
fn what_comes_next_is_the_same_from_windows_tensors_and_packed_weights() {
    for layers in ["llp", "transformer", "longlora", "rwkv7, llp"] {
        let model = LanguageModel::new(&config(layers), 5, &Device::flex()).unwrap();
        let tokens = tokens(30);
        let expected = whole(&model, &tokens);
        let plain = log_softmax(model.forward(&tokens, 1, model.window_rows(30)).unwrap(), 2);
        let plain: Vec<f64> = plain.into_data().iter().collect();
        let mut session = Session::new(Arc::new(model.into()));
        for (at, &token) in tokens.iter().enumerate() {
            let stepped: Vec<f64> = session.feed(&[token]).unwrap().into_iter().map(f64::from).collect();
            let answer = &expected[&(at, at + 1)];
            assert!(furthest(&stepped, answer) < 2e-4, "{layers} at {at}");
            assert!(furthest(&plain[at * 23..][..23], answer) < 2e-4, "{layers} at {at}");
        }
    }
}

#[test]
fn no_source_sees_a_later_token_and_offsets_differ() {
    for layers in STACKS {
        let model = LanguageModel::new(&config(layers), 5, &Device::flex()).unwrap().with_dtype(DType::F64);
        let (one, mut other) = (tokens(30), tokens(30));
        other[26] = other[26] % 22 + 1;
        let (one, other) = (whole(&model, &one), whole(&model, &other));
        for (&(source, target), row) in &one {
            let moved = furthest(row, &other[&(source, target)]);
            assert_eq!(moved > 1e-9, source >= 26, "{layers}: {source} asks for {target}, moved by {moved}");
        }
        assert!(furthest(&one[&(28, 29)], &one[&(28, 27)]) > 1e-3, "{layers}: the offset changes nothing");
    }
}

fn gradients(model: &OrderAgnostic, batch: &OrderAgnosticBatch, recompute: Recompute) -> (f64, Gradients) {
    let mode = Mode::Training { seed: 3, step: 1 };
    let learned = model.loss_and_gradients(batch, mode, recompute, 0.01).unwrap();
    (learned.loss, learned.gradients)
}

#[test]
fn gradients_are_the_same_where_blocks_are_computed_again() {
    for layers in ["llp", "rwkv7, rwkv7, transformer", "perceiver-ar, llp"] {
        let dropout = ModelConfig { attention_dropout: 0.2, feed_forward_dropout: 0.1, ..config(layers) };
        let config = ModelConfig { depth: if layers.contains("rwkv7") { 3 } else { 2 }, ..dropout };
        let model = OrderAgnostic::fresh(&config, 5, &Device::flex().autodiff()).unwrap();
        let batch = Batch { tokens: tokens(60), targets: tokens(61)[1..].to_vec(), rows: 2, length: 30 };
        let first = model.model().window_rows(30).history;
        let windows = Windows { batch: &batch, document: 0, first };
        // One whose errors are the model's own among them.
        let mut batches = (0..40).map(|seed| OrderAgnosticBatch::new(&windows, &windows, OFFSETS, seed));
        let own = batches.find(|batch| batch.samples.is_some()).unwrap();
        let made = batches.find(|batch| batch.samples.is_none()).unwrap();
        for batch in [own, made] {
            let (loss, kept) = gradients(&model, &batch, Recompute::Keep);
            let (again, computed) = gradients(&model, &batch, Recompute::Blocks);
            assert!((loss - again).abs() < 1e-3 * loss.abs(), "{layers}: {loss} {again}");
            assert_eq!(kept.0.len(), computed.0.len(), "{layers}");
            for (path, gradient) in kept.0 {
                let difference: f32 = (gradient.clone() - computed.0[&path].clone()).abs().max().into_scalar();
                let size: f32 = gradient.abs().max().into_scalar();
                assert!(difference <= 1e-5 + 1e-4 * size, "{layers}: {path} differs by {difference} of {size}");
            }
        }
    }
}

#[test]
fn both_kinds_count_equally() {
    let model = OrderAgnostic::fresh(&config("llp"), 5, &Device::flex().autodiff()).unwrap();
    let [forward, backward] = lessons(model.model(), &tokens(30));
    let nothing = |lesson: &Lesson| Lesson { asked: Vec::new(), labels: Vec::new(), ..lesson.clone() };
    let loss = |forward: &Lesson, backward: &Lesson| {
        let batch = OrderAgnosticBatch { forward: forward.clone(), backward: backward.clone(), samples: None };
        gradients(&model, &batch, Recompute::Keep).0
    };
    let pairs = forward.pairs() as f64;
    let (both, alone) = (loss(&forward, &backward), loss(&forward, &nothing(&backward)));
    // Half the mean of either kind, times the forward pairs.
    let mean = |lesson: &Lesson| loss(lesson, &nothing(lesson)) * 2.0 / lesson.pairs() as f64;
    assert!((alone - pairs / 2.0 * mean(&forward)).abs() < 1e-3);
    assert!((both - pairs / 2.0 * (mean(&forward) + mean(&backward))).abs() < 1e-3);
}
