//! A small model of the same structure.

use percept_fault::Result;
use percept_model::ModelConfig;
use percept_model::config::Initialisation;
use percept_model::schedule::LayerSpec;

/// Channels per head; enough for several rotary frequencies.
const HEAD: usize = 8;
/// Shortest segment: two halves of two for LongLoRA.
const SEGMENT: usize = 4;
/// Longest window.
const WINDOW: usize = 32;
/// Layers, over which the influence of one token on another can still be seen.
const LAYERS: usize = 3;
const VOCAB: usize = 61;

/// Cuts width, depth, segment length and window, and keeps the structure: every kind of layer, grouping of heads, the
/// proportions of window, segments and latents, and every option. Weights are initialised larger, so that every
/// path through the model shows in its output.
///
/// # Errors
/// A wrong layer schedule.
///
/// ```
/// use percept_model::ModelConfig;
/// use percept_verify::reduced;
/// let layers = "llp(segment=256)*5, transformer".into();
/// let config = ModelConfig { layers, vocab: 32_000, dim: 768, depth: 24, heads: 12, context: 2048, ..Default::default() };
/// let small = reduced(&config)?;
/// // One layer of each kind, eight segments per window as before, and little to compute.
/// assert_eq!(small.layer_specs()?.len(), 3);
/// assert_eq!(small.context / small.layer_specs()?[0].segment, 8);
/// assert!(small.dim <= 96);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn reduced(config: &ModelConfig) -> Result<ModelConfig> {
    let layers = config.layer_specs()?;
    let shortest = layers.iter().map(|layer| layer.segment).min().unwrap_or(0).max(1);
    let context = (config.context / shortest).clamp(3, WINDOW / SEGMENT) * SEGMENT;
    let scaled = |length: usize| (length * context).div_ceil(config.context).max(1);
    let segment = |length: usize| (length * SEGMENT / shortest).clamp(SEGMENT, context);
    // An even number stays even: LongLoRA halves the heads.
    let fewest = if config.key_value_heads().is_multiple_of(2) { 2 } else { 1 };
    let kv_heads = (4 * config.key_value_heads() / config.heads).max(fewest).next_multiple_of(fewest);
    let heads = kv_heads * (config.heads / config.key_value_heads());
    let latents = scaled(config.latents).min(context);
    let dim = heads * HEAD;
    let schedule = schedule(&layers, segment);
    Ok(ModelConfig {
        depth: config.depth.min(LAYERS).max(schedule.len()),
        layers: schedule.join(", "),
        vocab: VOCAB,
        dim,
        heads,
        kv_heads: if config.kv_heads == 0 { 0 } else { kv_heads },
        context,
        segment: segment(config.segment),
        latents,
        fill: if config.fill == 0 { 0 } else { scaled(config.fill).min(latents) },
        history_segments: config.history_segments.min((context - latents).max(1)),
        compressed: scaled(config.compressed).min((context - latents).max(1)),
        feed_forward_dim: if config.feed_forward_dim == 0 { 0 } else { 2 * dim },
        own: config.own.reduced(),
        initialisation: Initialisation::Normal,
        init_std: (dim as f64).powf(-0.5),
        ..config.clone()
    })
}

/// One entry for each different layer, in the order in which they first appear.
fn schedule(layers: &[LayerSpec], segment: impl Fn(usize) -> usize) -> Vec<String> {
    let mut entries = Vec::new();
    for layer in layers {
        let entry = format!("{}(segment={})", layer.kind.name(), segment(layer.segment));
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(layers: &str) -> ModelConfig {
        ModelConfig { layers: layers.into(), vocab: 28996, dim: 768, depth: 24, heads: 6, ..ModelConfig::default() }
    }

    #[test]
    fn the_structure_stays() {
        let small = reduced(&ModelConfig { context: 2048, segment: 256, kv_heads: 2, ..config("llp") }).unwrap();
        small.validate().unwrap();
        assert_eq!((small.context / small.segment, small.heads / small.kv_heads, small.depth), (8, 3, 3));
        let hybrid = reduced(&config("llp(segment=64)*2, llp(segment=128), transformer")).unwrap();
        hybrid.validate().unwrap();
        assert_eq!(hybrid.layers, "llp(segment=4), llp(segment=8), transformer(segment=8)");
        let grouped = reduced(&ModelConfig { heads: 8, kv_heads: 2, ..config("longlora") }).unwrap();
        grouped.validate().unwrap();
        assert_eq!((grouped.heads, grouped.kv_heads), (8, 2));
        let history = reduced(&ModelConfig { latents: 256, compressed: 128, ..config("perceiver-v3") }).unwrap();
        history.validate().unwrap();
        assert_eq!((history.context, history.latents, history.compressed), (32, 8, 4));
    }

    #[test]
    fn extreme_proportions_stay_valid() {
        for layers in ["llp", "perceiver-ar", "perceiver-v1", "perceiver-v2", "perceiver-v3", "longlora", "transformer"]
        {
            for (context, segment, latents, compressed) in [(1024, 1024, 1023, 1), (4096, 8, 16, 4000), (7, 2, 3, 4)] {
                let config = ModelConfig { context, segment, latents, compressed, ..config(layers) };
                let small = reduced(&config).unwrap();
                small.validate().unwrap_or_else(|fault| panic!("{layers} {context}: {fault}\n{small:?}"));
            }
        }
    }
}
