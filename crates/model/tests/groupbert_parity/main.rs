//! Parity with the authors' code of GroupBERT: a layer, and the masked language model.
//!
//! Fixtures come from `shared/fixtures/groupbert` beside the repository, and from the folder in `PERCEPT_GROUPBERT_FIXTURES`; without
//! either the tests say that they were skipped. Their metadata give the configuration.

mod fixture;
mod names;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use percept_model::encoder::{Encoder, EncoderConfig, Layer, MaskedBatch, Padding, Sequences};
use percept_model::{Gradients, Mode, Recompute, Trainable, parameters};

use fixture::{Fixture, fixtures, values};
use names::{layer_name, model_name, ours};

/// Of outputs, relative to their norm.
const OUTPUT: f64 = 2e-6;
/// Of gradients, relative to their norm, and of the loss.
const GRADIENT: f64 = 1e-5;

fn config(fixture: &Fixture) -> EncoderConfig {
    let is_model = fixture.text("kind") == Some("lm");
    EncoderConfig {
        vocab: if is_model { fixture.number("vocab") } else { 2 },
        depth: if is_model { fixture.number("layers") } else { 1 },
        context: fixture.number(if is_model { "max_positions" } else { "sequence" }),
        types: if is_model { fixture.number("type_vocab") } else { 0 },
        dim: fixture.number("dim"),
        heads: fixture.number("heads"),
        feed_forward_dim: fixture.number("intermediate"),
        conv_width: fixture.number("conv_kernel"),
        conv_group: fixture.number("conv_group_size"),
        groups: fixture.number("ffn_groups"),
        norm_eps: fixture.number("layer_norm_eps"),
        ..EncoderConfig::default()
    }
}

fn lengths(fixture: &Fixture) -> Vec<usize> {
    let mask = fixture.integers("attention_mask");
    mask.chunks(fixture.number("sequence")).map(|row| row.iter().filter(|mask| **mask == 1).count()).collect()
}

/// With the authors' weights, each in our layout.
fn filled<M: Module>(module: M, fixture: &Fixture, name: fn(&str) -> String) -> M {
    parameters::map(module, |path, _, tensor| {
        let elements = ours(fixture, &format!("param.{}", name(path)));
        Tensor::from_data(TensorData::new(elements, tensor.dims()), &tensor.device())
    })
}

/// Every gradient there is.
fn check_gradients(fixture: &Fixture, gradients: Gradients, name: fn(&str) -> String) {
    assert_eq!(gradients.0.len(), fixture.count("grad.") - fixture.count("grad.input"), "{}", fixture.name);
    for (path, gradient) in gradients.0 {
        let theirs = format!("grad.{}", name(&path));
        let (ours_of_it, theirs_of_it) = (values(gradient), ours(fixture, &theirs));
        match theirs_of_it.iter().all(|element| *element == 0.0) {
            // Softmax does not see what is added to every key.
            true => assert!(ours_of_it.iter().all(|element| element.abs() < 1e-5), "{theirs}: {ours_of_it:?}"),
            false => fixture.compare(&theirs, &ours_of_it, &theirs_of_it, GRADIENT),
        }
    }
}

/// The rows of tokens.
fn tokens(fixture: &Fixture, rows: &[f32]) -> Vec<f32> {
    let mask = fixture.integers("attention_mask");
    let width = rows.len() / mask.len();
    rows.chunks_exact(width).zip(mask).filter(|(_, mask)| *mask == 1).flat_map(|(row, _)| row.to_vec()).collect()
}

#[test]
fn the_layer_equals_the_authors() {
    for fixture in fixtures("layer") {
        let device = Device::default().autodiff();
        let layer = filled(Layer::new(&config(&fixture), &device), &fixture, layer_name);
        let x = fixture.tensor::<3>("input", &device).require_grad();
        let padding = Padding::new(&lengths(&fixture), x.dims()[1], &Device::default());
        let y = layer.forward(x.clone(), &padding);
        let [found, expected] = [values(y.clone()), fixture.floats("output")].map(|rows| tokens(&fixture, &rows));
        fixture.compare("output", &found, &expected, OUTPUT);
        let mut graph = (y * fixture.tensor::<3>("output_grad", &device)).sum().backward();
        let found = values(x.grad(&graph).expect("a gradient"));
        fixture.compare("grad.input", &found, &fixture.floats("grad.input"), GRADIENT);
        let mut gradients = Gradients::default();
        gradients.collect(&layer, "", &mut graph);
        check_gradients(&fixture, gradients, layer_name);
    }
}

/// What the fixture asks.
fn batch(fixture: &Fixture) -> MaskedBatch {
    let natural = |tokens: Vec<i64>| tokens.into_iter().map(|token| u32::try_from(token).expect("a token")).collect();
    let sequences = Sequences {
        tokens: natural(fixture.integers("input_ids")),
        types: natural(fixture.integers("token_type_ids")),
        lengths: lengths(fixture),
        rows: fixture.number("sequence"),
    };
    let labels = fixture.integers("labels").into_iter().enumerate().filter(|(_, label)| *label >= 0);
    let (asked, labels) = labels.map(|(at, label)| (at, u32::try_from(label).expect("a token"))).unzip();
    MaskedBatch { sequences, asked, labels }
}

#[test]
fn logits_loss_and_gradients_of_the_model_equal_the_authors() {
    for fixture in fixtures("lm") {
        let encoder = Encoder::zeros(&config(&fixture), &Device::default().autodiff()).unwrap();
        let (encoder, batch) = (filled(encoder, &fixture, model_name), batch(&fixture));
        let every: Vec<usize> = (0..batch.sequences.tokens.len()).collect();
        let logits = values(encoder.logits_at(&batch.sequences, &every).unwrap());
        let [found, expected] = [logits, fixture.floats("logits")].map(|rows| tokens(&fixture, &rows));
        fixture.compare("logits", &found, &expected, OUTPUT);
        let (theirs, targets) = (f64::from(fixture.floats("loss")[0]), batch.labels.len() as f64);
        assert!((encoder.evaluate(&batch).unwrap().mean() / theirs - 1.0).abs() < OUTPUT, "{}", fixture.name);
        for recompute in [Recompute::Keep, Recompute::Blocks] {
            let scale = (1.0 / targets) as f32;
            let learned = encoder.loss_and_gradients(&batch, Mode::Evaluation, recompute, scale).unwrap();
            assert!((learned.loss / targets / theirs - 1.0).abs() < OUTPUT, "{}: {}", fixture.name, learned.loss);
            check_gradients(&fixture, learned.gradients, model_name);
        }
    }
}
