//! The authors' names of our weights, and their layout.

use super::fixture::Fixture;

/// Of a weight of a layer.
pub(crate) fn layer_name(path: &str) -> String {
    let (module, kind) = path.rsplit_once('.').expect("a module and its parameter");
    let module = match module {
        "norms.0" => "convolution.prenorm",
        "sublayers.0.input" => "convolution.glu",
        "sublayers.0.convolution" => "convolution.groupconv",
        "sublayers.0.norm" => "convolution.conv_norm",
        "sublayers.0.output" => "convolution.output_projection",
        "norms.1" => "intermediate_first.LayerNorm",
        "sublayers.1.up" => "intermediate_first.dense",
        "sublayers.1.down" => "output_first.grouped_matmul",
        "sublayers.1.output" => "output_first.dense_output_projection",
        "norms.2" => "attention.LayerNorm",
        "sublayers.2.query" => "attention.self.query",
        "sublayers.2.key" => "attention.self.key",
        "sublayers.2.value" => "attention.self.value",
        "sublayers.2.output" => "attention.output.dense",
        "norms.3" => "intermediate_second.LayerNorm",
        "sublayers.3.up" => "intermediate_second.dense",
        "sublayers.3.down" => "output_second.grouped_matmul",
        "sublayers.3.output" => "output_second.dense_output_projection",
        other => panic!("{other} is no module of a layer"),
    };
    format!("{module}.{}", kind_name(kind))
}

fn kind_name(kind: &str) -> &'static str {
    if ["weight", "gamma"].contains(&kind) { "weight" } else { "bias" }
}

/// Of a weight of the model.
pub(crate) fn model_name(path: &str) -> String {
    if let Some((layer, path)) = path.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
        return format!("bert.encoder.layer.{layer}.{}", layer_name(path));
    }
    let of = |module: &str| format!("{module}.{}", kind_name(path.rsplit('.').next().unwrap_or_default()));
    match path {
        "embeddings.word" => "bert.embeddings.word_embeddings.weight".into(),
        "embeddings.position" => "bert.embeddings.position_embeddings.weight".into(),
        "embeddings.types" => "bert.embeddings.token_type_embeddings.weight".into(),
        "head.bias" => "cls.predictions.bias".into(),
        _ if path.starts_with("embeddings.norm") => of("bert.embeddings.LayerNorm"),
        _ if path.starts_with("norm") => of("bert.encoder.LayerNorm"),
        _ if path.starts_with("head.norm") => of("cls.predictions.transform.LayerNorm"),
        _ if path.starts_with("head.transform") => of("cls.predictions.transform.dense"),
        other => panic!("{other} is no weight of the model"),
    }
}

/// A tensor of theirs in our layout: tables and vectors as they are, maps `[out, in]` and convolutions `[out, in, positions]`, the first
/// position first, as `[in, out]` and `[positions in, out]`, the last position first.
pub(crate) fn ours(fixture: &Fixture, name: &str) -> Vec<f32> {
    let (shape, elements) = fixture.get(name);
    let [outputs, inputs, width] = match shape[..] {
        [_] => return elements,
        [_, _] if name.contains("_embeddings.") => return elements,
        [outputs, inputs] => [outputs, inputs, 1],
        [outputs, inputs, width] => [outputs, inputs, width],
        _ => panic!("{name} has shape {shape:?}"),
    };
    let mut ours = Vec::with_capacity(elements.len());
    for position in (0..width).rev() {
        for input in 0..inputs {
            ours.extend((0..outputs).map(|output| elements[(output * inputs + input) * width + position]));
        }
    }
    ours
}
