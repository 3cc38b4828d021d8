//! What an encoder says of the masked tokens of a text.

use percept_data::Tokenizer;
use percept_fault::{Fault, Result};
use percept_model::encoder::{Encoder, Sequences};
use serde::Serialize;

/// What stands in a text for a token to be told.
pub const MASK: &str = "[MASK]";

/// A token that may stand in place of a mask.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Its number.
    pub token: u32,
    /// Its text there.
    pub text: String,
    /// Its probability.
    pub probability: f64,
}

/// A text with its masks filled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Filled {
    /// The text with the likeliest token in place of each mask.
    pub text: String,
    /// The likeliest tokens for each mask, the likeliest first; every mask by itself, given what is not masked.
    pub masks: Vec<Vec<Candidate>>,
}

/// Fills each [`MASK`] of a text with a token, and tells the `top` likeliest ones. A mask stands for one token: a byte, a piece of a
/// word or a word, as the tokenizer has them.
///
/// ```
/// use percept_data::Tokenizer;
/// use percept_generate::fill;
/// use percept_model::encoder::{Encoder, EncoderConfig};
/// let config = EncoderConfig { vocab: 258, dim: 32, depth: 1, context: 32, ..Default::default() };
/// let encoder = Encoder::new(&config, 7, &Default::default())?;
/// let filled = fill(&encoder, &Tokenizer::bytes(), "a [MASK]ay", 3)?;
/// // It has learned nothing yet, but it knows what it was asked.
/// assert_eq!((filled.masks.len(), filled.masks[0].len(), filled.text.chars().count()), (1, 3, 5));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
///
/// # Errors
/// Usage: there is no mask, or the text is longer than the encoder knows positions.
pub fn fill(encoder: &Encoder, tokenizer: &Tokenizer, text: &str, top: usize) -> Result<Filled> {
    let mask = tokenizer.vocab_size() as u32;
    let mut tokens = masked_tokens(tokenizer, text, mask)?;
    let asked: Vec<usize> = (0..tokens.len()).filter(|&at| tokens[at] == mask).collect();
    let logits = encoder.for_inference().logits_at(&Sequences::of(&[&tokens]), &asked)?;
    let logits: Vec<f64> = logits.into_data().iter::<f64>().collect();
    let mut masks = Vec::with_capacity(asked.len());
    for (row, &at) in logits.chunks(encoder.config().vocab).zip(&asked) {
        let likeliest = likeliest(&row[..mask as usize], top.max(1));
        tokens[at] = likeliest[0].0;
        masks.push(likeliest);
    }
    let of = |at: usize, (token, probability): (u32, f64)| {
        let text = String::from_utf8_lossy(&tokenizer.decode_after(&tokens[..at], &[token])).into_owned();
        Candidate { token, text, probability }
    };
    let masks = masks.iter().zip(&asked).map(|(mask, &at)| mask.iter().map(|one| of(at, *one)).collect()).collect();
    Ok(Filled { text: String::from_utf8_lossy(&tokenizer.decode(&tokens[1..])).into_owned(), masks })
}

/// The document token, and the text's tokens with `mask` for each [`MASK`].
fn masked_tokens(tokenizer: &Tokenizer, text: &str, mask: u32) -> Result<Vec<u32>> {
    if !text.contains(MASK) {
        return Err(
            Fault::usage(format!("the text has no {MASK}")).hint(format!("write {MASK} where a token is to be told"))
        );
    }
    // Where a blank belongs to the token after it, the one before a mask belongs to what the mask stands for.
    let takes_blank = has_blanks_in_front(tokenizer)?;
    let mut tokens = vec![tokenizer.document_token()];
    let mut parts = text.split(MASK).enumerate().peekable();
    while let Some((index, part)) = parts.next() {
        let is_last = parts.peek().is_none();
        let part = if takes_blank && !is_last { part.strip_suffix(' ').unwrap_or(part) } else { part };
        tokens.extend(if index == 0 { tokenizer.encode(part.as_bytes())? } else { later_tokens(tokenizer, part)? });
        if !is_last {
            tokens.push(mask);
        }
    }
    Ok(tokens)
}

/// Whether a token of the tokenizer is a blank and a letter, or begins so.
fn has_blanks_in_front(tokenizer: &Tokenizer) -> Result<bool> {
    let before = tokenizer.encode(b"a")?;
    let is_such = |token: u32| matches!(tokenizer.decode_after(&before, &[token])[..], [b' ', letter, ..] if letter.is_ascii_alphabetic());
    Ok((0..tokenizer.vocab_size() as u32).any(is_such))
}

/// The tokens of a text that something stands before: some tokenizers put a blank in front of a text.
fn later_tokens(tokenizer: &Tokenizer, part: &str) -> Result<Vec<u32>> {
    let [before, whole] = [tokenizer.encode(b"a")?, tokenizer.encode(format!("a{part}").as_bytes())?];
    match whole.strip_prefix(&*before) {
        Some(tokens) => Ok(tokens.to_vec()),
        None => tokenizer.encode(part.as_bytes()),
    }
}

/// The tokens of the largest logits with their probabilities.
fn likeliest(logits: &[f64], top: usize) -> Vec<(u32, f64)> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
    let mut order: Vec<(u32, f64)> =
        (0..).zip(logits).map(|(token, logit)| (token, (logit - most).exp() / sum)).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    order.truncate(top);
    order
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};
    use percept_model::encoder::EncoderConfig;
    use percept_model::parameters;

    use super::*;

    /// An encoder that always prefers `e`, then `x`.
    fn encoder() -> Encoder {
        let config = EncoderConfig { vocab: 258, dim: 16, depth: 1, heads: 2, context: 12, ..Default::default() };
        parameters::map(Encoder::new(&config, 3, &Device::default()).unwrap(), |path, shape, tensor| {
            if path != "head.bias" {
                return tensor;
            }
            let mut bias = vec![0.0f32; shape[0]];
            (bias[usize::from(b'e')], bias[usize::from(b'x')], bias[257]) = (9.0, 8.0, 50.0);
            Tensor::from_data(TensorData::new(bias, [shape[0]]), &tensor.device())
        })
    }

    #[test]
    fn masks_are_filled_with_the_likeliest_tokens() {
        let filled = fill(&encoder(), &Tokenizer::bytes(), "th[MASK] h[MASK]n", 2).unwrap();
        assert_eq!(filled.text, "the hen");
        assert_eq!(filled.masks.len(), 2);
        let texts: Vec<&str> = filled.masks[1].iter().map(|candidate| candidate.text.as_str()).collect();
        assert_eq!(texts, ["e", "x"]);
        let [first, second] = [0, 1].map(|at: usize| filled.masks[0][at].probability);
        // The mask itself is no answer, however likely.
        assert!((first / second - 1f64.exp()).abs() < 0.2 && first > 0.6, "{first} {second}");
    }

    #[test]
    fn a_blank_before_a_mask_belongs_to_it_where_tokens_have_blanks() {
        let bpe = Tokenizer::train_bpe(["the cat sat on the mat"; 20].into_iter(), 280).unwrap();
        let mask = bpe.vocab_size() as u32;
        let plain = |text: &str| bpe.encode(text.as_bytes()).unwrap();
        let tokens = masked_tokens(&bpe, "the [MASK] sat", mask).unwrap();
        assert_eq!(tokens, [&[bpe.document_token()], &*plain("the"), &[mask], &plain(" sat")].concat());
        let bytes = masked_tokens(&Tokenizer::bytes(), "a [MASK]b", 257).unwrap();
        assert_eq!(bytes, [256, 97, 32, 257, 98]);
    }

    #[test]
    fn a_text_without_a_mask_or_too_long_is_refused() {
        let refusal = |text: &str| fill(&encoder(), &Tokenizer::bytes(), text, 1).unwrap_err();
        assert!(refusal("plain").to_string().contains("the text has no [MASK]"));
        let fault = refusal("a sentence too long for it [MASK]");
        assert!(fault.is_usage() && fault.to_string().contains("knows 12 positions"), "{fault}");
    }
}
