//! Combiner: its attention, from queries, keys and values to merged heads. Ours has projections around it: the rows of a window are
//! queries, keys and values side by side, which the projections pick apart, and a head for each of theirs is filled.

use burn::tensor::{Device, Tensor, TensorData};
use percept_model::config::RotaryLayers;
use percept_model::layer::{Carry, LayerContext, LayerState};
use percept_model::mixer::AnyMixer;
use percept_model::{Mode, ModelConfig, Rows, parameters};

use super::fixture::{Fixture, GRADIENT, OUTPUT, fixtures, values};

/// The kinds that we have, with their key of the span where there is one.
const KINDS: [(&str, &str, Option<&str>); 2] =
    [("fixed", "combiner-fixed", Some("combiner-fixed.span")), ("logsparse", "combiner-logsparse", None)];

fn config(fixture: &Fixture) -> ModelConfig {
    let kind = KINDS.iter().find(|(kind, ..)| fixture.is_kind(kind)).expect("a kind of ours");
    let (heads, width): (usize, usize) = (fixture.number("heads"), fixture.number("head_dim"));
    let config = ModelConfig {
        layers: kind.1.into(),
        vocab: 2,
        depth: 1,
        dim: 3 * heads * width,
        heads: 3 * heads,
        context: fixture.number("sequence"),
        qk_norm: false,
        rotary: RotaryLayers::None,
        ..ModelConfig::default()
    };
    let config = config.with(&format!("{}.positions", kind.1), "none").unwrap();
    match kind.2 {
        Some(key) => config.with(key, fixture.number::<usize>("span")).unwrap(),
        None => config,
    }
}

fn ours(fixture: &Fixture) -> bool {
    KINDS.iter().any(|(kind, ..)| fixture.is_kind(kind))
}

fn mixer(fixture: &Fixture, device: &Device) -> AnyMixer {
    let config = config(fixture);
    let layers = config.layer_specs().unwrap();
    let own = config.dim / 3;
    parameters::map(layers[0].kind.build(&config, &layers[0], device), |path, _, tensor| {
        let first = match path {
            "projection.query.weight" | "projection.output.weight" => 0,
            "projection.key.weight" => own,
            "projection.value.weight" => 2 * own,
            _ => panic!("{path} is no weight of this layer"),
        };
        let one = |at: usize| (at % config.dim < own && at / config.dim == first + at % config.dim) as u8 as f32;
        let elements: Vec<f32> = (0..config.dim * config.dim).map(one).collect();
        Tensor::from_data(TensorData::new(elements, tensor.dims()), &tensor.device())
    })
}

/// Queries, keys and values side by side, `[B, T, 3 H e]`.
fn input(fixture: &Fixture, device: &Device) -> Tensor<3> {
    let parts = ["q", "k", "v"].map(|name| flat(fixture.tensor::<4>(name, device)));
    Tensor::cat(parts.into(), 2)
}

fn flat(x: Tensor<4>) -> Tensor<3> {
    let [batch, rows, heads, width] = x.dims();
    x.reshape([batch, rows, heads * width])
}

fn context(rows: usize, start: usize) -> LayerContext {
    LayerContext { mode: Mode::Evaluation, layer: 0, rows: Rows::plain(rows, start) }
}

/// The first third of the channels, where the heads of theirs come out.
fn filled(y: Tensor<3>) -> Tensor<3> {
    let own = y.dims()[2] / 3;
    y.narrow(2, 0, own)
}

#[test]
fn attention_and_its_gradients_equal_the_authors() {
    for fixture in fixtures("combiner", ours) {
        let device = Device::default().autodiff();
        let x = input(&fixture, &device).require_grad();
        let y = mixer(&fixture, &device).mix(x.clone(), None, &mut Carry::default(), &context(x.dims()[1], 0));
        let y = filled(y);
        fixture.check("output", &values(y.clone()), OUTPUT);
        let graph = (y * flat(fixture.tensor("output_grad", &device))).sum().backward();
        let gradient = x.grad(&graph).expect("a gradient");
        let own = gradient.dims()[2] / 3;
        for (part, name) in ["q", "k", "v"].into_iter().enumerate() {
            let gradient = gradient.clone().narrow(2, part * own, own);
            fixture.check(&format!("grad.{name}"), &values(gradient), GRADIENT);
        }
    }
}

#[test]
fn a_stream_in_ragged_pieces_equals_the_authors() {
    for fixture in fixtures("combiner", ours) {
        let device = Device::default();
        let (mixer, input) = (mixer(&fixture, &device), input(&fixture, &device));
        let [batch, rows, _] = input.dims();
        for cuts in [[1, 1, 1], [2, 1, 5], [1, 7, 3]] {
            let mut outputs = Vec::new();
            for sequence in 0..batch {
                let (mut state, mut start) = (LayerState::default(), 0);
                for cut in cuts.into_iter().cycle() {
                    let count = cut.min(rows - start);
                    let part = input.clone().narrow(0, sequence, 1).narrow(1, start, count);
                    let y = mixer.mix(part, Some(&mut state), &mut Carry::default(), &context(count, start));
                    outputs.extend(values(filled(y)));
                    start += count;
                    if start == rows {
                        break;
                    }
                }
            }
            fixture.check("output", &outputs, OUTPUT);
        }
    }
}
