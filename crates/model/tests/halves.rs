//! Keys and values that are kept as halves: streams give what a forward pass gives, up to their rounding; they go on from a file or a fork
//! with the bits of one that was not cut, alone or with others; and take the memory that is declared.

use std::sync::Arc;

use burn::tensor::Device;
use percept_model::config::KeyValue;
use percept_model::properties::Properties;
use percept_model::session::{StateHead, WindowSchedule, step_all};
use percept_model::tensor_file::{Dtype, TensorFile};
use percept_model::{InferenceModel, KeyValuePrecision, LanguageModel, ModelConfig, Rows, Session, WeightPrecision};
use proptest::prelude::*;

const VOCAB: usize = 70;
/// Of ln p, relative to the largest one: the weights here are far larger than trained ones, and so are the scores that are rounded.
const TOLERANCE: f32 = 0.05;

/// Rings with and without a channel beside them that carries something, windows that are run again, and layers that run through
/// tensors.
const SCHEDULES: [&str; 9] = [
    "llp",
    "transformer",
    "longlora",
    "llp(segment=2), llp",
    "conv, llp",
    "llp, rwkv7",
    "recurrent",
    "rwkv4, transformer",
    "perceiver-v1, llp",
];

fn config(layers: &str, segment: usize, options: u32) -> ModelConfig {
    let on = |bit: u32| options >> bit & 1 == 1;
    ModelConfig {
        layers: layers.into(),
        vocab: VOCAB,
        dim: 24,
        depth: 2,
        heads: 4,
        kv_heads: if on(0) { 2 } else { 0 },
        context: 5 * segment,
        key_value: if on(1) { KeyValue::Shared } else { KeyValue::Separate },
        key_value_norm: on(2),
        qk_norm: on(3),
        init_std: 0.3,
        ..ModelConfig::default().with("segment", segment).unwrap().with("latents", 2 * segment).unwrap()
    }
}

fn models(config: &ModelConfig) -> [Arc<InferenceModel>; 2] {
    let model = InferenceModel::new(LanguageModel::new(config, 3, &Device::default()).expect("a model"));
    KeyValuePrecision::ALL.map(|precision| Arc::new(model.clone().with_key_value_precision(precision).expect("halves")))
}

fn halves(config: &ModelConfig) -> Arc<InferenceModel> {
    let [_, halves] = models(config);
    halves
}

fn tokens(length: usize, seed: u64) -> Vec<u32> {
    (0..length as u64)
        .map(|i| ((i + 1).wrapping_mul(seed | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32 % VOCAB as u32)
        .collect()
}

/// ln p after `text`, by one forward over the window that the position decides.
fn by_forward(model: &LanguageModel, text: &[u32]) -> Vec<f32> {
    let (start, rows) = match WindowSchedule::of(model.config(), model.layers()) {
        None => (0, Rows::plain(text.len(), 0)),
        Some(windows) => {
            let window = windows.window(text.len());
            (window.start, window.rows(text.len()))
        }
    };
    let logits = model.forward(&text[start..], 1, rows).expect("logits");
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

/// What a state's file holds, without its head: what is said about the tensors stands in no order.
fn tensors(session: &Session) -> Vec<u8> {
    let mut file = session.to_bytes().expect("bytes");
    let head = StateHead::length(*file.first_chunk().expect("a prefix")).expect("a length");
    file.split_off(StateHead::PREFIX + head)
}

/// Bytes of the tensors of a state's file, but for the last row.
fn bytes_of_file(file: &[u8]) -> usize {
    let file = TensorFile::parse(file).expect("a file");
    file.all().iter().filter(|(name, _)| *name != "last").map(|(_, stored)| stored.bytes()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn streams_are_close_to_a_forward_pass_and_go_on_from_files_and_forks_with_their_bits(
        schedule in 0..SCHEDULES.len(), segment in 2..7usize, options in 0..16u32, length in 1..80usize,
        cuts in prop::collection::vec(prop_oneof![1..4usize, 15..30usize], 1..6),
    ) {
        let config = config(SCHEDULES[schedule], segment, options);
        let properties = Properties::of(&config).expect("properties");
        let text = tokens(length, 5);
        for (model, tolerance) in models(&config).into_iter().zip([1e-5, TOLERANCE]) {
            let precision = model.key_value_precision();
            let [mut session, mut cut] = [(); 2].map(|()| Session::new(model.clone()));
            let (mut fed, mut sizes) = (0, cuts.iter().cycle());
            while fed < length {
                let until = (fed + sizes.next().unwrap_or(&1)).min(length);
                let ours = session.feed(&text[fed..until]).expect("fed");
                prop_assert_eq!(&cut.feed(&text[fed..until]).expect("fed"), &ours, "after {} tokens", until);
                fed = until;
                let distance = distance(&ours, &by_forward(&model, &text[..fed]));
                prop_assert!(distance < tolerance, "{precision:?}: {distance:e} after {fed} tokens");
                prop_assert_eq!(session.state_bytes(), properties.state_bytes(fed, precision));
                prop_assert!(session.state_bytes() <= properties.state_limit(precision));
                let file = cut.to_bytes().expect("bytes");
                prop_assert_eq!(bytes_of_file(&file), session.state_bytes());
                cut = Session::restore(&file, model.clone()).expect("restored");
                prop_assert!(tensors(&cut) == tensors(&session), "{precision:?} after {fed} tokens");
                cut = cut.fork();
            }
        }
    }

    #[test]
    fn streams_together_compute_what_each_computes_alone(
        schedule in 0..SCHEDULES.len(), segment in 2..5usize, options in 0..16u32,
        prompts in prop::collection::vec(1..40usize, 1..12), steps in 1..20usize,
    ) {
        let model = halves(&config(SCHEDULES[schedule], segment, options));
        let is_run_again = WindowSchedule::of(model.config(), model.layers()).is_some();
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
                // A window that is run again alone is told from tensors, and among others from plain memory.
                let off = distance(row, &session.feed(&[*token]).expect("fed"));
                prop_assert!(off <= if is_run_again { 1e-6 } else { 0.0 }, "step {step}: {off:e}");
            }
        }
        for (a, b) in alone.iter().zip(&together) {
            prop_assert!(tensors(a) == tensors(b));
        }
    }
}

#[test]
fn keys_and_values_are_rounded_and_nothing_else_is() {
    let config = config("llp, rwkv7", 4, 0);
    let [exact, rounded] = models(&config).map(|model| {
        let mut session = Session::new(model);
        tokens(30, 9).iter().for_each(|token| drop(session.feed(&[*token]).expect("fed")));
        session
    });
    let distance = distance(&rounded.log_probabilities().expect("fed"), &exact.log_probabilities().expect("fed"));
    assert!(distance > 1e-6 && distance < TOLERANCE, "{distance:e}");
    let [exact, rounded] = [exact, rounded].map(|session| session.to_bytes().expect("bytes"));
    let [exact, rounded] = [&exact, &rounded].map(|bytes| TensorFile::parse(bytes).expect("a file"));
    for (name, stored) in rounded.all() {
        let is_half = name.ends_with(".key") || name.ends_with(".value");
        let other = exact.get(&name).expect("the same tensors");
        assert_eq!(stored.dtype() == Dtype::BF16, is_half, "{name}");
        assert_eq!(stored.bytes() * if is_half { 2 } else { 1 }, other.bytes(), "{name}");
    }
    // Where there are none, nothing changes.
    let config = ModelConfig { layers: "rwkv7, conv".into(), ..config };
    let [exact, rounded] = models(&config).map(|model| {
        let mut session = Session::new(model);
        session.feed(&tokens(30, 9)).expect("fed");
        session.feed(&[3]).expect("fed");
        tensors(&session)
    });
    assert!(exact == rounded);
}

#[test]
fn a_state_of_the_other_precision_is_refused_by_its_head() {
    let [exact, rounded] = models(&config("llp, rwkv7", 4, 0));
    for (model, other, [there, here]) in [(&exact, &rounded, ["f32", "bf16"]), (&rounded, &exact, ["bf16", "f32"])] {
        let mut session = Session::new(model.clone());
        session.feed(&tokens(21, 9)).expect("fed");
        let file = session.to_bytes().expect("bytes");
        let length = StateHead::length(*file.first_chunk().expect("a prefix")).expect("a length");
        assert!(StateHead::check(&file[8..][..length], model).is_ok_and(|head| head.file_bytes() == file.len()));
        let fault = StateHead::check(&file[8..][..length], other).expect_err("another precision");
        assert!(fault.is_usage());
        let says = format!("this state keeps keys and values in {there}, and here they are kept in {here}");
        assert_eq!(
            (fault.to_string(), fault.hint_text()),
            (says, Some(&*format!("go on from it with --keys-values {there}")))
        );
        assert!(Session::from_bytes(&file, other.clone()).is_err() && Session::restore(&file, other.clone()).is_err());
        // Before the first token there are none.
        let fresh = Session::new(model.clone()).to_bytes().expect("bytes");
        assert!(Session::from_bytes(&fresh, other.clone()).is_ok());
    }
}

#[test]
fn models_without_a_decoder_keep_them_as_they_are() {
    let config = config("perceiver-ar", 4, 0);
    let model = InferenceModel::new(LanguageModel::new(&config, 3, &Device::default()).expect("a model"));
    let fault = model.with_key_value_precision(KeyValuePrecision::Bf16).expect_err("no decoder");
    assert!(fault.is_usage() && fault.to_string().ends_with("keep keys and values in bf16"), "{fault}");
}

#[test]
fn rounded_weights_keep_the_precision_of_keys_and_values() {
    let model = (*halves(&config("llp", 4, 0))).clone();
    let fingerprint = model.fingerprint().to_owned();
    assert_eq!(fingerprint, models(&config("llp", 4, 0))[0].fingerprint(), "it is the same model");
    let rounded = model.with_weight_precision(WeightPrecision::Int8).expect("rounded");
    assert_eq!(rounded.key_value_precision(), KeyValuePrecision::Bf16);
}
