//! What does not match between the tensors of an RWKV file and those of a model: all of it, by name.

use std::collections::BTreeMap;

use burn::module::Module;
use percept_fault::{Fault, Result};

use super::without_ones;
use crate::config::LayerSpec;
use crate::layer::Shapes;
use crate::parameters;

/// Names that a message gives of a kind of mismatch.
const SHOWN: usize = 4;
/// Tensors that layer 0 of freshly trained files has, and that nothing reads.
const UNUSED: [&str; 3] = ["blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2"];

/// # Errors
/// A tensor that the model needs is missing or has another shape, or a block has one that the model has no place for.
pub(in crate::weights) fn check(model: &impl Module, layers: &[LayerSpec], shapes: &Shapes<'_>) -> Result<()> {
    let named = parameters::collect(model).into_iter().filter_map(|(path, tensor)| {
        let (name, layout) = super::name(&path, layers)?;
        Some((name, layout.shape(&tensor.shape)))
    });
    let needed: BTreeMap<String, Vec<usize>> = named.collect();
    let missing = needed.keys().filter(|name| !shapes.contains_key(name.as_str())).map(|name| format!("`{name}`"));
    let another = needed.iter().filter_map(|(name, needed)| {
        let found = shapes.get(name.as_str())?;
        let same = without_ones(found) == without_ones(needed);
        (!same).then(|| format!("`{name}` {found:?} in place of {needed:?}"))
    });
    let strange = |name: &str| name.starts_with("blocks.") && !needed.contains_key(name) && !UNUSED.contains(&name);
    let unexpected = shapes.keys().filter(|name| strange(name)).map(|name| format!("`{name}`"));
    let kinds: [(_, Vec<_>); 3] =
        [("missing", missing.collect()), ("unexpected", unexpected.collect()), ("shape", another.collect())];
    let said: Vec<String> = kinds.iter().filter_map(|(kind, names)| list(kind, names)).collect();
    match said.is_empty() {
        true => Ok(()),
        false => Err(Fault::usage(format!("the tensors are not those of the model: {}", said.join("; ")))
            .hint("without --config the model's sizes are taken from the file; --tokenizer must be the model's")),
    }
}

/// `missing: a, b and 3 more`.
fn list(kind: &str, names: &[String]) -> Option<String> {
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        count if count > SHOWN => Some(format!("{kind}: {shown} and {} more", count - SHOWN)),
        _ => Some(format!("{kind}: {shown}")),
    }
}
