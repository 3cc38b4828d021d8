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
        let config = GenerationConfig { tokens: 60, sampling, stop: stop.clone(), ..GenerationConfig::default() };
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
            ..GenerationConfig::default()
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
            let emit = &mut |number: usize, piece: Piece| {
                texts[number].push_str(&piece.text);
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

#[test]
fn what_is_told_of_tokens_is_what_scoring_gives_them() {
    let tokenizer = Tokenizer::bytes();
    let prompt: Vec<u32> = std::iter::once(256).chain((0..50).map(|i| 97 + i * 7 % 26)).collect();
    for model in models() {
        let config = GenerationConfig {
            tokens: 8,
            sampling: SamplingConfig { seed: 5, ..SamplingConfig::default() },
            told: Told::PromptAndWritten { alternatives: 3 },
            ..GenerationConfig::default()
        };
        let mut batch = Batch::default();
        let stream = Stream::new(Session::new(model.clone()), &tokenizer, &prompt, &config).unwrap();
        batch.join(stream);
        let mut told = Vec::new();
        while !batch.is_empty() {
            batch
                .step(12, &mut |_, piece| {
                    told.extend(piece.tokens);
                    Ok(())
                })
                .unwrap();
        }
        let tokens: Vec<u32> = told.iter().map(|told| told.token).collect();
        assert_eq!((&tokens[..51], tokens.len()), (&prompt[..], 59));
        assert_eq!((told[0].log_probability, told[0].alternatives.len()), (None, 0));
        let mut alone = Session::new(model);
        alone.feed(&tokens[..1]).unwrap();
        for (told, nll) in told[1..].iter().zip(alone.score(&tokens[1..]).unwrap()) {
            let ln_p = told.log_probability.unwrap();
            assert!((ln_p + nll).abs() < 1e-4, "{ln_p} {nll}");
            assert!(told.alternatives.len() == 3 && told.alternatives[0].1 >= ln_p, "{told:?}");
        }
        // What is told changes nothing of what is written.
        let mut silent = Batch::default();
        let nothing = GenerationConfig { told: Told::Nothing, ..config };
        silent.join(Stream::new(Session::new(alone.model().clone()), &tokenizer, &prompt, &nothing).unwrap());
        let mut text = String::new();
        while !silent.is_empty() {
            silent
                .step(12, &mut |_, piece| {
                    assert!(piece.tokens.is_empty());
                    text.push_str(&piece.text);
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!(text.into_bytes(), String::from_utf8_lossy(&tokenizer.decode(&tokens[51..])).as_bytes());
    }
}

#[test]
fn a_prompt_is_read_in_the_same_pieces_wherever_a_session_begins_with_it() {
    let tokenizer = Tokenizer::bytes();
    let prompt: Vec<u32> = std::iter::once(256).chain((0..90).map(|i| 97 + i * 5 % 26)).collect();
    for model in models() {
        let read = |session: Session, rest: &[u32]| {
            let mut stream = Stream::new(session, &tokenizer, rest, &GenerationConfig::default()).unwrap();
            while !stream.is_read() {
                stream.read(20).unwrap();
            }
            stream.into_session().log_probabilities().unwrap()
        };
        let whole = read(Session::new(model.clone()), &prompt);
        let mut begun = Session::new(model.clone());
        prompt[..40].chunks(20).for_each(|piece| drop(begun.feed(piece).unwrap()));
        assert_eq!(read(begun, &prompt[40..]), whole);
    }
}

#[test]
fn a_text_that_was_cut_goes_on_with_the_draws_of_one_that_was_not() {
    let tokenizer = Tokenizer::bytes();
    for model in models() {
        let write = |session: Session, prompt: &[u32], tokens: usize, drawn: u64| {
            let sampling = SamplingConfig { seed: 5, drawn, ..SamplingConfig::default() };
            let told = Told::Written { alternatives: 0 };
            let config = GenerationConfig { tokens, sampling, told, ..GenerationConfig::default() };
            let mut batch = Batch::default();
            batch.join(Stream::new(session, &tokenizer, prompt, &config).unwrap());
            let (mut told, mut ended) = (Vec::new(), Vec::new());
            while ended.is_empty() {
                let mut show = |_, piece: Piece| {
                    told.extend(piece.tokens.iter().map(|told| told.token));
                    Ok(())
                };
                ended = batch.step(12, &mut show).unwrap();
            }
            let Ended { session, unfed, .. } = ended.remove(0);
            (session, unfed, told)
        };
        let (_, _, whole) = write(Session::new(model.clone()), &[256, 84], 50, 0);
        let (session, unfed, first) = write(Session::new(model), &[256, 84], 20, 0);
        assert_eq!((unfed, session.position()), (first.last().copied(), 2 + 19), "the last token is not fed yet");
        let (_, _, rest) = write(session, &[unfed.unwrap()], 30, 20);
        assert_eq!([first, rest].concat(), whole);
    }
}
