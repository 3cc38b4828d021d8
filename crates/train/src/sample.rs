//! The text that a run writes at intervals.

use std::sync::Arc;

use percept_data::Tokenizer;
use percept_fault::Result;
use percept_model::{InferenceModel, Session};

use crate::config::SampleConfig;

/// Prompt and continuation. The draws depend on `seed` alone, so samples of a run can be compared.
pub(crate) fn sample(
    model: Arc<InferenceModel>,
    tokenizer: &Tokenizer,
    config: &SampleConfig,
    seed: u64,
) -> Result<String> {
    let document = tokenizer.document_token();
    let mut fed = vec![document];
    fed.extend(tokenizer.encode(config.prompt.as_bytes())?);
    let mut session = Session::new(model);
    let mut log_probabilities = session.feed(&fed)?;
    let mut tokens = fed.split_off(1);
    for index in 0..config.tokens {
        // A document token would end the text; the sample shows how it goes on.
        if let Some(value) = log_probabilities.get_mut(document as usize) {
            *value = f32::NEG_INFINITY;
        }
        let token = draw(&log_probabilities, config.temperature, uniform(seed, index as u64));
        tokens.push(token);
        session.feed_into(&[token], &mut log_probabilities)?;
    }
    let mut detokenizer = tokenizer.detokenizer();
    let text: String = tokens.iter().map(|&token| detokenizer.push(token)).collect();
    Ok(text + &detokenizer.finish())
}

/// The token at `at` in [0, 1) of the distribution p^(1 / temperature).
fn draw(log_probabilities: &[f32], temperature: f64, at: f64) -> u32 {
    let best = (0u32..).zip(log_probabilities).max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(token, _)| token);
    if temperature == 0.0 {
        return best;
    }
    let most = f64::from(log_probabilities.get(best as usize).copied().unwrap_or_default());
    let weight = |value: &f32| ((f64::from(*value) - most) / temperature).exp();
    let mut left = at * log_probabilities.iter().map(weight).sum::<f64>();
    for (token, value) in (0u32..).zip(log_probabilities) {
        left -= weight(value);
        if left < 0.0 {
            return token;
        }
    }
    best
}

/// A number in [0, 1) that depends on the seed and the index alone (SplitMix64, Steele et al. 2014).
fn uniform(seed: u64, index: u64) -> f64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_distribution() {
        let log_probabilities = [0.5f32.ln(), 0.2f32.ln(), f32::NEG_INFINITY, 0.3f32.ln()];
        let mut counts = [0; 4];
        for index in 0..10_000 {
            counts[draw(&log_probabilities, 1.0, uniform(3, index)) as usize] += 1;
        }
        for (count, share) in counts.iter().zip([0.5, 0.2, 0.0, 0.3]) {
            assert!((f64::from(*count) / 10_000.0 - share).abs() < 0.02, "{counts:?}");
        }
    }

    #[test]
    fn temperature_zero_takes_the_most_probable() {
        assert_eq!(draw(&[-2.0, -1.0, -3.0], 0.0, 0.999), 1);
    }
}
