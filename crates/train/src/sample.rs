//! The text that a run writes at intervals.

use std::sync::Arc;

use percept_data::Tokenizer;
use percept_fault::Result;
use percept_generate::{GenerationConfig, SamplingConfig, generate};
use percept_model::{InferenceModel, Session};

use crate::config::SampleConfig;

/// Prompt and continuation: what `percept generate` writes with the same seed and temperature. The draws depend on `seed`
/// alone, so samples of a run can be compared.
pub(crate) fn sample(
    model: Arc<InferenceModel>,
    tokenizer: &Tokenizer,
    config: &SampleConfig,
    seed: u64,
) -> Result<String> {
    let mut prompt = vec![tokenizer.document_token()];
    prompt.extend(tokenizer.encode(config.prompt.as_bytes())?);
    let sampling = SamplingConfig { temperature: config.temperature as f32, seed, ..SamplingConfig::default() };
    let generation = GenerationConfig { tokens: config.tokens, sampling, ..GenerationConfig::default() };
    let text = generate(&mut Session::new(model), tokenizer, &prompt, &generation, &mut |_| Ok(()))?;
    Ok(config.prompt.clone() + &text.text)
}
