use std::sync::Arc;

use percept_model::config::{Objective, Offsets};
use percept_model::{InferenceModel, LanguageModel, ModelConfig};

use super::oracle::{Oracle, Question, Visit};
use super::*;
use crate::{SamplingConfig, generate};

/// LLP over a recurrence, full attention, and one whose windows are run again.
fn models() -> [Arc<InferenceModel>; 3] {
    let base = ModelConfig {
        objective: Objective::OrderAgnostic,
        order_agnostic: Offsets { forward: 3, backward: 4 },
        vocab: 257,
        dim: 16,
        depth: 2,
        heads: 2,
        context: 24,
        init_std: 0.4,
        ..ModelConfig::default().with("segment", 6).unwrap()
    };
    let mixed = ModelConfig { layers: "rwkv4, llp".into(), ..base.clone() };
    let full = ModelConfig { layers: "transformer".into(), context: 200, ..base.clone() };
    let history = ModelConfig { layers: "perceiver-ar, llp".into(), ..base.with("latents", 8).unwrap() };
    [mixed, full, history].map(|config| Arc::new(LanguageModel::new(&config, 3, &Default::default()).unwrap().into()))
}

/// Reads every text from its beginning.
struct Afresh(Arc<InferenceModel>);

impl Oracle for Afresh {
    fn ask(&mut self, texts: &[Vec<u32>], question: &Question, visit: &mut Visit<'_>) -> Result<()> {
        let mut session = Session::new(self.0.clone());
        SessionOracle::new(&mut session, 256).ask(texts, question, visit)
    }
}

/// The texts of all rounds.
fn rounds(oracle: &mut dyn Oracle, config: CoralConfig, learned: Offsets) -> Vec<Vec<u32>> {
    let mut decoder = Decoder::new(&[256, 72, 105], config, learned, End { most: 45, token: None });
    let (mut texts, mut draws) = (Vec::new(), 0);
    loop {
        let mut draw = || {
            draws += 1;
            percept_random::uniform(5, draws)
        };
        let flow = decoder.round(oracle, &mut draw).unwrap();
        texts.push(decoder.text().to_vec());
        if flow.is_break() {
            return texts;
        }
    }
}

#[test]
fn a_state_that_is_kept_changes_no_round() {
    for model in models() {
        let learned = model.config().order_agnostic;
        let tree = Tree { width: 3, forward: 3, backward: 4, epsilon: 0.1 };
        for config in [
            CoralConfig { block: 6, occurrences: 1, most_rounds: Some(24), ..CoralConfig::default() },
            CoralConfig { block: 3, occurrences: 0, ..CoralConfig::default() },
            CoralConfig { block: 3, occurrences: 1, tree: Some(tree), most_rounds: Some(6), ..CoralConfig::default() },
        ] {
            let mut session = Session::new(model.clone());
            let kept = rounds(&mut SessionOracle::new(&mut session, 256), config, learned);
            assert_eq!(kept, rounds(&mut Afresh(model.clone()), config, learned), "{config:?}");
            assert!(
                config.occurrences > 0 || session.position() > 20,
                "the state does not move on: {}",
                session.position()
            );
        }
    }
}

#[test]
fn blocks_are_shown_as_they_are_fixed_and_end_as_asked() {
    let tokenizer = Tokenizer::bytes();
    for model in models() {
        let coral = CoralConfig { block: 4, occurrences: 0, ..CoralConfig::default() };
        let write = |tokens: usize, stop: Vec<String>| {
            let (mut session, mut shown) = (Session::new(model.clone()), String::new());
            let config = GenerationConfig { tokens, stop, ..GenerationConfig::default() };
            let mut emit = |text: &str| {
                shown.push_str(text);
                Ok(())
            };
            let written = generate_blocks(&mut session, &tokenizer, &[256, 72], &config, &coral, &mut emit).unwrap();
            assert_eq!(shown, written.text.text);
            assert_eq!(session.position(), 1 + written.text.tokens);
            written
        };
        let whole = write(30, vec![]);
        assert_eq!((whole.text.tokens, whole.text.stopped, whole.drafts), (30, false, [0, 0]));
        assert_eq!(whole.fixed.iter().sum::<usize>(), 30);
        assert!(whole.fixed.iter().any(|fixed| *fixed > 1), "{:?}", whole.fixed);
        assert_eq!(write(0, vec![]).text.tokens, 0);
        // A model that has learned nothing changes its mind for ever: rounds end before the text does.
        let coral = CoralConfig { occurrences: 1000, most_rounds: Some(3), ..coral };
        let (mut session, config) = (Session::new(model.clone()), GenerationConfig::default());
        let short = generate_blocks(&mut session, &tokenizer, &[256, 72], &config, &coral, &mut |_| Ok(())).unwrap();
        assert_eq!((short.text.tokens, short.fixed), (4, vec![0; 3]));
        let Some(stop) = whole.text.text.chars().nth(8) else { continue };
        let stopped = write(30, vec![stop.to_string()]);
        assert!(stopped.text.stopped && whole.text.text.starts_with(&stopped.text.text));
        assert!(!stopped.text.text.contains(stop) && stopped.text.tokens < 30);
    }
}

#[test]
fn without_temperature_speculation_writes_what_one_by_one_does() {
    let tokenizer = Tokenizer::bytes();
    for model in models() {
        for repetition_penalty in [1.0, 1.3] {
            let sampling = SamplingConfig { temperature: 0.0, repetition_penalty, ..SamplingConfig::default() };
            let config = GenerationConfig { tokens: 60, sampling, ..GenerationConfig::default() };
            let (mut fast, mut plain) = (Session::new(model.clone()), Session::new(model.clone()));
            let prompt = [256, 84, 104, 101];
            let written = generate_speculatively(&mut fast, &tokenizer, &prompt, &config, &mut |_| Ok(())).unwrap();
            let one_by_one = generate(&mut plain, &tokenizer, &prompt, &config, &mut |_| Ok(())).unwrap();
            assert_eq!((&written.text.text, written.text.tokens), (&one_by_one.text, 60));
            assert_eq!(fast.position(), plain.position());
            assert_eq!(written.fixed.iter().sum::<usize>(), written.fixed.len() + written.drafts[1]);
        }
    }
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let tokenizer = Tokenizer::bytes();
    let plain = ModelConfig { vocab: 257, dim: 16, depth: 1, heads: 2, context: 24, ..ModelConfig::default() };
    let plain = plain.with("segment", 6).unwrap();
    let mut session = Session::new(Arc::new(LanguageModel::new(&plain, 3, &Default::default()).unwrap().into()));
    let config = GenerationConfig::default();
    let mut write = |prompt: &[u32], coral: &CoralConfig| {
        generate_blocks(&mut session, &tokenizer, prompt, &config, coral, &mut |_| Ok(())).unwrap_err()
    };
    let coral = CoralConfig::default();
    assert_eq!(write(&[256], &coral).to_string(), "this model predicts the next token only");
    assert!(write(&[], &coral).to_string().starts_with("there is no prompt"));
    for (coral, message) in [
        (CoralConfig { block: 0, ..coral }, "block is 0"),
        (CoralConfig { most_rounds: Some(0), ..coral }, "max-rounds is 0"),
        (
            CoralConfig { tree: Some(Tree { forward: 5, ..Tree::default() }), ..coral },
            "verify-forward is 5, the model has learned 4",
        ),
        (CoralConfig { tree: Some(Tree { forward: 0, ..Tree::default() }), ..coral }, "verify-forward is 0"),
        (CoralConfig { tree: Some(Tree { width: 0, ..Tree::default() }), ..coral }, "tree-width is 0"),
        (CoralConfig { tree: Some(Tree { epsilon: 0.0, ..Tree::default() }), ..coral }, "epsilon is 0"),
    ] {
        let fault = write(&[256], &coral);
        assert!(fault.is_usage() && fault.to_string() == message, "{fault}");
    }
}
