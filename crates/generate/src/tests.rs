use std::collections::BTreeSet;
use std::sync::Arc;

use percept_model::config::KeyValue;
use percept_model::{InferenceModel, LanguageModel, ModelConfig};

use super::*;

/// A model whose state goes on for ever, one whose window is run again, and one without a decoder.
fn models() -> [Arc<InferenceModel>; 3] {
    let base = ModelConfig {
        vocab: 257,
        dim: 16,
        depth: 2,
        heads: 2,
        context: 24,
        ..ModelConfig::default().with("segment", 6).unwrap()
    };
    let rotated = ModelConfig { key_value: KeyValue::Shared, ..base.clone() };
    let history = ModelConfig { layers: "perceiver-ar".into(), ..base.clone().with("latents", 8).unwrap() };
    [base, rotated, history].map(|config| {
        let config = ModelConfig { init_std: 0.3, ..config };
        Arc::new(LanguageModel::new(&config, 3, &Default::default()).unwrap().into())
    })
}

#[test]
fn streams_write_what_each_seed_writes_alone() {
    let tokenizer = Tokenizer::bytes();
    let prompt = [256, 84, 104, 101];
    // A vowel stops some of the texts early.
    let stop = ["a", "e", "i"].map(str::to_owned).to_vec();
    let mut ends = BTreeSet::new();
    for model in models() {
        let sampling = SamplingConfig { seed: 7, repetition_penalty: 1.2, ..SamplingConfig::default() };
        let config = GenerationConfig { tokens: 60, sampling, stop: stop.clone() };
        let mut sessions = vec![Session::new(model.clone()); 5];
        let mut shown = vec![String::new(); 5];
        let mut emit = |index: usize, text: &str| {
            shown[index].push_str(text);
            Ok(())
        };
        let together = generate_streams(&mut sessions, &tokenizer, &prompt, &config, &mut emit).unwrap();
        for (index, (text, session)) in together.iter().zip(&sessions).enumerate() {
            let mut config = config.clone();
            config.sampling.seed += index as u64;
            let mut single = Session::new(model.clone());
            let alone = generate(&mut single, &tokenizer, &prompt, &config, &mut |_| Ok(())).unwrap();
            assert_eq!((&text.text, text.tokens, text.stopped), (&alone.text, alone.tokens, alone.stopped));
            assert_eq!((&shown[index], session.position()), (&alone.text, single.position()));
            assert_eq!(session.log_probabilities().unwrap(), single.log_probabilities().unwrap());
            ends.insert(text.tokens);
        }
    }
    assert!(ends.len() > 3 && ends.contains(&60), "texts of several lengths: {ends:?}");
}

#[test]
fn who_joins_late_reads_in_pieces_or_leaves_changes_no_other_text() {
    let tokenizer = Tokenizer::bytes();
    let long: Vec<u32> = std::iter::once(256).chain((0..70).map(|i| 97 + i % 26)).collect();
    for model in models() {
        let config = |seed| GenerationConfig {
            tokens: 20 + 5 * seed as usize,
            sampling: SamplingConfig { seed, ..SamplingConfig::default() },
            stop: Vec::new(),
        };
        let stream =
            |prompt: &[u32], seed| Stream::new(Session::new(model.clone()), &tokenizer, prompt, &config(seed)).unwrap();
        let mut batch = Batch::default();
        let mut texts = vec![String::new(); 4];
        let mut ended = Vec::new();
        for round in 0.. {
            // One begins, one with a long prompt joins and reads it in pieces, one leaves, one comes last.
            match round {
                0 => assert_eq!((batch.join(stream(&[256, 84], 0)), batch.join(stream(&[256], 1))), (0, 1)),
                3 => assert_eq!(batch.join(stream(&long, 2)), 2),
                5 => assert!(batch.leave(1).is_some() && batch.leave(1).is_none()),
                9 => assert_eq!(batch.join(stream(&[256, 104], 3)), 3),
                _ if batch.is_empty() => break,
                _ => {}
            }
            let emit = &mut |number: usize, text: &str| {
                texts[number].push_str(text);
                Ok(())
            };
            ended.extend(batch.step(10, emit).unwrap());
        }
        assert_eq!(ended.iter().map(|ended| ended.stream).collect::<Vec<_>>(), [0, 2, 3]);
        for (ended, prompt) in ended.iter().zip([&[256, 84][..], &long, &[256, 104]]) {
            let mut alone = Session::new(model.clone());
            // In the same pieces: however a prompt is cut, a float's last bit may differ.
            let (pieces, rest) = prompt.split_at((prompt.len() - 1) / 10 * 10);
            pieces.chunks(10).for_each(|piece| drop(alone.feed(piece).unwrap()));
            let mut expected = config(ended.stream as u64);
            expected.sampling.repetition_penalty = 1.0;
            let text = generate(&mut alone, &tokenizer, rest, &expected, &mut |_| Ok(())).unwrap();
            let generation = ended.generation.as_ref().unwrap();
            assert_eq!((&generation.text, generation.tokens), (&text.text, text.tokens));
            assert_eq!((&texts[ended.stream], ended.session.position()), (&text.text, alone.position()));
        }
    }
}

#[test]
fn a_text_that_cannot_go_on_is_no_fault_of_the_others() {
    let tokenizer = Tokenizer::bytes();
    let [model, ..] = models();
    let stream = |prompt: &[u32]| {
        let config = GenerationConfig { tokens: 3, ..GenerationConfig::default() };
        Stream::new(Session::new(model.clone()), &tokenizer, prompt, &config).unwrap()
    };
    let mut batch = Batch::default();
    // A fresh session without a prompt has nothing to go on from; a token outside the vocabulary is none.
    let (empty, good, wrong) = (batch.join(stream(&[])), batch.join(stream(&[256])), batch.join(stream(&[999])));
    let first = batch.step(512, &mut |_, _| Ok(())).unwrap();
    let faults: Vec<usize> = first.iter().filter(|ended| ended.generation.is_err()).map(|ended| ended.stream).collect();
    assert_eq!((faults, batch.len()), (vec![empty, wrong], 1));
    batch.step(512, &mut |_, _| Ok(())).unwrap();
    let last = batch.step(512, &mut |_, _| Ok(())).unwrap();
    assert_eq!((last[0].stream, last[0].generation.as_ref().unwrap().tokens), (good, 3));
}
