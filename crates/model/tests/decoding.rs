//! The decoder against the tensors: the same log-probabilities for every mixer that describes its step, under every
//! option, however a text is cut, alone or with other streams.

use std::sync::Arc;

use burn::tensor::{DType, Device, Int, Tensor};
use percept_model::channel::ChannelKind;
use percept_model::config::{Biases, Head, KeyValue, NormKind, RotaryLayers, RotaryLayout};
use percept_model::decoder::Decoder;
use percept_model::session::{WindowSchedule, step_all};
use percept_model::{InferenceModel, LanguageModel, ModelConfig, Rows, Session, WeightPrecision};
use proptest::prelude::*;

const VOCAB: usize = 70;

/// Schedules all of whose mixers describe their step.
const SCHEDULES: [&str; 30] = [
    "llp",
    "transformer",
    "longlora",
    "llp*2, transformer",
    "llp(segment=2), llp",
    "longlora, llp(segment=3)",
    "conv, llp",
    "tost",
    "tost(decay=0.9, routing=length-scaled, position_bias=7), conv",
    "group-conv, transformer",
    "rwkv4",
    "llp, rwkv4",
    "combiner-fixed",
    "combiner-logsparse",
    "combiner-axial-vertical(row=3)",
    "combiner-axial-horizontal, combiner-axial-mixture(row=2)",
    "combiner-axial-mixture(positions=additive), llp",
    "combiner-axial-horizontal(sides=joined, row=3), combiner-axial-mixture(sides=joined)",
    "combiner-axial-rowmajor(row=3)",
    "combiner-axial-rowmajor(keys=own), combiner-axial-rowmajor(row=2, positions=additive)",
    "combiner-axial-rowmajor(keys=own, row=3), conv",
    "combiner-axial-rowmajor(keys=weighted, row=3)",
    "combiner-fixed(span=3, positions=additive), conv",
    "combiner-logsparse(positions=none), combiner-fixed(span=2)",
    "rwkv7",
    "rwkv7(removal_scale=2)*2, transformer",
    "llp, rwkv7",
    "recurrent",
    "recurrent(states=3, update=dual), recurrent(gate=fixed, update=skip), llp",
    "recurrent(segment=1, states=1), recurrent(gate=fixed, update=dual)",
];

/// The options, one bit each.
fn config(schedule: usize, segment: usize, options: u32) -> ModelConfig {
    let on = |bit: u32| options >> bit & 1 == 1;
    ModelConfig {
        layers: SCHEDULES[schedule].into(),
        vocab: VOCAB,
        dim: 24,
        depth: 3,
        heads: 4,
        // Weighted keys want one for every head.
        kv_heads: if on(0) && !SCHEDULES[schedule].contains("weighted") { 2 } else { 0 },
        context: 5 * segment,
        norm: if on(1) { NormKind::Layer } else { NormKind::Rms },
        feed_forward: match SCHEDULES[schedule].starts_with("group-conv") {
            true => ChannelKind::Grouped,
            false => [ChannelKind::Swiglu, ChannelKind::Rwkv4, ChannelKind::Gelu, ChannelKind::Gelu]
                [options as usize / 4 % 4],
        },
        feed_forward_dim: if SCHEDULES[schedule].starts_with("group-conv") { 44 } else { 41 },
        biases: [Biases::None, Biases::Paper, Biases::All][options as usize / 8 % 3],
        key_value: if on(4) { KeyValue::Shared } else { KeyValue::Separate },
        key_value_norm: on(5),
        qk_norm: on(6),
        rotary: [RotaryLayers::All, RotaryLayers::First, RotaryLayers::None][options as usize / 256 % 3],
        rotary_layout: if on(8) { RotaryLayout::Interleaved } else { RotaryLayout::HalfSplit },
        rotary_fraction: if on(9) { 0.5 } else { 1.0 },
        head: if on(10) { Head::Tied } else { Head::Untied },
        init_std: 0.3,
        ..ModelConfig::default().with("segment", segment).unwrap().with("first_segment_output", on(7)).unwrap()
    }
}

fn model(config: &ModelConfig) -> Arc<InferenceModel> {
    let model = LanguageModel::new(config, 3, &Device::default()).expect("a model");
    // Zero biases and unit norms would hide a decoder that forgets them.
    let model = percept_model::parameters::map(model, |path, _, tensor| {
        let shift = if path.ends_with("bias") || path.ends_with("beta") { 0.1 } else { 0.0 };
        // The same for all heads would choose none.
        let tensor = if path.ends_with("positions") { uneven(tensor.dims()[0]) } else { tensor };
        let factor = if path.ends_with("gamma") || path.ends_with("temperature") { 1.3 } else { 1.0 };
        tensor * factor + shift
    });
    Arc::new(InferenceModel::new(model))
}

fn uneven(length: usize) -> Tensor<1> {
    Tensor::<1, Int>::arange(0..length as i64, &Device::default()).float().sin()
}

fn tokens(length: usize, seed: u64) -> Vec<u32> {
    (0..length as u64)
        .map(|i| ((i + 1).wrapping_mul(seed | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32 % VOCAB as u32)
        .collect()
}

/// ln p after `text`, by one forward over the window that the position decides.
fn by_tensors(model: &LanguageModel, text: &[u32]) -> Vec<f32> {
    let start = WindowSchedule::of(model.config(), model.layers()).map_or(0, |w| w.window(text.len()).start);
    let text = &text[start..];
    let logits = model.forward(text, 1, Rows::plain(text.len(), 0)).expect("logits");
    let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
    let row = &logits[logits.len() - VOCAB..];
    let lse = row.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln() as f32;
    row.iter().map(|x| x - lse).collect()
}

/// Largest difference, relative to the largest log-probability.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    let size = b.iter().fold(1.0f32, |most, x| most.max(x.abs()));
    a.iter().zip(b).fold(0.0, |most: f32, (a, b)| most.max((a - b).abs() / size))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_decoder_equals_the_tensors(
        schedule in 0..SCHEDULES.len(), segment in 2..7usize, options in 0..2048u32, length in 1..80usize,
        cuts in prop::collection::vec(prop_oneof![1..4usize, 15..30usize], 1..6),
    ) {
        let model = model(&config(schedule, segment, options));
        prop_assert!(Decoder::supports(&model));
        let text = tokens(length, 5);
        let mut session = Session::new(model.clone());
        let mut fed = 0;
        for cut in cuts.iter().cycle() {
            let until = (fed + cut).min(length);
            let ours = session.feed(&text[fed..until]).expect("fed");
            fed = until;
            let distance = distance(&ours, &by_tensors(&model, &text[..fed]));
            prop_assert!(distance < 1e-5, "{distance:e} after {fed} tokens");
            if fed == length {
                break;
            }
        }
    }

    #[test]
    fn streams_together_compute_what_each_computes_alone(
        schedule in 0..SCHEDULES.len(), segment in 2..5usize, options in 0..2048u32,
        prompts in prop::collection::vec(1..40usize, 1..8), steps in 1..30usize,
    ) {
        let model = model(&config(schedule, segment, options));
        let fed = |length: &usize| {
            let mut session = Session::new(model.clone());
            session.feed(&tokens(*length, *length as u64)).expect("fed");
            session
        };
        let mut alone: Vec<Session> = prompts.iter().map(fed).collect();
        let mut together = alone.clone();
        let mut rows = vec![f32::NAN; prompts.len() * VOCAB];
        for step in 0..steps {
            let next = tokens(prompts.len(), step as u64 + 77);
            step_all(&mut together.iter_mut().collect::<Vec<_>>(), &next, &mut rows).expect("a step");
            for ((session, token), row) in alone.iter_mut().zip(&next).zip(rows.chunks_exact(VOCAB)) {
                let single = session.feed(&[*token]).expect("fed");
                prop_assert!(distance(row, &single) < 1e-6, "step {step}");
            }
        }
        for (a, b) in alone.iter().zip(&together) {
            prop_assert_eq!((a.position(), a.state_bytes()), (b.position(), b.state_bytes()));
            prop_assert!(distance(&b.log_probabilities().expect("fed"), &a.log_probabilities().expect("fed")) < 1e-6);
        }
    }
}

#[test]
fn a_stack_is_decoded_where_a_mixer_brings_its_step() {
    let supports = |layers: &str| {
        let config = ModelConfig {
            layers: layers.into(),
            ..config(0, 4, 0).with("latents", 8).unwrap().with("compressed", 4).unwrap()
        };
        Decoder::supports(&LanguageModel::new(&config, 3, &Device::default()).expect("a model"))
    };
    assert!(
        [
            "llp",
            "transformer",
            "longlora",
            "conv",
            "tost",
            "group-conv",
            "rwkv4",
            "rwkv7",
            "combiner-fixed",
            "combiner-logsparse",
            "combiner-axial-vertical",
            "combiner-axial-horizontal",
            "combiner-axial-mixture",
            "combiner-axial-rowmajor"
        ]
        .into_iter()
        .all(supports)
    );
    assert!(!supports("perceiver-ar"), "it has nothing but latents to decode");
    assert!(supports("perceiver-v1, llp"), "the other layers run through tensors");
}

/// A group of eight outputs fills a panel by itself.
#[test]
fn maps_in_many_parts_have_room() {
    let config = ModelConfig {
        layers: "conv".into(),
        dim: 64,
        depth: 1,
        feed_forward: ChannelKind::Grouped,
        feed_forward_dim: 1024,
        ..config(0, 4, 0).with("grouped.groups", 8).unwrap()
    };
    for precision in [WeightPrecision::F32, WeightPrecision::Bf16, WeightPrecision::Int8] {
        let rounded = (*model(&config)).clone().with_weight_precision(precision).expect("rounded");
        let mut session = Session::new(Arc::new(rounded.clone()));
        let ours = session.feed(&[1]).expect("fed");
        let distance = distance(&ours, &by_tensors(&rounded, &[1]));
        assert!(distance < 1e-5, "{precision:?} {distance:e}");
    }
}

/// A reference in f64 over the same rounded weights leaves no doubt about whose rounding a difference is.
#[test]
fn rounded_weights_are_close_and_agree_with_their_own_tensors() {
    for head in [Head::Untied, Head::Tied] {
        let exact = model(&ModelConfig { head, ..config(3, 4, 0) });
        for (precision, limit) in [(WeightPrecision::Bf16, 0.05), (WeightPrecision::Int8, 0.1)] {
            let rounded = (*exact).clone().with_weight_precision(precision).expect("rounded");
            let rounded = LanguageModel::clone(&rounded).with_dtype(DType::F64);
            let text = tokens(60, 9);
            let mut session = Session::new(exact.clone()).with_weight_precision(precision).expect("rounded");
            // A window by tensors, then single tokens by the decoder.
            session.feed(&text[..20]).expect("fed");
            let mut worst = 0.0f32;
            for fed in 21..=text.len() {
                let ours = session.feed(&text[fed - 1..fed]).expect("fed");
                let reference = distance(&ours, &by_tensors(&rounded, &text[..fed]));
                assert!(reference < 1e-5, "{head:?} {precision:?} {reference:e}");
                worst = worst.max(distance(&ours, &by_tensors(&exact, &text[..fed])));
            }
            assert!(worst > 1e-5 && worst < limit, "{head:?} {precision:?} {worst}");
        }
    }
}

#[test]
fn rounded_weights_score_alike_at_once_and_token_by_token() {
    let text = tokens(80, 7);
    for precision in [WeightPrecision::F32, WeightPrecision::Bf16, WeightPrecision::Int8] {
        let rounded = (*model(&config(0, 4, 0))).clone().with_weight_precision(precision).expect("rounded");
        let [mut whole, mut single] = [(); 2].map(|()| Session::new(Arc::new(rounded.clone())));
        whole.feed(&[1]).expect("fed");
        single.feed(&[1]).expect("fed");
        let whole = whole.score(&text).expect("scored");
        let single: Vec<f32> = text.iter().flat_map(|token| single.score(&[*token]).expect("scored")).collect();
        assert!(distance(&single, &whole) < 1e-5, "{precision:?} {:e}", distance(&single, &whole));
    }
}

#[test]
fn models_without_a_decoder_refuse_rounded_weights() {
    let config = ModelConfig { layers: "perceiver-ar".into(), ..config(0, 4, 0).with("latents", 8).unwrap() };
    let model = LanguageModel::new(&config, 3, &Device::default()).expect("a model");
    let session = Session::new(Arc::new(model.into()));
    let fault = session.with_weight_precision(WeightPrecision::Int8).expect_err("no decoder");
    assert!(fault.is_usage() && fault.to_string().contains("packed weights"));
}

#[test]
fn a_session_goes_on_in_another_precision_from_the_same_state() {
    let model = model(&config(0, 4, 0));
    let mut session = Session::new(model);
    session.feed(&tokens(21, 3)).expect("fed");
    let exact = session.fork().feed(&[5]).expect("fed");
    let rounded = session.with_weight_precision(WeightPrecision::Bf16).expect("rounded").feed(&[5]).expect("fed");
    let distance = distance(&rounded, &exact);
    assert!(distance > 1e-6 && distance < 0.02, "{distance}");
}

#[test]
fn cost_and_state_do_not_grow_with_the_position() {
    let model = model(&config(0, 6, 0));
    let mut session = Session::new(model);
    let mut sizes = Vec::new();
    for token in tokens(600, 3) {
        session.feed(&[token]).expect("fed");
        sizes.push(session.state_bytes());
    }
    assert_eq!(sizes[50..56], sizes[500 - 500 % 6 + 50 % 6..][..6], "equal offsets, equal sizes");
    assert_eq!(sizes[12..].iter().max(), sizes[590..].iter().max());
}

#[test]
fn states_move_between_files_of_either_path() {
    let model = model(&config(5, 4, 0));
    let text = tokens(33, 3);
    let (mut decoded, mut whole) = (Session::new(model.clone()), Session::new(model.clone()));
    text.iter().for_each(|token| drop(decoded.feed(&[*token]).expect("fed")));
    whole.feed(&text).expect("fed");
    assert_eq!(decoded.state_bytes(), whole.state_bytes());
    let [mut a, mut b] =
        [decoded, whole].map(|s| Session::from_bytes(&s.to_bytes().expect("bytes"), model.clone()).expect("a session"));
    for token in tokens(12, 8) {
        let (a, b) = (a.feed(&[token]).expect("fed"), b.feed(&[token]).expect("fed"));
        assert!(distance(&a, &b) < 1e-5);
    }
}
