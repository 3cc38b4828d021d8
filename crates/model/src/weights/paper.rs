//! The authors' weight names (MetaMain/ECPTransformer) for our parameter paths.
//!
//! | ours | theirs |
//! |---|---|
//! | `embedding.weight` | `token_emb.weight` |
//! | `blocks.I.mixer_norm.*` | `layers.I.0.norm.*` |
//! | `blocks.I.mixer.projection.{query,key}.weight` | `layers.I.0.fn.{to_q,to_kv}.weight`, transposed |
//! | `blocks.I.mixer.projection.key_value_norm.*` | `layers.I.0.fn.norm.*` |
//! | `blocks.I.mixer.projection.output.*` | `layers.I.0.fn.to_out.*` or `layers.I.0.fn.w_out.*`, transposed |
//! | `blocks.I.mixer.first_output.*` | `layers.I.0.fn.to_out_0.*`, transposed |
//! | `blocks.I.mixer.compression.*` | `layers.I.0.fn.projection_hist.*`, transposed |
//! | `blocks.I.feed_forward_norm.*` | `layers.I.1.norm.*` |
//! | `blocks.I.feed_forward.{up,down}.*` | `layers.I.1.fn.net.{0,3}.*`, transposed |
//! | `norm.*`, `head.*` | `to_logits.0.*`, `to_logits.1.*` |
//!
//! A norm's `gamma`, `beta` are `weight`, `bias` there.

/// How a tensor is stored there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As ours.
    Same,
    /// `[outputs, inputs]` for our `[inputs, outputs]`.
    Transposed,
}

/// The authors' names for one of our paths (the first that exists counts), and the layout.
pub fn names(path: &str) -> Option<(Vec<String>, Layout)> {
    let plain = |name: String| Some((vec![name], Layout::Same));
    if let Some(rest) = path.strip_prefix("blocks.") {
        let (index, rest) = rest.split_once('.')?;
        return block_names(index, rest);
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

fn block_names(index: &str, path: &str) -> Option<(Vec<String>, Layout)> {
    let (layer, field) = path.rsplit_once('.')?;
    let modules: &[&str] = match layer {
        "mixer_norm" => &["0.norm"],
        "mixer.projection.query" => &["0.fn.to_q"],
        "mixer.projection.key" => &["0.fn.to_kv"],
        "mixer.projection.key_value_norm" => &["0.fn.norm"],
        "mixer.projection.output" => &["0.fn.to_out", "0.fn.w_out"],
        "mixer.first_output" => &["0.fn.to_out_0"],
        "mixer.compression" => &["0.fn.projection_hist"],
        "feed_forward_norm" => &["1.norm"],
        "feed_forward.up" => &["1.fn.net.0"],
        "feed_forward.down" => &["1.fn.net.3"],
        _ => return None,
    };
    let (field, layout) = match field {
        "gamma" => ("weight", Layout::Same),
        "beta" => ("bias", Layout::Same),
        "weight" => ("weight", Layout::Transposed),
        field => (field, Layout::Same),
    };
    Some((modules.iter().map(|module| format!("layers.{index}.{module}.{field}")).collect(), layout))
}

/// `[rows, columns]` to `[columns, rows]`.
pub fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_twice_is_the_identity() {
        let values: Vec<f32> = (0..6).map(|x| x as f32).collect();
        assert_eq!(transpose(&values, 2, 3), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(transpose(&transpose(&values, 2, 3), 3, 2), values);
    }

    #[test]
    fn paths_outside_the_paper_preset_have_no_name() {
        assert!(names("blocks.0.feed_forward.gate.weight").is_none());
        assert_eq!(
            names("blocks.2.mixer.first_output.bias"),
            Some((vec!["layers.2.0.fn.to_out_0.bias".into()], Layout::Same))
        );
    }
}
