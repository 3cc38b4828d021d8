//! What the tensors of a file say of an RWKV model: its kind, its sizes, and what Percept does not have.

use std::collections::BTreeMap;

use percept_fault::{Fault, Result};

use super::{Family, MARK};
use crate::channel::ChannelKind;
use crate::config::{Initialisation, ModelConfig, NormKind, RotaryLayers};

/// Shapes by the authors' names.
pub(in crate::weights) type Shapes<'a> = BTreeMap<&'a str, &'a [usize]>;

/// Parts of names that only variants have, and what they are.
const VARIANTS: [(&str, &str); 12] = [
    (".ffnPre.", "a channel mix in place of the first time mix"),
    (".tiny_", "a small attention beside the time mix"),
    ("head_q.", "a head that copies tokens"),
    ("head_k.", "a head that copies tokens"),
    (".att.qq.", "an attention beside the time mix"),
    (".att.kk.", "an attention beside the time mix"),
    (".att.vv.", "an attention beside the time mix"),
    (".att.oo.", "an attention beside the time mix"),
    ("pos_emb", "a position embedding"),
    (".att.gate.", "RWKV-5 or RWKV-6"),
    (".att.time_faaaa", "RWKV-5 or RWKV-6"),
    (".att.time_maa_", "RWKV-6"),
];

/// The configuration that shapes tell; `None` for what is no RWKV under its authors' names.
///
/// # Errors
/// A tensor of a variant that Percept does not have, or sizes that fit no model.
pub(in crate::weights) fn config(shapes: &Shapes<'_>) -> Result<Option<ModelConfig>> {
    let Some(family) = Family::of_tensors(shapes) else { return Ok(None) };
    supported(shapes)?;
    let size = |name: &str, axis: usize| {
        let shape = shapes.get(name).ok_or_else(|| no_model(format!("there is no tensor `{name}`")))?;
        shape.get(axis).copied().ok_or_else(|| no_model(format!("tensor `{name}` has shape {shape:?}")))
    };
    let model = family.name();
    let channel = format!("{model}-channel");
    let config = ModelConfig {
        feed_forward: ChannelKind::from_name(&channel)
            .ok_or_else(|| no_model(format!("this is {model}, and there is no `{channel}`")))?,
        layers: model.into(),
        vocab: size(MARK, 0)?,
        dim: size(MARK, 1)?,
        depth: depth(shapes),
        heads: 1,
        norm: NormKind::Layer,
        norm_eps: 1e-5,
        feed_forward_dim: size("blocks.0.ffn.key.weight", 0)?,
        rotary: RotaryLayers::None,
        initialisation: Initialisation::Rwkv,
        ..ModelConfig::default()
    };
    Ok(Some(match family {
        Family::Rwkv4 => config,
        Family::Rwkv7 => {
            // Layer 0 has no values to take over, so that what it has of them counts last.
            let value = (1..config.depth).find_map(|layer| size(&format!("blocks.{layer}.att.v1"), 1).ok());
            let ranks = [
                ("rwkv7.decay_rank", size("blocks.0.att.w1", 1)?),
                ("rwkv7.rate_rank", size("blocks.0.att.a1", 1)?),
                ("rwkv7.value_rank", value.unwrap_or(0)),
                ("rwkv7.gate_rank", size("blocks.0.att.g1", 1)?),
            ];
            let config = ModelConfig { heads: size("blocks.0.att.r_k", 0)?, ..config };
            ranks.into_iter().try_fold(config, |config, (key, rank)| config.with(key, rank))?
        }
    }))
}

/// # Errors
/// A tensor that only a variant has.
pub(in crate::weights) fn supported(shapes: &Shapes<'_>) -> Result<()> {
    let found = shapes.keys().find_map(|name| {
        let (_, what) = VARIANTS.iter().find(|(part, _)| name.contains(part))?;
        Some(format!("`{name}` belongs to a variant of RWKV that Percept does not have: {what}"))
    });
    match found {
        Some(what) => Err(no_model(what)),
        None => Ok(()),
    }
}

fn no_model(what: String) -> Fault {
    Fault::usage(what).hint("RWKV-4 and RWKV-7 as published can be imported")
}

/// Blocks up to the last that has a tensor.
fn depth(shapes: &Shapes<'_>) -> usize {
    let block = |name: &&str| name.strip_prefix("blocks.")?.split_once('.')?.0.parse::<usize>().ok();
    shapes.keys().filter_map(block).map(|index| index.saturating_add(1)).max().unwrap_or(0)
}
