//! The authors' weight names (MetaMain/ECPTransformer) for our parameter paths.
//!
//! | ours | theirs |
//! |---|---|
//! | `embedding.weight` | `token_emb.weight` |
//! | `blocks.I.mixer_norm.*` | `layers.I.0.norm.*` |
//! | `blocks.I.mixer.M.*` | `layers.I.0.fn.N.*`, N as [`crate::layer::Sublayer::paper_names`] says |
//! | `blocks.I.feed_forward_norm.*` | `layers.I.1.norm.*` |
//! | `blocks.I.feed_forward.M.*` | `layers.I.1.fn.N.*`, likewise |
//! | `norm.*`, `head.*` | `to_logits.0.*`, `to_logits.1.*` |
//!
//! Matrices of sublayers are transposed.
//! A norm's `gamma`, `beta` are `weight`, `bias` there.

use crate::config::LayerSpec;

/// How a tensor is stored there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As ours.
    Same,
    /// `[outputs, inputs]` for our `[inputs, outputs]`.
    Transposed,
    /// `[1, 1, d]` for our `[d]`; files that have `[d]` are read too.
    Row,
}

impl Layout {
    /// The shape there of a tensor whose shape is `ours` here.
    pub(super) fn shape(self, ours: &[usize]) -> Vec<usize> {
        match self {
            Self::Same => ours.to_vec(),
            Self::Transposed => ours.iter().rev().copied().collect(),
            Self::Row => [1, 1].iter().chain(ours).copied().collect(),
        }
    }
}

/// The authors' names for one of our paths, the one that they use first (in a file the first that exists counts), and the
/// layout.
pub fn names(path: &str, layers: &[LayerSpec]) -> Option<(Vec<String>, Layout)> {
    let plain = |name: String| Some((vec![name], Layout::Same));
    if let Some(rest) = path.strip_prefix("blocks.") {
        let (index, rest) = rest.split_once('.')?;
        return block_names(layers.get(index.parse::<usize>().ok()?)?, rest);
    }
    match path {
        "embedding.weight" => plain("token_emb.weight".into()),
        "norm.gamma" => plain("to_logits.0.weight".into()),
        "norm.beta" => plain("to_logits.0.bias".into()),
        "head.weight" => plain("to_logits.1.weight".into()),
        "head.bias" => plain("to_logits.1.bias".into()),
        _ => None,
    }
}

/// A block has two sublayers, each a `norm` and an `fn`.
fn block_names(layer: &LayerSpec, path: &str) -> Option<(Vec<String>, Layout)> {
    let (module, field) = path.rsplit_once('.')?;
    let below = |half: usize, names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("layers.{}.{half}.fn.{name}", layer.index)).collect()
    };
    let modules = match module {
        "mixer_norm" => vec![format!("layers.{}.0.norm", layer.index)],
        "feed_forward_norm" => vec![format!("layers.{}.1.norm", layer.index)],
        _ => match module.split_once('.')? {
            ("mixer", module) => below(0, (layer.kind.contract().paper_names)(module)),
            ("feed_forward", module) => below(1, (layer.channel.contract().paper_names)(module)),
            _ => return None,
        },
    };
    let (field, layout) = match field {
        "gamma" => ("weight", Layout::Same),
        "beta" => ("bias", Layout::Same),
        "weight" => ("weight", Layout::Transposed),
        field => (field, Layout::Same),
    };
    let names: Vec<String> = modules.iter().map(|module| format!("{module}.{field}")).collect();
    (!names.is_empty()).then_some((names, layout))
}

/// `[rows, columns]` to `[columns, rows]`.
pub fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;

    #[test]
    fn transposing_twice_is_the_identity() {
        let values: Vec<f32> = (0..6).map(|x| x as f32).collect();
        assert_eq!(transpose(&values, 2, 3), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(transpose(&transpose(&values, 2, 3), 3, 2), values);
    }

    #[test]
    fn paths_outside_the_paper_preset_have_no_name() {
        let config = ModelConfig { layers: "llp*3, perceiver-ar".into(), ..ModelConfig::default() };
        let layers = config.layer_specs().unwrap();
        let names = |path: &str| names(path, &layers);
        assert!(names("blocks.0.feed_forward.gate.weight").is_none());
        assert!(names("blocks.9.mixer_norm.gamma").is_none() && names("blocks.3.mixer.first_output.bias").is_none());
        assert_eq!(
            names("blocks.2.mixer.first_output.bias"),
            Some((vec!["layers.2.0.fn.to_out_0.bias".into()], Layout::Same))
        );
        let outputs = [2, 3].map(|layer| names(&format!("blocks.{layer}.mixer.projection.output.weight")).unwrap().0);
        assert_eq!(
            outputs.map(|names| names[0].clone()),
            ["layers.2.0.fn.to_out.weight", "layers.3.0.fn.w_out.weight"]
        );
    }
}
