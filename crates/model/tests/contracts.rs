//! The contracts that every registered mixer keeps, over random configurations and lengths: nothing leaks
//! from the future, forward = extend however a text is cut, a state survives a file and a fork, declared state
//! and parameters are the real ones, and recomputation changes no gradient.

use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor};
use percept_model::channel::ChannelKind;
use percept_model::mixer::MixerKind;
use percept_model::properties::Properties;
use percept_model::session::{StateHead, WindowSchedule, step_all};
use percept_model::{
    Batch, IGNORED, InferenceModel, LanguageModel, Learned, Mode, ModelConfig, Recompute, Rows, Session, Trainable,
};
use proptest::prelude::*;

const VOCAB: usize = 13;
const TOLERANCE: f32 = 2e-4;

/// A small configuration: `paper` switches all of the authors' options on.
fn config(layers: &str, depth: usize, segment: usize, latents: usize, paper: bool) -> ModelConfig {
    let context = 4 * segment;
    let latents = latents.min(context);
    let config = ModelConfig {
        layers: layers.into(),
        vocab: VOCAB,
        dim: 16,
        depth,
        heads: 2,
        context,
        // Whatever has a channel sublayer of its own runs with it.
        feed_forward: ChannelKind::from_name(&format!("{layers}-channel")).unwrap_or(ChannelKind::Swiglu),
        feed_forward_dim: 24,
        rotary_fraction: if layers == "perceiver-ar" { 0.5 } else { 1.0 },
        init_std: 0.3,
        ..ModelConfig::default()
            .with("segment", segment)
            .unwrap()
            .with("latents", latents)
            .unwrap()
            .with("history_segments", 3)
            .unwrap()
            .with("compressed", (context - latents).div_ceil(3).max(1))
            .unwrap()
    };
    if paper { config.with_paper_options() } else { config }
}

fn schedules() -> Vec<String> {
    let single = MixerKind::ALL.iter().map(|kind| kind.name().to_string());
    single
        .chain([
            "llp*2, transformer".into(),
            "perceiver-ar, llp".into(),
            "llp(segment=2), llp".into(),
            "rwkv4, llp".into(),
            "tost(decay=0.9, routing=length-scaled, position_bias=5), llp".into(),
            "combiner-fixed(span=3), combiner-logsparse, combiner-axial-mixture(row=3, sides=joined)".into(),
            "combiner-axial-rowmajor(row=3, keys=weighted), combiner-axial-rowmajor(row=2, keys=own)".into(),
            "rwkv7*2, transformer".into(),
            "llp, rwkv7".into(),
            "rwkv7(removal_scale=2)".into(),
            "recurrent(segment=1, states=2, update=dual), recurrent(gate=fixed, update=skip)".into(),
            "recurrent(gate=fixed, states=3), llp, recurrent(update=skip, states=1)".into(),
        ])
        .collect()
}

fn tokens(length: usize, seed: u64) -> Vec<u32> {
    (0..length as u64)
        .map(|i| ((i + 1).wrapping_mul(seed | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32 % VOCAB as u32)
        .collect()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn log_softmax(row: &[f32]) -> Vec<f32> {
    let lse = row.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln() as f32;
    row.iter().map(|x| x - lse).collect()
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= TOLERANCE)
}

/// What a session must say after `text`: the forward at the split that the position alone decides.
fn reference(model: &LanguageModel, text: &[u32]) -> Vec<f32> {
    let (start, rows) = match WindowSchedule::of(model.config(), model.layers()) {
        None => (0, Rows::plain(text.len(), 0)),
        Some(windows) => {
            let window = windows.window(text.len());
            let history = window.split - window.start;
            (window.start, Rows { history, latents: text.len() - window.split, start: 0 })
        }
    };
    let logits = values(model.forward(&text[start..], 1, rows).expect("a forward pass"));
    log_softmax(&logits[logits.len() - VOCAB..])
}

fn check_session(config: &ModelConfig, length: usize, cuts: &[usize]) -> Result<(), TestCaseError> {
    let model = LanguageModel::new(config, 3, &Device::default()).expect("a model");
    let model = Arc::new(InferenceModel::new(model));
    let properties = Properties::of(config).expect("a valid configuration");
    prop_assert_eq!(model.parameter_count() as u64, properties.parameters());
    let text = tokens(length, 5);
    let mut by_one = Session::new(model.clone());
    for (position, token) in text.iter().enumerate() {
        let ours = by_one.feed(&[*token]).expect("a fed token");
        prop_assert!(close(&ours, &reference(&model, &text[..=position])), "one by one, {} tokens", position + 1);
        prop_assert_eq!(by_one.state_bytes(), properties.state_bytes(position + 1, 4), "{} tokens", position + 1);
        prop_assert!(by_one.state_bytes() <= properties.state_limit(4));
    }
    let mut ragged = Session::new(model.clone());
    let mut rest = &text[..];
    for cut in cuts.iter().cycle() {
        let (chunk, after) = rest.split_at((*cut).min(rest.len()));
        ragged.feed(chunk).expect("a fed chunk");
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    prop_assert!(close(&ragged.log_probabilities().expect("fed"), &by_one.log_probabilities().expect("fed")));
    prop_assert_eq!(ragged.state_bytes(), by_one.state_bytes());

    let bytes = by_one.to_bytes().expect("bytes");
    let mut loaded = Session::from_bytes(&bytes, model.clone()).expect("a session");
    let (mut fork, next) = (by_one.fork(), tokens(5, 11));
    by_one.feed(&tokens(7, 17)).expect("fed");
    prop_assert_eq!(loaded.feed(&next).expect("fed"), fork.feed(&next).expect("fed"), "a fork is its own stream");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn forward_is_extend(
        schedule in 0..schedules().len(), depth in 1..4usize, segment in 2..6usize, latents in 1..12usize,
        paper in any::<bool>(), length in 1..70usize, cuts in prop::collection::vec(1..20usize, 1..6),
    ) {
        let layers = schedules().swap_remove(schedule);
        check_session(&config(&layers, depth, segment, latents, paper), length, &cuts)?;
    }

    #[test]
    fn nothing_leaks_from_the_future(
        schedule in 0..schedules().len(), depth in 1..4usize, segment in 2..6usize, latents in 2..12usize,
        paper in any::<bool>(), change in 0.0..1.0f64,
    ) {
        let layers = schedules().swap_remove(schedule);
        let config = config(&layers, depth, segment, latents, paper);
        let model = LanguageModel::new(&config, 3, &Device::default()).expect("a model");
        let rows = model.window_rows(config.context);
        let first = rows.first_latent();
        let at = first + ((config.context - first) as f64 * change) as usize;
        let mut text = tokens(config.context, 7);
        let before = values(model.forward(&text, 1, rows).expect("a forward pass"));
        text[at] = (text[at] + 1) % VOCAB as u32;
        let after = values(model.forward(&text, 1, rows).expect("a forward pass"));
        let unchanged = (at - first) * VOCAB;
        prop_assert_eq!(&before[..unchanged], &after[..unchanged]);
        prop_assert!(before[unchanged..] != after[unchanged..], "the changed token matters from its own row on");
    }
}

#[test]
fn every_schedule_streams_past_three_windows_from_one_token() {
    for layers in schedules() {
        for paper in [false, true] {
            let config = config(&layers, 2, 4, 6, paper);
            check_session(&config, 3 * config.context + 5, &[1, 13, 2, 40])
                .unwrap_or_else(|error| panic!("{layers} {paper}: {error}"));
        }
    }
}

#[test]
fn every_channel_sublayer_streams() {
    for kind in ChannelKind::ALL {
        let config = ModelConfig { feed_forward: *kind, ..config("llp", 2, 4, 6, false) };
        check_session(&config, 40, &[1, 13, 2]).unwrap_or_else(|error| panic!("{}: {error}", kind.name()));
    }
}

#[test]
fn hidden_channels_are_dropped() {
    for feed_forward in [ChannelKind::Swiglu, ChannelKind::Gelu, ChannelKind::Grouped] {
        let losses = [0.0, 0.5].map(|feed_forward_dropout| {
            let config = ModelConfig { feed_forward, feed_forward_dropout, ..config("llp", 2, 4, 6, false) };
            let model = LanguageModel::new(&config, 3, &Device::default().autodiff()).expect("a model");
            gradients(&model, Recompute::Keep).0
        });
        assert!((losses[0] - losses[1]).abs() > 1e-4, "{}: {losses:?}", feed_forward.name());
    }
}

fn batch(length: usize) -> Batch {
    let tokens = tokens(2 * length, 9);
    let mut targets: Vec<u32> = tokens.iter().map(|token| (token * 5 + 1) % VOCAB as u32).collect();
    targets[length + 1] = IGNORED;
    targets[2 * length - 1] = IGNORED;
    Batch { tokens, targets, rows: 2, length }
}

fn gradients(model: &LanguageModel, recompute: Recompute) -> (f64, Vec<(String, Vec<f32>)>) {
    let mode = Mode::Training { seed: 4, step: 2 };
    let Learned { loss, gradients, .. } =
        model.loss_and_gradients(&batch(model.config().context), mode, recompute, 0.1).expect("gradients");
    (loss, gradients.0.into_iter().map(|(path, gradient)| (path, values(gradient))).collect())
}

#[test]
fn recomputation_changes_no_gradient_and_every_weight_has_one() {
    for layers in schedules() {
        for paper in [false, true] {
            let config = ModelConfig {
                attention_dropout: 0.2,
                feed_forward_dropout: 0.2,
                z_loss: 1e-2,
                ..config(&layers, 3, 4, 6, paper).with("cross_attend_dropout", 0.3).unwrap()
            };
            let model = LanguageModel::new(&config, 3, &Device::default().autodiff()).expect("a model");
            let (kept_loss, kept) = gradients(&model, Recompute::Keep);
            let (again_loss, again) = gradients(&model, Recompute::Blocks);
            assert!((kept_loss - again_loss).abs() < 1e-3, "{layers}: {kept_loss} {again_loss}");
            let weights = percept_model::parameters::collect(&model);
            assert_eq!(kept.len(), weights.len(), "{layers}");
            for ((path, a), (other, b)) in kept.iter().zip(&again) {
                assert_eq!(path, other);
                let scale = a.iter().fold(1e-3f32, |most, x| most.max(x.abs()));
                assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3 * scale), "{layers}: {path}");
            }
        }
    }
}

/// Against a model in which every layer has a copy of its own.
#[test]
fn layers_that_share_a_block_compute_what_copies_of_it_would() {
    for (layers, blocks) in [("llp", 1), ("recurrent, llp", 2), ("conv, tost, transformer", 3)] {
        let config = ModelConfig { blocks, attention_dropout: 0.2, ..config(layers, 5, 4, 6, false) };
        check_session(&config, 37, &[1, 13, 2]).unwrap_or_else(|error| panic!("{layers}: {error}"));
        let shared = LanguageModel::new(&config, 3, &Device::default().autodiff()).expect("a model");
        let weights = percept_model::parameters::collect(&shared);
        let source = |path: &str| match path.strip_prefix("blocks.").and_then(|path| path.split_once('.')) {
            Some((layer, path)) => format!("blocks.{}.{path}", layer.parse::<usize>().expect("a layer") % blocks),
            None => path.to_owned(),
        };
        let copies = LanguageModel::new(&ModelConfig { blocks: 0, ..config.clone() }, 4, &Device::default().autodiff());
        let copies =
            percept_model::parameters::map(copies.expect("a model"), |path, _, _| weights[&source(path)].data.clone());
        assert!(copies.parameter_count() > shared.parameter_count());
        for recompute in [Recompute::Keep, Recompute::Blocks] {
            let (loss, of_blocks) = gradients(&shared, recompute);
            let (expected, of_copies) = gradients(&copies, recompute);
            assert!((loss - expected).abs() < 1e-3, "{layers}: {loss} {expected}");
            assert_eq!(of_blocks.len(), weights.len());
            for (path, gradient) in of_blocks {
                let mut sum = vec![0.0; gradient.len()];
                let mine = of_copies.iter().filter(|(other, _)| source(other) == path);
                mine.for_each(|(_, copy)| sum.iter_mut().zip(copy).for_each(|(sum, x)| *sum += x));
                let scale = gradient.iter().fold(1e-3f32, |most, x| most.max(x.abs()));
                assert!(sum.iter().zip(&gradient).all(|(a, b)| (a - b).abs() < 1e-3 * scale), "{layers}: {path}");
            }
        }
    }
}

#[test]
fn training_is_repeatable_bit_for_bit() {
    let config = ModelConfig { attention_dropout: 0.1, ..config("llp", 2, 4, 8, false) };
    let model = LanguageModel::new(&config, 3, &Device::default().autodiff()).expect("a model");
    assert_eq!(gradients(&model, Recompute::Keep), gradients(&model, Recompute::Keep));
}

#[test]
fn gradients_equal_finite_differences_in_f64() {
    for layers in ["llp", "perceiver-v3", "longlora", "recurrent(segment=2)", "recurrent(gate=fixed, update=dual)"] {
        let config = ModelConfig { z_loss: 0.0, ..config(layers, 2, 4, 6, false) };
        let model =
            LanguageModel::new(&config, 3, &Device::default().autodiff()).expect("a model").with_dtype(DType::F64);
        let batch = batch(config.context);
        let Learned { gradients, .. } =
            model.loss_and_gradients(&batch, Mode::Evaluation, Recompute::Keep, 1.0).expect("gradients");
        let cell = gradients.0.keys().filter(|path| path.starts_with("blocks.0.mixer.cell."));
        for path in cell.map(String::as_str).chain([
            "embedding.weight",
            "blocks.0.mixer.projection.key.weight",
            "blocks.1.feed_forward.up.weight",
            "head.weight",
        ]) {
            let gradient: Vec<f64> = gradients.0[path].clone().into_data().iter::<f64>().collect();
            let index =
                (0..gradient.len()).max_by(|a, b| gradient[*a].abs().total_cmp(&gradient[*b].abs())).expect("weights");
            let shifted = |by: f64| {
                let moved = percept_model::parameters::map(model.clone(), |name, _, tensor| {
                    if name != path {
                        return tensor;
                    }
                    let mut values: Vec<f64> = tensor.into_data().iter::<f64>().collect();
                    values[index] += by;
                    Tensor::from_data(
                        burn::tensor::TensorData::new(values, [gradient.len()]),
                        (&Device::default(), DType::F64),
                    )
                });
                moved.evaluate(&batch).expect("a loss").nll
            };
            let step = 1e-5;
            let numeric = (shifted(step) - shifted(-step)) / (2.0 * step);
            let error = (numeric - gradient[index]).abs() / gradient[index].abs();
            assert!(error < 1e-5, "{layers} {path}: {numeric} against {}", gradient[index]);
        }
    }
}

#[test]
fn padding_and_neighbours_in_a_batch_change_nothing() {
    let config = config("llp", 2, 4, 8, false);
    let model = LanguageModel::new(&config, 3, &Device::default()).expect("a model");
    let text = tokens(11, 3);
    let alone = values(model.forward(&text, 1, Rows::plain(11, 0)).expect("a forward pass"));
    let mut padded = [text.clone(), vec![0; 3], tokens(14, 8)].concat();
    padded.truncate(28);
    let together = values(model.forward(&padded, 2, Rows::plain(14, 0)).expect("a forward pass"));
    assert!(close(&alone, &together[..11 * VOCAB]));
}

#[test]
fn the_paper_model_has_the_papers_size() {
    let config = ModelConfig {
        vocab: 28_996,
        dim: 768,
        depth: 24,
        heads: 6,
        context: 2048,
        ..ModelConfig::default().with("segment", 256).unwrap()
    };
    let parameters = |config: &ModelConfig| Properties::of(config).expect("a valid configuration").parameters();
    assert_eq!(parameters(&config.clone().with_paper_options()), 214_640_452);
    let entries = Properties::of(&config.with_paper_options()).expect("valid").score_entries(2048);
    assert_eq!(entries, 24 * 15 * 256 * 256);
}

#[test]
fn score_agrees_with_log_probabilities() {
    for layers in schedules() {
        let model = LanguageModel::new(&config(&layers, 2, 4, 6, false), 3, &Device::default()).expect("a model");
        let model = Arc::new(InferenceModel::new(model));
        let text = tokens(40, 3);
        let mut scored = Session::new(model.clone());
        scored.feed(&text[..1]).expect("fed");
        let nll = [scored.score(&text[1..9]).expect("scored"), scored.score(&text[9..]).expect("scored")].concat();
        let mut stepped = Session::new(model);
        for (position, pair) in text.windows(2).enumerate() {
            let ln_p = stepped.feed(&pair[..1]).expect("fed");
            assert!((nll[position] + ln_p[pair[1] as usize]).abs() < TOLERANCE, "{layers} at {position}");
        }
    }
}

#[test]
fn a_state_goes_on_with_the_same_bits() {
    for layers in schedules() {
        let model = LanguageModel::new(&config(&layers, 2, 4, 8, false), 3, &Device::default()).expect("a model");
        let model = Arc::new(InferenceModel::new(model));
        for (length, stepped) in [1, 7, 30].into_iter().flat_map(|length| [(length, true), (length, false)]) {
            let mut session = Session::new(model.clone());
            let text = tokens(length, 5);
            match stepped {
                true => text.iter().for_each(|token| drop(step(&mut session, *token))),
                false => drop(session.feed(&text).expect("fed")),
            }
            let bytes = session.to_bytes().expect("bytes");
            let head = 8 + StateHead::length(*bytes.first_chunk().expect("a head")).expect("a length");
            let head = StateHead::check(&bytes[8..head], &model).expect("a head");
            assert_eq!((head.position(), head.file_bytes()), (length, bytes.len()), "{layers}");
            let mut loaded = Session::restore(&bytes, model.clone()).expect("a session");
            assert_eq!(loaded.log_probabilities().expect("fed"), session.log_probabilities().expect("fed"), "{layers}");
            for token in tokens(25, 7) {
                assert_eq!(step(&mut loaded, token), step(&mut session, token), "{layers} after {length}, {stepped}");
            }
        }
    }
}

/// As a server feeds a token.
fn step(session: &mut Session, token: u32) -> Vec<f32> {
    let mut row = vec![0.0; VOCAB];
    step_all(&mut [session], &[token], &mut row).expect("fed");
    row
}

#[test]
fn a_state_of_another_model_is_refused() {
    let model = |seed| LanguageModel::new(&config("llp", 1, 4, 8, false), seed, &Device::default()).expect("a model");
    let model = |seed| Arc::new(InferenceModel::new(model(seed)));
    let mut session = Session::new(model(1));
    session.feed(&[1, 2, 3]).expect("fed");
    let bytes = session.to_bytes().expect("bytes");
    let fault = Session::from_bytes(&bytes, model(2)).expect_err("another model");
    assert_eq!(fault.to_string(), "this state belongs to another model");
    assert!(Session::from_bytes(&bytes[..bytes.len() - 1], model(1)).is_err());
}

#[test]
fn mistaken_input_is_a_fault() {
    let model = LanguageModel::new(&config("llp", 1, 4, 8, false), 1, &Device::default()).expect("a model");
    let model = Arc::new(InferenceModel::new(model));
    let mut session = Session::new(model);
    assert!(session.feed(&[]).expect_err("empty").to_string().contains("no token"));
    assert!(session.feed(&[13]).expect_err("outside").to_string().contains("token 13 is outside"));
    assert!(session.score(&[1]).expect_err("fresh").to_string().contains("first token"));
}
