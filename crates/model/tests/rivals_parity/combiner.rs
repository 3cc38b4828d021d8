//! Combiner: its attention, from queries, keys and values to merged heads. Ours has projections around it: the rows of a window are
//! queries, keys and values side by side, which the projections pick apart, and a head for each of theirs is filled. Where keys of
//! summaries are projected from the layer's input, attention is called by itself.

use burn::tensor::{Device, Tensor, TensorData};
use percept_model::config::RotaryLayers;
use percept_model::layer::{Carry, LayerContext, LayerState};
use percept_model::mixer::AnyMixer;
use percept_model::{Gradients, Mode, ModelConfig, Rows, parameters};

use super::fixture::{Fixture, GRADIENT, OUTPUT, fixtures, values};

/// Attention of a file, which may hold a second form of it.
struct Case {
    fixture: Fixture,
    layers: String,
    /// Names in the file.
    output: &'static str,
    gradients: &'static str,
}

impl Case {
    fn of(fixture: Fixture) -> Self {
        let (kind, span) = (fixture.text("kind").expect("a kind").to_string(), fixture.text("span").unwrap_or("0"));
        let layers = match kind.as_str() {
            "fixed" => format!("combiner-fixed(span={span}, positions=none)"),
            "logsparse" => "combiner-logsparse(positions=none)".into(),
            "axial-rowmajor" => {
                let keys = match fixture.text("row_summary") {
                    Some("none") => "own",
                    Some("wsum") => "weighted",
                    Some("proj") => "projected",
                    other => panic!("{}: row_summary = {other:?}", fixture.name),
                };
                format!("combiner-axial-rowmajor(row={span}, keys={keys}, positions=none)")
            }
            kind => format!("combiner-{kind}(row={span}, positions=none)"),
        };
        Self { fixture, layers, output: "output", gradients: "grad" }
    }

    /// The same with one summary of each earlier row, where the file has it.
    fn joined(fixture: Fixture) -> Option<Self> {
        fixture.get("output.single_summary")?;
        let case = Self::of(fixture);
        let layers = case.layers.replace("row=", "sides=joined, row=");
        Some(Self { layers, output: "output.single_summary", gradients: "single_summary.grad", ..case })
    }

    fn config(&self, copies: usize) -> ModelConfig {
        let fixture = &self.fixture;
        let (heads, width): (usize, usize) = (fixture.number("heads"), fixture.number("head_dim"));
        let eps = fixture.text("layer_norm_eps").map(|_| fixture.number("layer_norm_eps"));
        ModelConfig {
            layers: self.layers.clone(),
            vocab: 2,
            depth: 1,
            dim: copies * heads * width,
            heads: copies * heads,
            context: fixture.number("sequence"),
            qk_norm: false,
            norm_eps: eps.unwrap_or(1e-6),
            rotary: RotaryLayers::None,
            ..ModelConfig::default()
        }
    }

    fn check_gradient(&self, name: &str, ours: Option<Tensor<4>>) {
        let ours = values(ours.expect("a gradient"));
        self.fixture.check(&format!("{}.{name}", self.gradients), &ours, GRADIENT);
    }
}

/// Those with projected keys, or the others.
fn cases(projected: bool) -> Vec<Case> {
    let wanted = |fixture: &Fixture| (fixture.text("row_summary") == Some("proj")) == projected;
    let second = fixtures("combiner", wanted).into_iter().filter_map(Case::joined);
    fixtures("combiner", wanted).into_iter().map(Case::of).chain(second).collect()
}

fn build(config: &ModelConfig, device: &Device) -> AnyMixer {
    let layers = config.layer_specs().unwrap();
    layers[0].kind.build(config, &layers[0], device)
}

/// Projections that pick queries, keys and values apart.
fn mixer(case: &Case, device: &Device) -> AnyMixer {
    let config = case.config(3);
    let own = config.dim / 3;
    parameters::map(build(&config, device), |path, _, tensor| {
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
fn input(case: &Case, device: &Device) -> Tensor<3> {
    let parts = ["q", "k", "v"].map(|name| flat(case.fixture.tensor::<4>(name, device)));
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

/// Their name of a weight of projected keys.
fn name(path: &str) -> Option<&'static str> {
    match path {
        "summary.out.weight" => Some("summary_out.kernel"),
        "summary.norm.gamma" => Some("summary_norm.scale"),
        "summary.norm.beta" => Some("summary_norm.bias"),
        "summary.key.weight" => Some("summary_key.kernel"),
        _ => None,
    }
}

/// A layer whose summaries have projected keys.
fn projecting(case: &Case, device: &Device) -> AnyMixer {
    parameters::map(build(&case.config(1), device), |path, _, tensor| match name(path) {
        None => tensor,
        Some(name) => {
            let elements = case.fixture.floats(&format!("param.{name}"));
            Tensor::from_data(TensorData::new(elements, tensor.dims()), &tensor.device())
        }
    })
}

fn attend(
    mixer: &AnyMixer,
    heads: [Tensor<4>; 3],
    x: Tensor<3>,
    state: Option<&mut LayerState>,
    start: usize,
) -> Tensor<4> {
    match mixer {
        AnyMixer::CombinerAxialRowmajor(layer) => layer.attend(heads, x, state, start),
        _ => panic!("no other kind projects keys"),
    }
}

#[test]
fn attention_and_its_gradients_equal_the_authors() {
    for case in cases(false) {
        let device = Device::default().autodiff();
        let x = input(&case, &device).require_grad();
        let y = mixer(&case, &device).mix(x.clone(), None, &mut Carry::default(), &context(x.dims()[1], 0));
        let y = filled(y);
        case.fixture.check(case.output, &values(y.clone()), OUTPUT);
        let graph = (y * flat(case.fixture.tensor("output_grad", &device))).sum().backward();
        let gradient = x.grad(&graph).expect("a gradient");
        let own = gradient.dims()[2] / 3;
        for (part, name) in ["q", "k", "v"].into_iter().enumerate() {
            case.check_gradient(name, Some(gradient.clone().narrow(2, part * own, own).unsqueeze()));
        }
    }
}

#[test]
fn projected_keys_and_their_gradients_equal_the_authors() {
    for case in cases(true) {
        let device = Device::default().autodiff();
        let mixer = projecting(&case, &device);
        let heads = ["q", "k", "v"].map(|name| case.fixture.tensor::<4>(name, &device).require_grad());
        let x = case.fixture.tensor::<3>("x", &device).require_grad();
        let y = attend(&mixer, heads.clone(), x.clone(), None, 0);
        case.fixture.check(case.output, &values(y.clone()), OUTPUT);
        let mut graph = (y * case.fixture.tensor("output_grad", &device)).sum().backward();
        case.check_gradient("x", x.grad(&graph).map(Tensor::unsqueeze));
        for (name, x) in ["q", "k", "v"].into_iter().zip(heads) {
            case.check_gradient(name, x.grad(&graph));
        }
        let mut gradients = Gradients::default();
        gradients.collect(&mixer, "", &mut graph);
        let known = gradients.0.into_iter().filter_map(|(path, gradient)| Some((name(&path)?, gradient)));
        let checked = known.map(|(name, gradient)| case.check_gradient(name, Some(gradient.reshape([1, 1, 1, -1]))));
        assert_eq!(checked.count(), case.fixture.parameters());
    }
}

/// The rows of each sequence by itself, in pieces; `piece` gets the sequence, the first row and their number, and the stream's state.
fn streamed(
    (batch, rows): (usize, usize),
    cuts: [usize; 3],
    piece: impl Fn([usize; 3], &mut LayerState) -> Vec<f32>,
) -> Vec<f32> {
    let mut outputs = Vec::new();
    for sequence in 0..batch {
        let (mut state, mut start) = (LayerState::default(), 0);
        for cut in cuts.into_iter().cycle() {
            let count = cut.min(rows - start);
            outputs.extend(piece([sequence, start, count], &mut state));
            start += count;
            if start == rows {
                break;
            }
        }
    }
    outputs
}

const CUTS: [[usize; 3]; 4] = [[1, 1, 1], [2, 1, 5], [1, 7, 3], [11, 1, 9]];

#[test]
fn a_stream_in_ragged_pieces_equals_the_authors() {
    for case in cases(false) {
        let device = Device::default();
        let (mixer, input) = (mixer(&case, &device), input(&case, &device));
        let [batch, rows, _] = input.dims();
        for cuts in CUTS {
            let outputs = streamed((batch, rows), cuts, |[sequence, start, count], state| {
                let part = input.clone().narrow(0, sequence, 1).narrow(1, start, count);
                values(filled(mixer.mix(part, Some(state), &mut Carry::default(), &context(count, start))))
            });
            case.fixture.check(case.output, &outputs, OUTPUT);
        }
    }
}

#[test]
fn a_stream_with_projected_keys_does_too() {
    for case in cases(true) {
        let device = Device::default();
        let mixer = projecting(&case, &device);
        let heads = ["q", "k", "v"].map(|name| case.fixture.tensor::<4>(name, &device));
        let x = case.fixture.tensor::<3>("x", &device);
        let [batch, rows, _] = x.dims();
        for cuts in CUTS {
            let outputs = streamed((batch, rows), cuts, |[sequence, start, count], state| {
                let heads = heads.clone().map(|x| x.narrow(0, sequence, 1).narrow(1, start, count));
                let x = x.clone().narrow(0, sequence, 1).narrow(1, start, count);
                values(attend(&mixer, heads, x, Some(state), start))
            });
            case.fixture.check(case.output, &outputs, OUTPUT);
        }
    }
}
