//! ToST: its layer with sums and states, and the whole model. What the model has beyond ours is put around it: learned positions are
//! added to the embedding, and LayerScale is multiplied into the projections before it.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use percept_model::channel::ChannelKind;
use percept_model::config::{Biases, Head, NormKind};
use percept_model::layer::{Carry, LayerContext, LayerState};
use percept_model::mixer::AnyMixer;
use percept_model::{Gradients, LanguageModel, Mode, ModelConfig, Rows, parameters};

use super::fixture::{Fixture, GRADIENT, LOSS, OUTPUT, fixtures, transpose, values};

fn config(fixture: &Fixture) -> ModelConfig {
    let is_model = fixture.is_kind("lm");
    ModelConfig {
        layers: "tost".into(),
        vocab: if is_model { fixture.number("vocab") } else { 2 },
        depth: if is_model { fixture.number("layers") } else { 1 },
        feed_forward_dim: if is_model { fixture.number("mlp") } else { 0 },
        dim: fixture.number("dim"),
        heads: fixture.number("heads"),
        context: fixture.number("sequence"),
        norm: NormKind::Layer,
        norm_eps: 1e-5,
        feed_forward: ChannelKind::Gelu,
        biases: if fixture.is_true("bias") { Biases::Paper } else { Biases::None },
        head: Head::Tied,
        ..ModelConfig::default()
    }
    .with("tost.decay", fixture.number::<f64>("rho"))
    .unwrap()
    .with("tost.position_bias", fixture.number::<usize>("block_size"))
    .unwrap()
}

/// The authors' name of a mixer's weight; where it is a matrix, theirs is transposed.
fn name(path: &str) -> &'static str {
    match path {
        "input.weight" => "c_attn.weight",
        "input.bias" => "c_attn.bias",
        "output.weight" => "c_proj.weight",
        "output.bias" => "c_proj.bias",
        "temperature" => "temp",
        "positions" => "denom_bias",
        other => panic!("{other} is no weight of this mixer"),
    }
}

/// A tensor of theirs in our layout.
fn ours(fixture: &Fixture, name: &str) -> Vec<f32> {
    match name.ends_with("temp") || name.ends_with("bias") && !name.ends_with("denom_bias") {
        true => fixture.floats(name),
        false => fixture.transposed(name),
    }
}

fn filled<M: Module>(module: M, elements: impl Fn(&str, usize) -> Vec<f32>) -> M {
    parameters::map(module, |path, shape, tensor| {
        let elements = elements(path, shape.iter().product());
        Tensor::from_data(TensorData::new(elements, tensor.dims()), &tensor.device())
    })
}

fn mixer(fixture: &Fixture, device: &Device) -> AnyMixer {
    let config = config(fixture);
    let layers = config.layer_specs().unwrap();
    filled(layers[0].kind.build(&config, &layers[0], device), |path, _| ours(fixture, &format!("param.{}", name(path))))
}

fn context(rows: usize, start: usize) -> LayerContext {
    LayerContext { mode: Mode::Evaluation, layer: 0, rows: Rows::plain(rows, start) }
}

#[test]
fn the_layer_equals_the_authors() {
    for fixture in fixtures("tost", |fixture| fixture.is_kind("layer")) {
        let device = Device::default().autodiff();
        let mixer = mixer(&fixture, &device);
        let x = fixture.tensor::<3>("input", &device).require_grad();
        let rows = x.dims()[1];
        let y = mixer.mix(x.clone(), None, &mut Carry::default(), &context(rows, 0));
        fixture.check("output", &values(y.clone()), OUTPUT);
        let mut graph = (y * fixture.tensor::<3>("output_grad", &device)).sum().backward();
        fixture.check("grad.input", &values(x.grad(&graph).expect("a gradient")), GRADIENT);
        let mut gradients = Gradients::default();
        gradients.collect(&mixer, "", &mut graph);
        assert_eq!(gradients.0.len(), parameters::collect(&mixer).len());
        for (path, gradient) in gradients.0 {
            let theirs = format!("grad.{}", name(&path));
            fixture.compare(&theirs, &values(gradient), &ours(&fixture, &theirs), GRADIENT);
        }
    }
}

#[test]
fn a_stream_leaves_the_authors_sums_behind() {
    for fixture in fixtures("tost", |fixture| fixture.is_kind("layer")) {
        let device = Device::default();
        let mixer = mixer(&fixture, &device);
        let input = fixture.tensor::<3>("input", &device);
        let [batch, rows, _] = input.dims();
        let (mut outputs, mut states) = (Vec::new(), BTreeMap::<&str, Vec<f32>>::new());
        for sequence in 0..batch {
            let (mut state, mut start) = (LayerState::default(), 0);
            for cut in [1, 1, 6, rows] {
                let count = cut.min(rows - start);
                let part = input.clone().narrow(0, sequence, 1).narrow(1, start, count);
                outputs.extend(values(mixer.mix(
                    part,
                    Some(&mut state),
                    &mut Carry::default(),
                    &context(count, start),
                )));
                start += count;
            }
            for name in ["energy", "numerator", "mass"] {
                let pair = state.get::<3>(name).expect("a sum");
                states.entry(name).or_default().extend(values(pair.sum_dim(1)));
            }
        }
        fixture.check("output", &outputs, OUTPUT);
        fixture.check("state.energy", &states["energy"], OUTPUT);
        fixture.check("state.numerator", &states["numerator"], OUTPUT);
        fixture.check("state.pi_sum", &states["mass"], OUTPUT);
    }
}

/// What stands where in their model: its name, and the LayerScale that comes after it.
fn place(path: &str) -> Option<(String, Option<String>)> {
    let plain = |name: &str| Some((name.to_string(), None));
    match path {
        "embedding.weight" => return plain("transformer.wte.weight"),
        "norm.gamma" => return plain("transformer.ln_f.weight"),
        "norm.beta" => return plain("transformer.ln_f.bias"),
        "head.bias" => return None,
        _ => {}
    }
    let (block, rest) = path.strip_prefix("blocks.")?.split_once('.')?;
    let block = format!("transformer.h.{block}");
    let (half, inner) = rest.split_once('.')?;
    let (name, scale) = match (half, inner) {
        ("mixer_norm", "gamma") => ("ln_1.weight".to_string(), None),
        ("mixer_norm", _) => ("ln_1.bias".to_string(), None),
        ("feed_forward_norm", "gamma") => ("ln_2.weight".to_string(), None),
        ("feed_forward_norm", _) => ("ln_2.bias".to_string(), None),
        ("mixer", inner) => {
            (format!("attn.{}", name(inner)), inner.starts_with("output").then(|| format!("{block}.gamma1")))
        }
        (_, inner) => {
            let (map, part) = inner.split_once('.')?;
            let down = (map == "down").then(|| format!("{block}.gamma2"));
            (format!("mlp.{}.{part}", if map == "up" { "c_fc" } else { "c_proj" }), down)
        }
    };
    Some((format!("{block}.{name}"), scale))
}

/// A weight or gradient of theirs, as ours lies.
fn laid_out(fixture: &Fixture, name: &str) -> Vec<f32> {
    match name.contains(".wte.") || name.contains(".ln_") {
        true => fixture.floats(name),
        false => ours(fixture, name),
    }
}

/// Elements `[.., channels]` times one factor per channel.
fn scaled(mut elements: Vec<f32>, factors: &[f32]) -> Vec<f32> {
    for row in elements.chunks_exact_mut(factors.len()) {
        row.iter_mut().zip(factors).for_each(|(element, factor)| *element *= factor);
    }
    elements
}

fn model(fixture: &Fixture, device: &Device) -> LanguageModel {
    filled(LanguageModel::zeros(&config(fixture), device).unwrap(), |path, size| {
        // Without biases their norms have none.
        let place = place(path).filter(|(name, _)| fixture.get(&format!("param.{name}")).is_some());
        let Some((name, scale)) = place else { return vec![0.0; size] };
        let weight = laid_out(fixture, &format!("param.{name}"));
        match scale {
            Some(scale) => scaled(weight, &fixture.floats(&format!("param.{scale}"))),
            None => weight,
        }
    })
}

fn check_gradients(fixture: &Fixture, gradients: &Gradients, weights: usize) {
    let mut scales = BTreeMap::<String, Vec<f32>>::new();
    let mut checked = 0;
    for (path, gradient) in &gradients.0 {
        let Some((name, scale)) = place(path) else { continue };
        if fixture.get(&format!("param.{name}")).is_none() {
            continue;
        }
        let mut gradient = values(gradient.clone());
        if let Some(scale) = scale {
            let weight = laid_out(fixture, &format!("param.{name}"));
            let factors = fixture.floats(&format!("param.{scale}"));
            let total = scales.entry(scale).or_insert_with(|| vec![0.0; factors.len()]);
            for (weight, gradient) in weight.chunks_exact(factors.len()).zip(gradient.chunks_exact(factors.len())) {
                let products = weight.iter().zip(gradient).map(|(weight, gradient)| weight * gradient);
                total.iter_mut().zip(products).for_each(|(total, product)| *total += product);
            }
            gradient = scaled(gradient, &factors);
        }
        let theirs = format!("grad.{name}");
        fixture.compare(&theirs, &gradient, &laid_out(fixture, &theirs), GRADIENT);
        checked += 1;
    }
    for (name, gradient) in scales {
        fixture.check(&format!("grad.{name}"), &gradient, GRADIENT);
        checked += 1;
    }
    assert_eq!(checked, weights, "{}: weights with a gradient", fixture.name);
}

#[test]
fn logits_loss_and_gradients_of_the_model_equal_the_authors() {
    for fixture in fixtures("tost", |fixture| fixture.is_kind("lm")) {
        let device = Device::default().autodiff();
        let model = model(&fixture, &device);
        let (batch, rows): (usize, usize) = (fixture.number("batch"), fixture.number("sequence"));
        let positions = fixture.tensor::<2>("param.transformer.wpe.weight", &device).require_grad();
        let x = model.embed(&fixture.integers("input_ids"), batch) + positions.clone().narrow(0, 0, rows).unsqueeze();
        let hidden = model.run_blocks(x, None, Rows::plain(rows, 0), Mode::Evaluation);
        let logits = model.logits(model.norm.forward(hidden));
        fixture.check("logits", &values(logits.clone()), OUTPUT);

        let targets: Vec<i32> = fixture.integers("targets").into_iter().map(|target| target as i32).collect();
        let targets = Tensor::<3, Int>::from_data(TensorData::new(targets, [batch, rows, 1]), &device);
        let loss = log_softmax(logits, 2).gather(2, targets).neg();
        let mean = values(loss.clone()).iter().map(|nll| f64::from(*nll)).sum::<f64>() / (batch * rows) as f64;
        let theirs = f64::from(fixture.floats("loss")[0]);
        assert!((mean / theirs - 1.0).abs() <= LOSS, "{}: loss {mean} against {theirs}", fixture.name);

        let mut graph = loss.mean().backward();
        fixture.check("grad.transformer.wpe.weight", &values(positions.grad(&graph).expect("a gradient")), GRADIENT);
        let mut gradients = Gradients::default();
        gradients.collect(&model, "", &mut graph);
        check_gradients(&fixture, &gradients, fixture.parameters() - 1);
    }
}

#[test]
fn a_transposed_matrix_has_its_columns_as_rows() {
    assert_eq!(transpose(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
}
