//! GroupBERT's layer with its convolution and attention made causal: our two layers of `"group-conv, transformer"`.

use burn::tensor::{Device, Tensor, TensorData};
use percept_model::channel::ChannelKind;
use percept_model::config::{Biases, NormKind, RotaryLayers};
use percept_model::layer::BlockState;
use percept_model::{Gradients, LanguageModel, Mode, ModelConfig, Rows, parameters};

use super::fixture::{Fixture, GRADIENT, OUTPUT, fixtures, values};

fn config(fixture: &Fixture) -> ModelConfig {
    let (width, group): (usize, usize) = (fixture.number("conv_kernel"), fixture.number("conv_group_size"));
    ModelConfig {
        layers: format!("group-conv(width={width}, group={group}), transformer"),
        vocab: 2,
        depth: 2,
        dim: fixture.number("dim"),
        heads: fixture.number("heads"),
        context: fixture.number("sequence"),
        norm: NormKind::Layer,
        norm_eps: fixture.number("layer_norm_eps"),
        feed_forward: ChannelKind::Grouped,
        feed_forward_dim: fixture.number("intermediate"),
        biases: Biases::All,
        qk_norm: false,
        rotary: RotaryLayers::None,
        ..ModelConfig::default()
    }
    .with("grouped.groups", fixture.number::<usize>("ffn_groups"))
    .unwrap()
}

/// Their name of a weight of the blocks.
fn name(path: &str) -> Option<String> {
    let (module, kind) = path.strip_prefix("blocks.")?.rsplit_once('.')?;
    let half = if module.starts_with('0') { "first" } else { "second" };
    let module = match module {
        "0.mixer_norm" => "convolution.prenorm",
        "0.mixer.input" => "convolution.glu",
        "0.mixer.convolution" => "convolution.groupconv",
        "0.mixer.norm" => "convolution.conv_norm",
        "0.mixer.output" => "convolution.output_projection",
        "1.mixer_norm" => "attention.LayerNorm",
        "1.mixer.projection.query" => "attention.self.query",
        "1.mixer.projection.key" => "attention.self.key",
        "1.mixer.projection.value" => "attention.self.value",
        "1.mixer.projection.output" => "attention.output.dense",
        other => &match other.split_once('.')?.1 {
            "feed_forward_norm" => format!("intermediate_{half}.LayerNorm"),
            "feed_forward.up" => format!("intermediate_{half}.dense"),
            "feed_forward.down" => format!("output_{half}.grouped_matmul"),
            "feed_forward.output" => format!("output_{half}.dense_output_projection"),
            _ => panic!("{path} is no weight of these layers"),
        },
    };
    let kind = match kind {
        "gamma" | "weight" => "weight",
        _ => "bias",
    };
    Some(format!("{module}.{kind}"))
}

/// A tensor of theirs, `[out, in]` or `[out, in, back]`, the oldest row first, in our layout.
fn ours(fixture: &Fixture, name: &str) -> Vec<f32> {
    let (shape, elements) = fixture.get(name).unwrap_or_else(|| panic!("{}: there is no {name}", fixture.name));
    let [outputs, inputs, width] = match shape[..] {
        [_] => return elements,
        [outputs, inputs] => [outputs, inputs, 1],
        [outputs, inputs, width] => [outputs, inputs, width],
        _ => panic!("{name} has shape {shape:?}"),
    };
    let rows = (0..width).flat_map(|back| (0..inputs).map(move |input| (back, input)));
    let at = |(back, input)| move |output| (output * inputs + input) * width + (width - 1 - back);
    rows.flat_map(|row| (0..outputs).map(at(row)).collect::<Vec<_>>()).map(|at| elements[at]).collect()
}

fn model(fixture: &Fixture, device: &Device) -> LanguageModel {
    parameters::map(LanguageModel::zeros(&config(fixture), device).unwrap(), |path, _, tensor| match name(path) {
        None => tensor,
        Some(name) => {
            let elements = ours(fixture, &format!("param.{name}"));
            Tensor::from_data(TensorData::new(elements, tensor.dims()), &tensor.device())
        }
    })
}

/// The rows that are no padding.
fn unpadded(fixture: &Fixture, rows: &[f32]) -> Vec<f32> {
    let mask = fixture.integers("attention_mask");
    let width = rows.len() / mask.len();
    rows.chunks_exact(width).zip(mask).filter(|(_, mask)| *mask != 0).flat_map(|(row, _)| row.to_vec()).collect()
}

fn check_output(fixture: &Fixture, ours: &[f32]) {
    let theirs = unpadded(fixture, &fixture.floats("output"));
    fixture.compare("output", &unpadded(fixture, ours), &theirs, OUTPUT);
}

#[test]
fn the_causal_layer_equals_its_definition() {
    for fixture in fixtures("groupbert", |fixture| fixture.is_kind("layer") && fixture.is_true("causal")) {
        let device = Device::default().autodiff();
        let model = model(&fixture, &device);
        let x = fixture.tensor::<3>("input", &device).require_grad();
        let y = model.run_blocks(x.clone(), None, Rows::plain(x.dims()[1], 0), Mode::Evaluation);
        check_output(&fixture, &values(y.clone()));
        let mut graph = (y * fixture.tensor::<3>("output_grad", &device)).sum().backward();
        fixture.check("grad.input", &values(x.grad(&graph).expect("a gradient")), GRADIENT);
        let mut gradients = Gradients::default();
        gradients.collect(&model, "", &mut graph);
        let mut checked = 0;
        for (path, gradient) in gradients.0 {
            let Some(name) = name(&path) else { continue };
            let (ours_of_it, theirs) = (values(gradient), ours(&fixture, &format!("grad.{name}")));
            match theirs.iter().all(|element| *element == 0.0) {
                // Softmax does not see what is added to every key.
                true => assert!(ours_of_it.iter().all(|element| element.abs() < 1e-5), "{name}: {ours_of_it:?}"),
                false => fixture.compare(&name, &ours_of_it, &theirs, GRADIENT),
            }
            checked += 1;
        }
        assert_eq!(checked, fixture.parameters());
    }
}

#[test]
fn a_stream_of_the_causal_layer_equals_its_definition() {
    for fixture in fixtures("groupbert", |fixture| fixture.is_kind("layer") && fixture.is_true("causal")) {
        let device = Device::default();
        let (model, input) = (model(&fixture, &device), fixture.tensor::<3>("input", &device));
        let [batch, rows, _] = input.dims();
        let mut outputs = Vec::new();
        for sequence in 0..batch {
            let (mut states, mut start) = (vec![BlockState::default(); 2], 0);
            for cut in [1, 2, 5, rows] {
                let count = cut.min(rows - start);
                let part = input.clone().narrow(0, sequence, 1).narrow(1, start, count);
                let rows = Rows::plain(count, start);
                outputs.extend(values(model.run_blocks(part, Some(&mut states), rows, Mode::Evaluation)));
                start += count;
            }
        }
        check_output(&fixture, &outputs);
    }
}
