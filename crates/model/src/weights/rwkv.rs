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

use super::paper::Layout;
use crate::config::LayerSpec;

/// A tensor that every file under these names has.
pub(super) const MARK: &str = "emb.weight";

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
        return match own.rsplit_once('.') {
            None => Some((format!("{place}.{}", theirs(own)?), layout)),
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
