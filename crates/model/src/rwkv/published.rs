//! What the shapes in a published file of RWKV say of its model.

use percept_fault::{Fault, Result};

use crate::config::{Initialisation, ModelConfig, NormKind, RotaryLayers};
use crate::layer::Shapes;

/// The sizes that RWKV-4 and RWKV-7 have in common; layers and channel mix are the caller's.
pub(crate) fn published(shapes: &Shapes<'_>) -> Result<ModelConfig> {
    let block = |name: &&str| name.strip_prefix("blocks.")?.split_once('.')?.0.parse::<usize>().ok();
    let depth = shapes.keys().filter_map(block).map(|index| index.saturating_add(1)).max();
    Ok(ModelConfig {
        vocab: size(shapes, "emb.weight", 0)?,
        dim: size(shapes, "emb.weight", 1)?,
        depth: depth.unwrap_or(0),
        heads: 1,
        norm: NormKind::Layer,
        norm_eps: 1e-5,
        feed_forward_dim: size(shapes, "blocks.0.ffn.key.weight", 0)?,
        rotary: RotaryLayers::None,
        initialisation: Initialisation::Rwkv,
        ..ModelConfig::default()
    })
}

/// One dimension of a tensor.
///
/// # Errors
/// There is no such tensor, or it has fewer.
pub(crate) fn size(shapes: &Shapes<'_>, name: &str, axis: usize) -> Result<usize> {
    let fault = |what: String| Fault::usage(what).hint("RWKV-4 and RWKV-7 as published can be imported");
    let shape = shapes.get(name).ok_or_else(|| fault(format!("there is no tensor `{name}`")))?;
    shape.get(axis).copied().ok_or_else(|| fault(format!("tensor `{name}` has shape {shape:?}")))
}
