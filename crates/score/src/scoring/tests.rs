//! The accounting, with a scorer that writes down what it is asked.

use std::cell::RefCell;

use percept_data::Tokenizer;
use proptest::prelude::*;

use percept_model::{Batch, IGNORED};

use super::*;

/// Predicts nothing, charges `token + 1` nats for each target and keeps (context, target) pairs.
#[derive(Default)]
struct Recorder {
    seen: RefCell<Vec<(Vec<u32>, u32)>>,
    last_rows: Option<usize>,
}

impl Scorer for Recorder {
    fn name(&self) -> String {
        "recorder".into()
    }

    fn scorable(&self, length: usize) -> usize {
        self.last_rows.unwrap_or(usize::MAX).min(length)
    }

    fn distributions(&self, _batch: &Batch, _visit: &mut dyn FnMut(&[f32])) -> Result<()> {
        Err(Fault::internal("nobody asked for distributions"))
    }

    fn score_windows(&self, batch: &Batch) -> Result<Vec<f64>> {
        let mut nll = Vec::new();
        for row in 0..batch.rows {
            let own = row * batch.length..(row + 1) * batch.length;
            let (tokens, targets) = (&batch.tokens[own.clone()], &batch.targets[own]);
            for (at, &target) in targets.iter().enumerate().filter(|(_, target)| **target != IGNORED) {
                assert!(at + self.scorable(batch.length) >= batch.length, "a row that may not be scored");
                self.seen.borrow_mut().push((tokens[..=at].to_vec(), target));
                nll.push(f64::from(target) + 1.0);
            }
        }
        Ok(nll)
    }

    fn stream(&self) -> Result<Box<dyn Stream + '_>> {
        Ok(Box::new(Recording { recorder: self, context: Vec::new() }))
    }

    fn tokens_per_call(&self) -> usize {
        7
    }
}

struct Recording<'a> {
    recorder: &'a Recorder,
    context: Vec<u32>,
}

impl Stream for Recording<'_> {
    fn feed(&mut self, tokens: &[u32]) -> Result<()> {
        self.context.extend(tokens);
        Ok(())
    }

    fn score(&mut self, tokens: &[u32]) -> Result<Vec<f64>> {
        for &token in tokens {
            self.recorder.seen.borrow_mut().push((self.context.clone(), token));
            self.context.push(token);
        }
        Ok(tokens.iter().map(|&token| f64::from(token) + 1.0).collect())
    }

    fn fork(&self) -> Box<dyn Stream + '_> {
        Box::new(Recording { recorder: self.recorder, context: self.context.clone() })
    }
}

fn run(recorder: &Recorder, documents: &[&str], protocol: Protocol, limits: Limits) -> Result<Score> {
    let texts = MemoryTexts::new(Tokenizer::bytes(), documents.iter().map(|text| text.as_bytes().to_vec()).collect());
    score(recorder, &texts, protocol, &limits, &mut |_| ())
}

const SLIDING: Protocol = Protocol::SlidingWindow { window: 4, stride: 2 };

#[test]
fn a_document_sees_its_token_and_itself_only() {
    let recorder = Recorder::default();
    let result = run(&recorder, &["ab", "", "c"], Protocol::Stream, Limits::default()).unwrap();
    let expected = [(vec![256], 97), (vec![256, 97], 98), (vec![256], 99)];
    assert_eq!(*recorder.seen.borrow(), expected);
    assert_eq!((result.targets, result.nll, result.documents), (3, 297.0, 2));
    assert_eq!(result.text, Some(Units { bytes: 3, characters: 3, words: 2 }));
    assert!((result.bits_per_byte.unwrap() - 99.0 / std::f64::consts::LN_2).abs() < 1e-12);
}

#[test]
fn limits_cut_the_text_and_are_stated() {
    let recorder = Recorder::default();
    let limits = Limits { documents: Some(2), tokens: Some(5), tokens_per_document: Some(3), context_only: 1 };
    let result = run(&recorder, &["abc de", "fghi", "never"], SLIDING, limits).unwrap();
    let seen: Vec<u8> = recorder.seen.borrow().iter().map(|(_, target)| *target as u8).collect();
    assert_eq!(seen, b"bc gh");
    assert_eq!(
        result.protocol,
        "sliding window w = 4, t = 2, first 2 documents, the first 1 tokens of each document as context only, \
         at most 3 targets per document, at most 5 targets"
    );
    assert_eq!(result.text, Some(Units { bytes: 5, characters: 5, words: 2 }));
}

#[test]
fn nothing_to_score_is_refused() {
    let fault = run(&Recorder::default(), &["", ""], Protocol::Stream, Limits::default()).unwrap_err();
    assert!(fault.is_usage(), "{fault}");
    let fault = run(&Recorder { last_rows: Some(1), ..Default::default() }, &["abc"], SLIDING, Limits::default());
    assert!(fault.unwrap_err().to_string().contains("leaves targets out"));
}

#[test]
fn a_lossy_tokenizer_gives_token_perplexity_only() {
    struct Lossy(MemoryTexts);
    impl Texts for Lossy {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn document(&self, index: usize) -> Result<Document<'_>> {
            Ok(Document { units: None, ..self.0.document(index)? })
        }
        fn document_token(&self) -> u32 {
            self.0.document_token()
        }
        fn decode(&self, before: &[u32], tokens: &[u32]) -> Vec<u8> {
            self.0.decode(before, tokens)
        }
    }
    let texts = Lossy(MemoryTexts::new(Tokenizer::bytes(), vec![b"a b".to_vec()]));
    let result = score(&Recorder::default(), &texts, Protocol::Stream, &Limits::default(), &mut |_| ()).unwrap();
    assert_eq!((result.bits_per_byte, result.word_perplexity, result.bits_per_character), (None, None, None));
    assert_eq!((result.tokenizer, result.targets), ("lossy", 3));
    assert!(result.token_perplexity > 1.0);
}

#[test]
fn a_text_in_memory_is_lossless_where_it_comes_back() {
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "post_processor": null,
        "normalizer": { "type": "Lowercase" }, "pre_tokenizer": { "type": "Whitespace" }, "decoder": null,
        "model": { "type": "WordLevel", "vocab": { "a": 0, "b": 1 }, "unk_token": "a" },
    });
    let tokenizer = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
    let texts = MemoryTexts::new(tokenizer, vec![b"a b b".to_vec(), b"a B".to_vec()]);
    let units = |index| texts.document(index).unwrap().units;
    assert_eq!((units(0), units(1)), (Some(Units { bytes: 5, characters: 5, words: 3 }), None));
    // Of a part, the blank before it belongs to it.
    assert_eq!(texts.decode(&[0], &[1, 1]), b" b b");
}

/// Document, index and NLL of every target, as [`score_each`] shows them.
fn visits(recorder: &Recorder, documents: &[&str], protocol: Protocol) -> Vec<(usize, usize, f64)> {
    let texts = MemoryTexts::new(Tokenizer::bytes(), documents.iter().map(|text| text.as_bytes().to_vec()).collect());
    let mut visits = Vec::new();
    let mut visit = |scored: Scored<'_>| {
        assert_eq!(scored.targets.len(), scored.nll.len());
        visits.extend(scored.targets.zip(scored.nll).map(|(at, nll)| (scored.document, at, *nll)));
    };
    score_each(recorder, &texts, protocol, &Limits::default(), &mut |_| (), &mut visit).unwrap();
    visits
}

proptest! {
    #[test]
    fn every_target_is_scored_once_under_every_protocol(
        lengths in proptest::collection::vec(0usize..40, 1..4),
        (window, stride, last_rows) in (1usize..9, 1usize..9, 1usize..9),
    ) {
        let stride = stride.min(window).min(last_rows);
        let documents: Vec<String> =
            lengths.iter().map(|&length| (0..length).map(|at| char::from(b'0' + at as u8)).collect()).collect();
        let texts: Vec<&str> = documents.iter().map(String::as_str).collect();
        prop_assume!(lengths.iter().sum::<usize>() > 0);
        let recorder = Recorder { last_rows: Some(last_rows), ..Default::default() };
        for protocol in [Protocol::Stream, Protocol::SlidingWindow { window, stride }] {
            recorder.seen.borrow_mut().clear();
            let result = run(&recorder, &texts, protocol, Limits::default()).unwrap();
            let visited = visits(&Recorder { last_rows: Some(last_rows), ..Default::default() }, &texts, protocol);
            let all = (0..).zip(&texts).flat_map(|(document, text)| (0..).zip(text.bytes()).map(move |(at, byte)| (document, at, f64::from(byte) + 1.0)));
            prop_assert_eq!(visited, all.collect::<Vec<_>>());
            let seen = recorder.seen.borrow();
            let targets: String = seen.iter().map(|(_, target)| char::from(*target as u8)).collect();
            prop_assert_eq!(&targets, &documents.concat());
            prop_assert_eq!(result.targets as usize, targets.len());
            let charged: f64 = targets.bytes().map(|byte| f64::from(byte) + 1.0).sum();
            prop_assert_eq!(result.nll, charged);
            // The context of each target is what stands before it, cut to a window.
            for (context, target) in seen.iter() {
                let start = context.iter().position(|&token| token == 256);
                let text: Vec<u8> = context[start.map_or(0, |at| at + 1)..].iter().map(|&token| token as u8).collect();
                let all: Vec<u8> = (b'0'..*target as u8).collect();
                prop_assert!(all.ends_with(&text), "{:?} before {}", text, target);
                prop_assert!(start.is_none() || text.len() == all.len());
            }
        }
    }
}
