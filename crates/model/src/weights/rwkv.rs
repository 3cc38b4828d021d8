//! The names of RWKV's authors (BlinkDL/RWKV-LM) for our parameter paths.
//!
//! | ours | theirs |
//! |---|---|
//! | `embedding.weight`, `norm.*`, `head.weight` | `emb.weight`, `ln_out.*`, `head.weight` |
//! | `blocks.0.mixer.embedding_norm.*` | `blocks.0.ln0.*` |
//! | `blocks.I.mixer_norm.*`, `blocks.I.feed_forward_norm.*` | `blocks.I.ln1.*`, `blocks.I.ln2.*` |
//! | `blocks.I.mixer.P` | `blocks.I.att.N`, N as [`crate::layer::Sublayer::paper_names`] says of P |
//! | `blocks.I.feed_forward.P` | `blocks.I.ffn.N`, likewise |
//!
//! Linear maps are transposed; a norm's `gamma`, `beta` are `weight`, `bias` there. Vectors are `[d]` or `[1, 1, d]`.

pub(super) mod hugging_face;
pub(super) mod mismatch;
pub(super) mod shapes;

use std::collections::BTreeSet;

use super::paper::Layout;
use crate::config::LayerSpec;

/// A tensor that every file under these names has.
pub(super) const MARK: &str = "emb.weight";

/// The only one that Hugging Face's files have under the same name, in RWKV-4.
const HEAD: &str = "head.weight";

/// Parameters of a time mix by which the published models are told apart.
pub(super) const RWKV4: &str = "time_first";
pub(super) const RWKV7: &str = "r_k";

/// The one of these that every layer of a model has; `None` for models that are no published RWKV.
pub(super) fn mark(paths: impl Iterator<Item = String>, layers: &[LayerSpec]) -> Option<&'static str> {
    let names: BTreeSet<String> = paths.filter_map(|path| Some(name(&path, layers)?.0)).collect();
    let has = |layer: &LayerSpec, mark: &str| names.contains(&format!("blocks.{}.att.{mark}", layer.index));
    [RWKV4, RWKV7].into_iter().find(|mark| layers.iter().all(|layer| has(layer, mark)))
}

/// The authors' name for one of our paths, and the layout; `None` for what they do not have.
pub fn name(path: &str, layers: &[LayerSpec]) -> Option<(String, Layout)> {
    let (module, field) = path.rsplit_once('.')?;
    let (field, layout) = match field {
        "gamma" => ("weight", Layout::Same),
        "beta" => ("bias", Layout::Same),
        field => (field, Layout::Same),
    };
    let within = |module: &str| Some((format!("{module}.{field}"), layout));
    match module {
        "embedding" => return within("emb"),
        "norm" => return within("ln_out"),
        "head" => return within("head"),
        _ => {}
    }
    if let Some((layer, contract, own)) = LayerSpec::holding(layers, path) {
        let half = if path.split('.').nth(2) == Some("mixer") { "att" } else { "ffn" };
        let place = format!("blocks.{}.{half}", layer.index);
        let theirs = |own: &str| (contract.paper_names)(own).first();
        if let Some(name) = theirs(own) {
            let layout = if is_row(name) { Layout::Row } else { Layout::Same };
            return Some((format!("{place}.{name}"), layout));
        }
        return match own.rsplit_once('.') {
            None => None,
            Some(("embedding_norm", _)) => within(&format!("blocks.{}.ln0", layer.index)),
            Some((module, "weight")) => Some((format!("{place}.{}.weight", theirs(module)?), Layout::Transposed)),
            Some((module, _)) => within(&format!("{place}.{}", theirs(module)?)),
        };
    }
    let (block, norm) = module.rsplit_once('.')?;
    match norm {
        "mixer_norm" => within(&format!("{block}.ln1")),
        "feed_forward_norm" => within(&format!("{block}.ln2")),
        _ => None,
    }
}

/// A shape where leading dimensions of one do not count: vectors are `[1, 1, d]` in one file and `[d]` in another.
pub(super) fn without_ones(mut shape: &[usize]) -> &[usize] {
    while let [1, rest @ ..] = shape {
        shape = rest;
    }
    shape
}

/// What the authors keep as `[1, 1, d]`.
fn is_row(name: &str) -> bool {
    name.starts_with("time_mix_") || name.starts_with("x_") || ["w0", "a0", "v0", "k_k", "k_a"].contains(&name)
}
