//! What the tensors of a file say of an RWKV model: its configuration, and what Percept does not have.

use percept_fault::{Fault, Result};

use super::MARK;
use crate::config::ModelConfig;
use crate::layer::Shapes;
use crate::mixer::MixerKind;

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
    if !shapes.contains_key(MARK) {
        return Ok(None);
    }
    supported(shapes)?;
    for kind in MixerKind::ALL {
        if let Some(config) = (kind.contract().published)(shapes)? {
            return Ok(Some(config));
        }
    }
    Ok(None)
}

/// # Errors
/// A tensor that only a variant has.
pub(in crate::weights) fn supported(shapes: &Shapes<'_>) -> Result<()> {
    let found = shapes.keys().find_map(|name| {
        let (_, what) = VARIANTS.iter().find(|(part, _)| name.contains(part))?;
        Some(format!("`{name}` belongs to a variant of RWKV that Percept does not have: {what}"))
    });
    match found {
        Some(what) => Err(Fault::usage(what).hint("RWKV-4 and RWKV-7 as published can be imported")),
        None => Ok(()),
    }
}
