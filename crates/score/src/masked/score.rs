//! The masked perplexity and the pseudo-log-likelihood of a text.

use std::time::Instant;

use percept_data::IGNORED;
use percept_fault::{Fault, Result};
use percept_model::encoder::{Encoder, MaskedBatch, Sequences};
use percept_model::{Batch, Loss};
use serde::Serialize;

use super::Masker;
use crate::scoring::{Cut, Document, LastWindow, Texts};

/// Sequences that go through the encoder together.
const ROWS: usize = 16;

/// The score of a text by masked words. Serialized, its keys are those of `percept eval --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MaskedScore {
    /// What was asked, and how.
    pub protocol: String,
    /// Documents that were read.
    pub documents: usize,
    /// Tokens that were read.
    pub tokens: u64,
    /// Tokens that were asked.
    pub targets: u64,
    /// Nats per token that was asked.
    pub loss: f64,
    /// exp of that.
    pub masked_perplexity: f64,
    /// Tokens read per second.
    pub tokens_per_s: f64,
}

/// The score of a text by single masked tokens.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PseudoScore {
    /// What was asked, and how.
    pub protocol: String,
    /// Documents that were read.
    pub documents: usize,
    /// Tokens that were asked.
    pub targets: u64,
    /// The sum of ln p over all of them.
    pub pseudo_log_likelihood: f64,
    /// exp of its mean, negated.
    pub pseudo_perplexity: f64,
    /// Tokens asked per second.
    pub tokens_per_s: f64,
}

/// The windows of the documents of a text, one batch of equal ones after the other, until `limit` targets are in them; the number of documents
/// begun.
fn windows(
    texts: &dyn Texts,
    context: usize,
    limit: Option<usize>,
    visit: &mut dyn FnMut(&Batch) -> Result<()>,
) -> Result<usize> {
    let limit = limit.unwrap_or(usize::MAX);
    // A sequence holds one token more than the window that predicts it.
    let length = context - 1;
    let cut = Cut { window: length, stride: length, first: length, last: LastWindow::Short };
    let (mut batch, mut read, mut documents) = (empty(length), 0, 0);
    for index in 0..texts.len() {
        if read >= limit {
            break;
        }
        let Document { tokens, targets, .. } = texts.document(index)?;
        documents += 1;
        for window in cut.windows(0..tokens.len().min(limit - read)) {
            let start = batch.tokens.len();
            window.append_to(&mut batch, &tokens, texts.document_token());
            let written = batch.targets[start..].iter_mut().zip(window.inputs.clone());
            written.filter(|(_, at)| !targets.contains(*at)).for_each(|(target, _)| *target = IGNORED);
            batch.tokens.resize(batch.rows * length, texts.document_token());
            batch.targets.resize(batch.rows * length, IGNORED);
            if batch.rows == ROWS {
                visit(&std::mem::replace(&mut batch, empty(length)))?;
            }
        }
        read += tokens.len().min(limit - read);
    }
    if batch.rows > 0 {
        visit(&batch)?;
    }
    Ok(documents)
}

fn empty(length: usize) -> Batch {
    Batch { tokens: Vec::new(), targets: Vec::new(), rows: 0, length }
}

fn check(sum: Loss) -> Result<()> {
    match sum.targets {
        0 => {
            Err(Fault::usage("the text is too short: nothing in it is asked").hint("give more text, or raise --limit"))
        }
        _ => Ok(()),
    }
}

/// The masked perplexity of a text; `progress` gets the tokens that were read.
///
/// # Errors
/// Usage: the text is so short that no word is chosen. Otherwise whatever reading it meets.
pub fn masked_score(
    encoder: &Encoder,
    masker: &Masker,
    texts: &dyn Texts,
    limit: Option<usize>,
    progress: &mut dyn FnMut(u64),
) -> Result<MaskedScore> {
    let (begin, context) = (Instant::now(), encoder.config().context);
    let (mut sum, mut tokens) = (Loss::default(), 0u64);
    let documents = windows(texts, context, limit, &mut |windows| {
        sum.add(encoder.evaluate(&masker.scored(windows))?);
        tokens += windows.targets.iter().filter(|target| **target != IGNORED).count() as u64;
        progress(tokens);
        Ok(())
    })?;
    check(sum)?;
    Ok(MaskedScore {
        protocol: format!("sequences of {context} tokens, words masked as in training, by the sequence's own seed"),
        documents,
        tokens,
        targets: sum.targets as u64,
        loss: sum.mean(),
        masked_perplexity: sum.mean().exp(),
        tokens_per_s: tokens as f64 / begin.elapsed().as_secs_f64().max(f64::MIN_POSITIVE),
    })
}

/// The pseudo-log-likelihood of a text (arXiv 1910.14659, equation 1): a pass for every token. `progress` gets the tokens that were asked.
///
/// # Errors
/// As [`masked_score`].
pub fn pseudo_score(
    encoder: &Encoder,
    masker: &Masker,
    texts: &dyn Texts,
    limit: Option<usize>,
    progress: &mut dyn FnMut(u64),
) -> Result<PseudoScore> {
    let (begin, context) = (Instant::now(), encoder.config().context);
    let mut sum = Loss::default();
    let documents = windows(texts, context, limit, &mut |windows| {
        for row in 0..windows.rows {
            let (tokens, asked) = Masker::sequence(windows, row);
            for asked in asked.chunks(ROWS) {
                sum.add(encoder.evaluate(&one_by_one(&tokens, asked, masker.mask()))?);
                progress(sum.targets as u64);
            }
        }
        Ok(())
    })?;
    check(sum)?;
    Ok(PseudoScore {
        protocol: format!("sequences of {context} tokens, each token masked alone"),
        documents,
        targets: sum.targets as u64,
        pseudo_log_likelihood: -sum.nll,
        pseudo_perplexity: sum.mean().exp(),
        tokens_per_s: sum.targets as f64 / begin.elapsed().as_secs_f64().max(f64::MIN_POSITIVE),
    })
}

/// A copy of a sequence for each place that is asked, masked there alone.
fn one_by_one(tokens: &[u32], asked: &[usize], mask: u32) -> MaskedBatch {
    let copies: Vec<Vec<u32>> = asked
        .iter()
        .map(|&at| {
            let mut copy = tokens.to_vec();
            copy[at] = mask;
            copy
        })
        .collect();
    let copies: Vec<&[u32]> = copies.iter().map(Vec::as_slice).collect();
    MaskedBatch {
        sequences: Sequences::of(&copies),
        asked: asked.iter().enumerate().map(|(row, at)| row * tokens.len() + at).collect(),
        labels: asked.iter().map(|&at| tokens[at]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use percept_data::Tokenizer;
    use percept_model::encoder::{EncoderConfig, Masking};

    use super::*;
    use crate::MemoryTexts;

    fn encoder() -> Encoder {
        let config =
            EncoderConfig { vocab: 258, dim: 16, depth: 1, heads: 2, context: 9, init_std: 0.3, ..Default::default() };
        Encoder::new(&config, 3, &Default::default()).unwrap()
    }

    fn texts(documents: &[&str]) -> MemoryTexts {
        let tokenizer = Tokenizer::bytes();
        MemoryTexts::new(tokenizer, documents.iter().map(|text| text.as_bytes().to_vec()).collect())
    }

    /// -ln p of one byte of a document at `at`, from the encoder alone; the sequence begins with the byte before `start`.
    fn by_hand(encoder: &Encoder, document: &[u8], start: usize, at: usize) -> f64 {
        let mut tokens: Vec<u32> = vec![if start == 0 { 256 } else { u32::from(document[start - 1]) }];
        tokens.extend(document[start..document.len().min(start + 8)].iter().map(|byte| u32::from(*byte)));
        tokens[at - start + 1] = 257;
        let logits = encoder.logits_at(&Sequences::of(&[&tokens]), &[at - start + 1]).unwrap();
        let logits: Vec<f64> = logits.into_data().iter::<f64>().collect();
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        sum.ln() - logits[usize::from(document[at])]
    }

    #[test]
    fn the_pseudo_log_likelihood_asks_each_token_alone() {
        let (encoder, documents) = (encoder(), ["the cat sat.", "on"]);
        let masker = Masker::new(&Tokenizer::bytes(), Masking::default());
        let score = pseudo_score(&encoder, &masker, &texts(&documents), None, &mut |_| ()).unwrap();
        let expected: f64 = documents
            .iter()
            .flat_map(|text| (0..text.len()).map(move |at| (text.as_bytes(), at)))
            .map(|(text, at)| -by_hand(&encoder, text, at / 8 * 8, at))
            .sum();
        assert_eq!((score.targets, score.documents), (14, 2));
        assert!((score.pseudo_log_likelihood - expected).abs() < 1e-4, "{score:?} {expected}");
        assert!((score.pseudo_perplexity.ln() + expected / 14.0).abs() < 1e-5);
        let few = pseudo_score(&encoder, &masker, &texts(&documents), Some(5), &mut |_| ()).unwrap();
        assert_eq!((few.targets, few.documents), (5, 1));
    }

    #[test]
    fn where_single_tokens_are_masked_both_scores_agree_on_them() {
        let (encoder, text) = (encoder(), "a b c d e f g h i j k l m n o p q r s t");
        // About one in sixteen: mostly alone in its sequence.
        let masking = Masking { rate: 0.06, mask: 1.0, random: 0.0, whole_words: false };
        let masker = Masker::new(&Tokenizer::bytes(), masking);
        let score = masked_score(&encoder, &masker, &texts(&[text]), None, &mut |_| ()).unwrap();
        assert_eq!((score.tokens, score.documents), (39, 1));
        let mut expected = Loss::default();
        for start in (0..39).step_by(8) {
            let end = (start + 8).min(39);
            let before = if start == 0 { 256 } else { u32::from(text.as_bytes()[start - 1]) };
            let bytes: Vec<u32> = text.as_bytes()[start..end].iter().map(|byte| u32::from(*byte)).collect();
            let tokens = [before].iter().chain(&bytes[..bytes.len() - 1]).copied().collect();
            let batch = Batch { tokens, length: bytes.len(), targets: bytes, rows: 1 };
            for at in masker.scored(&batch).asked {
                expected.add(Loss { nll: by_hand(&encoder, text.as_bytes(), start, start + at - 1), targets: 1 });
            }
        }
        assert!(score.targets > 0 && score.targets as usize == expected.targets, "{score:?}");
        assert!(
            (score.loss - expected.mean()).abs() < 1e-4 && (score.masked_perplexity.ln() - score.loss).abs() < 1e-9
        );
    }

    #[test]
    fn a_text_in_which_nothing_is_asked_is_a_fault() {
        let masker = Masker::new(&Tokenizer::bytes(), Masking { rate: 1e-9, ..Masking::default() });
        let fault = masked_score(&encoder(), &masker, &texts(&["ab"]), None, &mut |_| ()).unwrap_err();
        assert!(fault.is_usage() && fault.to_string().contains("nothing in it is asked"), "{fault}");
    }
}
