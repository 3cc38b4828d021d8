//! Block-recurrent attention against its formulas written out, number by number; and what stops its gradients.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use percept_model::config::RotaryLayers;
use percept_model::layer::{Carry, LayerContext, LayerState};
use percept_model::mixer::{AnyMixer, RecurrentUpdate};
use percept_model::properties::Properties;
use percept_model::{LanguageModel, Mode, ModelConfig, Role, Rows, Trainable, parameters};

const DIM: usize = 6;
const HEADS: usize = 2;
const E: usize = DIM / HEADS;
const STATES: usize = 2;

fn config(options: &str) -> ModelConfig {
    let layers = format!("recurrent(states={STATES}, {options})");
    let sizes = ModelConfig { layers, vocab: 5, dim: DIM, depth: 1, heads: HEADS, context: 64, ..Default::default() };
    ModelConfig { qk_norm: false, rotary: RotaryLayers::None, ..sizes }
}

/// Elements that look random, in double precision.
struct Draw(u64);

impl Draw {
    fn numbers(&mut self, count: usize) -> Vec<f64> {
        let mut next = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as f64 / f64::from(1u32 << 31) - 0.5
        };
        (0..count).map(|_| 1.6 * next()).collect()
    }
}

impl ModuleMapper for Draw {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let (shape, device) = (tensor.dims(), tensor.device());
        let values = TensorData::new(self.numbers(shape.iter().product()), shape);
        let drawn = Tensor::from_data(values, (&device, DType::F64));
        Param::from_mapped_value(id, drawn, mapper)
    }
}

fn layer(config: &ModelConfig, device: &Device) -> AnyMixer {
    let layer = &config.layer_specs().expect("a layer")[0];
    layer.kind.build(config, layer, device).map(&mut Draw(7))
}

fn rows(count: usize) -> Vec<f64> {
    Draw(11).numbers(count * DIM)
}

fn input(values: &[f64], device: &Device) -> Tensor<3> {
    Tensor::from_data(TensorData::new(values.to_vec(), [1, values.len() / DIM, DIM]), (device, DType::F64))
}

fn mixed(layer: &AnyMixer, x: Tensor<3>, state: Option<&mut LayerState>, start: usize) -> Tensor<3> {
    let context = LayerContext { mode: Mode::Evaluation, layer: 0, rows: Rows::plain(x.dims()[1], start) };
    layer.mix(x, state, &mut Carry::default(), &context)
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// The weights of the layer by path.
struct Weights(BTreeMap<String, Vec<f64>>);

type Row = Vec<f64>;

impl Weights {
    fn of(layer: &AnyMixer) -> Self {
        Self(parameters::collect(layer).into_iter().map(|(path, weight)| (path, values(weight.data))).collect())
    }

    /// x W + b.
    fn map(&self, module: &str, x: &[f64]) -> Row {
        let weight = &self.0[&format!("{module}.weight")];
        let outputs = weight.len() / x.len();
        let bias = self.0.get(&format!("{module}.bias")).cloned().unwrap_or(vec![0.0; outputs]);
        (0..outputs).map(|o| bias[o] + (0..x.len()).map(|i| x[i] * weight[i * outputs + o]).sum::<f64>()).collect()
    }

    fn norm(&self, module: &str, x: &[f64]) -> Row {
        let gamma = &self.0[&format!("{module}.gamma")];
        let size = (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + 1e-6).sqrt();
        x.iter().zip(gamma).map(|(x, gamma)| x / size * gamma).collect()
    }

    fn vectors(&self, path: &str) -> Vec<Row> {
        self.0[path].chunks(DIM).map(<[f64]>::to_vec).collect()
    }

    fn placed(&self, state: &[Row]) -> Vec<Row> {
        let identity = self.vectors("cell.identity");
        let place = |(c, identity): (&Row, &Row)| {
            self.norm("cell.norm", c).iter().zip(identity).map(|(x, identity)| x + identity).collect()
        };
        state.iter().zip(&identity).map(place).collect()
    }

    fn all(&self, module: &str, rows: &[Row]) -> Vec<Row> {
        rows.iter().map(|row| self.map(module, row)).collect()
    }

    fn gate(&self, module: &str, c: &[f64], read: &[f64]) -> Row {
        let new = self.map(&format!("{module}.map"), read);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        (0..DIM)
            .map(|i| match self.0.get(&format!("{module}.keep")) {
                Some(keep) => c[i] * sigmoid(keep[i]) + new[i] * (1.0 - sigmoid(keep[i])),
                None => c[i] * sigmoid(new[2 * DIM + i]) + new[i].tanh() * sigmoid(new[DIM + i]),
            })
            .collect()
    }

    fn next(&self, state: &[Row], keys: &[Row], values: &[Row], update: RecurrentUpdate) -> Vec<Row> {
        let x = self.placed(state);
        let [own_keys, own_values] = ["cell.key", "cell.value"].map(|module| self.all(module, &x));
        let vector = |(c, x): (&Row, &Row)| {
            let own = attended(&self.map("cell.query", x), &own_keys, &own_values);
            let read = [own, attended(&self.map("cell.token_query", x), keys, values)].concat();
            let hidden = |read: &[f64]| self.map("cell.hidden", read).iter().map(|x| x.max(0.0)).collect::<Row>();
            match update {
                RecurrentUpdate::Skip => self.gate("cell.reading_gate", c, &read),
                RecurrentUpdate::Single => self.gate("cell.hidden_gate", c, &hidden(&read)),
                RecurrentUpdate::Dual => {
                    let c = self.gate("cell.reading_gate", c, &read);
                    self.gate("cell.hidden_gate", &c, &hidden(&self.norm("cell.hidden_norm", &c)))
                }
            }
        };
        state.iter().zip(&x).map(vector).collect()
    }

    /// The layer, a token at a time.
    fn layer(&self, x: &[Row], m: usize, update: RecurrentUpdate) -> Vec<Row> {
        let module = |name: &str| format!("projection.{name}");
        let [keys, values] = ["key", "value"].map(|name| self.all(&module(name), x));
        let mut state = self.vectors("cell.initial");
        let mut outputs = Vec::new();
        for (t, x) in x.iter().enumerate() {
            let first = (t / m).saturating_sub(1) * m;
            let among = attended(&self.map("projection.query", x), &keys[first..=t], &values[first..=t]);
            let placed = self.placed(&state);
            let [state_keys, state_values] = ["cell.key", "cell.value"].map(|module| self.all(module, &placed));
            let read = attended(&self.map("state_query", x), &state_keys, &state_values);
            let [a, b] = [self.map("projection.output", &among), self.map("state_output", &read)];
            outputs.push(a.iter().zip(&b).map(|(a, b)| a + b).collect());
            if (t + 1) % m == 0 {
                state = self.next(&state, &keys[t + 1 - m..=t], &values[t + 1 - m..=t], update);
            }
        }
        outputs
    }
}

/// Softmax attention of one query, head by head.
fn attended(q: &[f64], keys: &[Row], values: &[Row]) -> Row {
    (0..HEADS)
        .flat_map(|head| {
            let part = head * E..(head + 1) * E;
            let score = |k: &Row| q[part.clone()].iter().zip(&k[part.clone()]).map(|(q, k)| q * k).sum::<f64>();
            let weights: Vec<f64> = keys.iter().map(|k| (score(k) / (E as f64).sqrt()).exp()).collect();
            let sum: f64 = weights.iter().sum();
            part.map(|c| weights.iter().zip(values).map(|(w, v)| w / sum * v[c]).sum()).collect::<Row>()
        })
        .collect()
}

const VARIANTS: [(&str, RecurrentUpdate); 6] = [
    ("gate=lstm, update=single", RecurrentUpdate::Single),
    ("gate=lstm, update=dual", RecurrentUpdate::Dual),
    ("gate=lstm, update=skip", RecurrentUpdate::Skip),
    ("gate=fixed, update=single", RecurrentUpdate::Single),
    ("gate=fixed, update=dual", RecurrentUpdate::Dual),
    ("gate=fixed, update=skip", RecurrentUpdate::Skip),
];

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The scale of attention is a number of single precision.
#[test]
fn it_computes_the_formulas() {
    for (options, update) in VARIANTS {
        for m in [1, 3, 4] {
            let device = Device::default();
            let layer = layer(&config(&format!("segment={m}, {options}")), &device);
            let x = rows(11);
            let by_rows: Vec<Row> = x.chunks(DIM).map(<[f64]>::to_vec).collect();
            let expected = Weights::of(&layer).layer(&by_rows, m, update).concat();
            let whole = values(mixed(&layer, input(&x, &device), None, 0));
            let difference = largest_difference(&whole, &expected);
            assert!(difference < 1e-6, "{options}, segments of {m}: {difference}");
            let (mut state, mut pieces) = (LayerState::default(), Vec::new());
            for (from, to) in [(0, 1), (1, 6), (6, 8), (8, 11)] {
                let piece = input(&x[from * DIM..to * DIM], &device);
                pieces.extend(values(mixed(&layer, piece, Some(&mut state), from)));
            }
            let difference = largest_difference(&pieces, &expected);
            assert!(difference < 1e-6, "{options}, segments of {m}, in pieces: {difference}");
        }
    }
}

/// Gradient of the last row's outputs by those of every input row: the largest of each row.
fn reach_of_gradients(options: &str) -> Vec<f64> {
    let device = Device::default().autodiff();
    let layer = layer(&config(options), &device);
    let x = input(&rows(12), &device).require_grad();
    let y = mixed(&layer, x.clone(), None, 0).narrow(1, 11, 1).sum();
    let gradient = values(x.grad(&y.backward()).expect("a gradient"));
    gradient.chunks(DIM).map(|row| row.iter().fold(0.0, |most: f64, x| most.max(x.abs()))).collect()
}

/// Segments of 2: the last row is in the sixth, reads the state after the fifth, and rows of the fifth.
#[test]
fn gradients_go_back_through_so_many_segments() {
    let seen = |gradients: &[f64]| gradients.iter().map(|size| *size > 0.0).collect::<Vec<bool>>();
    assert_eq!(seen(&reach_of_gradients("segment=2")), [true; 12]);
    // States after the second and fourth segment are cut off: rows from the fifth on.
    let cut = seen(&reach_of_gradients("segment=2, gradient_segments=2"));
    assert_eq!(cut, [vec![false; 8], vec![true; 4]].concat());
    // That after the third: rows from the fourth on.
    let cut = seen(&reach_of_gradients("segment=2, gradient_segments=3"));
    assert_eq!(cut, [vec![false; 6], vec![true; 6]].concat());
    let [whole, cut] = ["", "gradient_segments=2, "].map(|option| {
        let device = Device::default();
        values(mixed(&layer(&config(&format!("{option}segment=2")), &device), input(&rows(12), &device), None, 0))
    });
    assert_eq!(whole, cut, "what is computed is the same");
}

/// The keys that a state reads are rotated, and its queries with them: what moves by some segments gives the same.
#[test]
fn rotations_know_distances_only() {
    let plain = ModelConfig { heads: 1, ..config("segment=3") };
    let rotated = ModelConfig { rotary: RotaryLayers::All, ..plain.clone() };
    let run = |config: &ModelConfig, start: usize| {
        let device = Device::default();
        values(mixed(&layer(config, &device), input(&rows(11), &device), None, start))
    };
    let difference = largest_difference(&run(&rotated, 0), &run(&rotated, 300));
    assert!(difference < 1e-6, "{difference}");
    assert!(largest_difference(&run(&rotated, 0), &run(&plain, 0)) > 1e-3, "rotations matter");
}

/// Maps of the recurrence are drawn by their inputs, gates begin with remembering, and tables of vectors are not decayed.
#[test]
fn it_begins_and_is_trained_as_documented() {
    let config = ModelConfig { dim: 64, heads: 4, init_std: 0.001, ..config("segment=2") };
    let model = LanguageModel::new(&config, 3, &Device::default()).expect("a model");
    let weights = parameters::collect(&model);
    let of = |path: &str| values(weights[&format!("blocks.0.mixer.{path}")].data.clone());
    let std = |path: &str| (of(path).iter().map(|x| x * x).sum::<f64>() / of(path).len() as f64).sqrt();
    let expected = [("cell.query.weight", 0.125), ("cell.hidden.weight", 0.0884), ("cell.identity", 1.0)];
    for (path, expected) in expected.into_iter().chain([("cell.initial", 0.1), ("state_query.weight", 0.001)]) {
        assert!((std(path) / expected - 1.0).abs() < 0.2, "{path}: {}", std(path));
    }
    let bias = of("cell.hidden_gate.map.bias");
    assert_eq!([bias[0], bias[63], bias[64], bias[127], bias[128], bias[191]], [0.0, 0.0, -1.0, -1.0, 1.0, 1.0]);
    assert!(Properties::of(&config).expect("properties").reach().is_none(), "a state carries what a stream has seen");
    let role = |path: &str| model.role(&format!("blocks.0.mixer.{path}"), &[2, 64]);
    assert_eq!(["cell.initial", "cell.identity"].map(role), [Role::Undecayed; 2]);
    assert_eq!(["cell.query.weight", "state_output.weight"].map(role), [Role::Decayed; 2]);
}

#[test]
fn mistakes_are_named() {
    let fault = |options: &str| {
        let config = ModelConfig { layers: format!("recurrent({options})"), ..config("segment=2") };
        config.validate().unwrap_err().to_string()
    };
    assert_eq!(fault("segment=0"), "model.segment is 0");
    assert_eq!(fault("states=0, segment=2"), "model.recurrent.states is 0");
    assert!(fault("segment=65").contains("model.context = 64 is shorter than a segment (model.segment = 65)"));
    assert!(fault("gate=gru").contains("`recurrent(gate=gru)` has a wrong `gate`"), "{}", fault("gate=gru"));
}
