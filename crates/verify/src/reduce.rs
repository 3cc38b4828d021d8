//! A small model of the same structure.

use percept_fault::Result;
use percept_model::ModelConfig;
use percept_model::config::Initialisation;
use percept_model::config::{LayerSpec, entry};
use percept_model::layer::Scale;

/// Channels per head; enough for several rotary frequencies.
const HEAD: usize = 8;
/// Layers, over which the influence of one token on another can still be seen.
const LAYERS: usize = 3;
const VOCAB: usize = 61;

/// Cuts width, depth, window and the lengths in it, and keeps the structure: every kind of layer, grouping of heads, the
/// proportions of those lengths, and every option. Weights are initialised larger, so that every
/// path through the model shows in its output.
///
/// # Errors
/// A wrong layer schedule.
///
/// ```
/// use percept_model::ModelConfig;
/// use percept_verify::reduced;
/// let layers = "llp*5, transformer".into();
/// let config = ModelConfig { layers, vocab: 32_000, dim: 768, depth: 24, heads: 12, context: 2048, ..Default::default() };
/// let small = reduced(&config.with("segment", 256)?)?;
/// // One layer of each kind, eight segments per window as before, and little to compute.
/// assert_eq!(small.layers, "llp, transformer");
/// assert_eq!(small.context / small.mixers.llp.segment, 2048 / 256);
/// assert!(small.dim <= 96);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn reduced(config: &ModelConfig) -> Result<ModelConfig> {
    let layers = config.layer_specs()?;
    let scale = Scale::new(config.context, layers.iter().filter_map(LayerSpec::segment).min());
    // An even number stays even: halves of the heads may differ.
    let fewest = if config.key_value_heads().is_multiple_of(2) { 2 } else { 1 };
    let kv_heads = (4 * config.key_value_heads() / config.heads).max(fewest).next_multiple_of(fewest);
    let heads = kv_heads * (config.heads / config.key_value_heads());
    let dim = heads * HEAD;
    let mixers = config.mixers.reduced(&scale);
    // One entry for each different layer, in the order in which they first appear.
    let mut entries: Vec<String> = Vec::new();
    for layer in &layers {
        let entry = entry(layer.kind, &layer.options.reduced(&scale), &mixers);
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    // Blocks that layers share stay shared.
    let shared = config.own_blocks() < config.depth;
    Ok(ModelConfig {
        depth: config.depth.min(LAYERS).max(entries.len() + usize::from(shared)),
        blocks: if shared { entries.len() } else { 0 },
        layers: entries.join(", "),
        vocab: VOCAB,
        dim,
        heads,
        kv_heads: if config.kv_heads == 0 { 0 } else { kv_heads },
        context: scale.context,
        feed_forward_dim: if config.feed_forward_dim == 0 { 0 } else { 2 * dim },
        mixers,
        channels: config.channels.reduced(&scale),
        initialisation: Initialisation::Normal,
        init_std: (dim as f64).powf(-0.5),
        ..config.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(layers: &str) -> ModelConfig {
        ModelConfig { layers: layers.into(), vocab: 28996, dim: 768, depth: 24, heads: 6, ..ModelConfig::default() }
    }

    #[test]
    fn the_structure_stays() {
        let small = reduced(&ModelConfig { context: 2048, kv_heads: 2, ..config("llp").with("segment", 256).unwrap() })
            .unwrap();
        small.validate().unwrap();
        assert_eq!((small.context / small.mixers.llp.segment, small.heads / small.kv_heads, small.depth), (8, 3, 3));
        let hybrid = reduced(&config("llp(segment=64)*2, llp(segment=128), transformer")).unwrap();
        hybrid.validate().unwrap();
        assert_eq!(hybrid.layers, "llp(segment=4), llp, transformer");
        let shared = reduced(&ModelConfig { blocks: 4, ..config("llp, transformer") }).unwrap();
        shared.validate().unwrap();
        assert_eq!((shared.depth, shared.blocks), (3, 2));
        let grouped = reduced(&ModelConfig { heads: 8, kv_heads: 2, ..config("longlora") }).unwrap();
        grouped.validate().unwrap();
        assert_eq!((grouped.heads, grouped.kv_heads), (8, 2));
        let history = reduced(&ModelConfig {
            ..config("perceiver-v3").with("latents", 256).unwrap().with("compressed", 128).unwrap()
        })
        .unwrap();
        history.validate().unwrap();
        assert_eq!(
            (history.context, history.mixers.perceiver_v3.window.latents, history.mixers.perceiver_v3.compressed),
            (32, 8, 4)
        );
    }

    #[test]
    fn extreme_proportions_stay_valid() {
        for layers in ["llp", "perceiver-ar", "perceiver-v1", "perceiver-v2", "perceiver-v3", "longlora", "transformer"]
        {
            for (context, segment, latents, compressed) in [(1024, 1024, 1023, 1), (4096, 8, 16, 4000), (7, 2, 3, 4)] {
                let config = ModelConfig {
                    context,
                    ..config(layers)
                        .with("segment", segment)
                        .unwrap()
                        .with("latents", latents)
                        .unwrap()
                        .with("compressed", compressed)
                        .unwrap()
                };
                let small = reduced(&config).unwrap();
                small.validate().unwrap_or_else(|fault| panic!("{layers} {context}: {fault}\n{small:?}"));
            }
        }
    }
}
