//! RWKV-4's time mix: a recurrence over channels ("RWKV: Reinventing RNNs for the Transformer Era", arXiv 2305.13048).
//!
//! Of the normalised rows x and the rows before them x', zeros before the first, with weights mu of its own for each of k, v, r:
//! k = W_k (mu x + (1 - mu) x'), v and r likewise; y is [`percept_kernels::Wkv`] of k and v with decay w = -exp(`decay`) and bonus u;
//! what is added is W_o (sigmoid(r) y). Layer 0 normalises the embedding before all that, as the authors' `ln0`.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`, any T. Cost per token 4 d^2, and O(d) for the recurrence. State: the last normalised row, and the
//! sums a, b, p, in all 4 d. Reach: everything since the start of the stream. Every position is scored. It knows no positions.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use percept_fault::Result;
use percept_kernels::decode::{Epilogue, PackedLinear};
use percept_kernels::{Wkv, WkvInputs, shift_row, sigmoid_gate, wkv_row};

use crate::channel::ChannelKind;
use crate::config::{LayerSpec, ModelConfig};
use crate::cost::{Call, LinearCall};
use crate::decoder::{BuildStep, Pass, RowNorm, Step, elements, parts};
use crate::init::Initial;
use crate::layer::{
    Activations, Carry, Facts, LayerContext, LayerState, NoOptions, Reach, Rows, Shapes, StateTensor, Sublayer,
};
use crate::layers::{Bias, Linear, Norm};
use crate::ops;
use crate::role::{Role, Training};
use crate::rwkv::{Schedule, Shifted, matrix, published, shift_state};

/// The time mix.
#[derive(Module, Debug)]
pub struct Rwkv4 {
    /// Of the embedding, in layer 0.
    pub embedding_norm: Option<Norm>,
    /// Shares of the present row in what the keys are of, `[d]`.
    pub mix_key: Param<Tensor<1>>,
    /// Of the values.
    pub mix_value: Param<Tensor<1>>,
    /// Of the receptances.
    pub mix_receptance: Param<Tensor<1>>,
    /// ln(-w), `[d]`.
    pub decay: Param<Tensor<1>>,
    /// u, what the present key counts more, `[d]`.
    pub bonus: Param<Tensor<1>>,
    /// `[d, d]`.
    pub key: Linear,
    /// `[d, d]`.
    pub value: Linear,
    /// `[d, d]`.
    pub receptance: Linear,
    /// `[d, d]`.
    pub output: Linear,
}

/// Name of the sums a, b, p.
const SUMS: &str = "sums";

impl Sublayer for Rwkv4 {
    type Options = NoOptions;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        let vector = || Param::from_tensor(Tensor::zeros([config.dim], device));
        let matrix = || Linear::new(config.dim, config.dim, Bias::Without, device);
        Self {
            embedding_norm: (layer.index == 0).then(|| Norm::new(config.norm, config.dim, config.norm_eps, device)),
            mix_key: vector(),
            mix_value: vector(),
            mix_receptance: vector(),
            decay: vector(),
            bonus: vector(),
            key: matrix(),
            value: matrix(),
            receptance: matrix(),
            output: matrix(),
        }
    }

    /// Training keeps the rows and the normalised ones, the three mixes, k, v, y, r and the product.
    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
        let (count, dim) = (rows.len(), config.dim);
        let norm = if layer.index == 0 { Norm::parameters(config.norm, dim) } else { 0 };
        let product = LinearCall { rows: count, input: dim, output: dim };
        let wkv = Wkv { batch: 1, rows: count, channels: dim };
        let row = (count * dim) as u64;
        Facts {
            parameters: (5 * dim + 4 * dim * dim) as u64 + norm,
            work: std::iter::repeat_n(product.into(), 4)
                .chain([Call::Other { forward: wkv.cost(), backward: wkv.backward_cost() }])
                .collect(),
            activations: Activations { kept: 10 * row, unfused: 24 * row, flow: 6 * row },
            state: vec![shift_state(dim), StateTensor::fixed(SUMS, [3, dim])],
            reach: Reach::Stream,
            ..Facts::of(rows)
        }
    }

    /// The authors' rules: time_mix_*, time_decay and time_first always, matrices where the configuration says so.
    fn initial(config: &ModelConfig, layer: &LayerSpec, path: &str, _shape: &[usize]) -> Option<Initial> {
        let rule = Schedule::of(config, layer);
        let by_channel = |value: &dyn Fn(usize) -> f64| Some(rule.values(value));
        match path {
            "mix_key" => by_channel(&|i| rule.share(i)),
            "mix_value" => by_channel(&|i| rule.share(i) + 0.3 * rule.depth),
            "mix_receptance" => by_channel(&|i| rule.share(i).sqrt()),
            "decay" => by_channel(&|i| -5.0 + 8.0 * rule.along(i).powf(0.7 + 1.3 * rule.depth)),
            "bonus" => by_channel(&|i| 0.3f64.ln() + 0.5 * (((i + 1) % 3) as f64 - 1.0)),
            _ => matrix(config, path, "value.weight"),
        }
    }

    /// The decay learns twice as fast, the bonus three times.
    fn training(_config: &ModelConfig, path: &str, shape: &[usize]) -> Training {
        let rate = match path {
            "decay" => 2.0,
            "bonus" => 3.0,
            _ => 1.0,
        };
        Training { rate, ..Training::of(Role::by_shape(shape)) }
    }

    fn published(shapes: &Shapes<'_>) -> Result<Option<ModelConfig>> {
        if !shapes.contains_key("blocks.0.att.time_first") {
            return Ok(None);
        }
        let config = published(shapes)?;
        Ok(Some(ModelConfig { layers: "rwkv4".into(), feed_forward: ChannelKind::Rwkv4, ..config }))
    }

    fn paper_names(parameter: &str) -> &'static [&'static str] {
        match parameter {
            "mix_key" => &["time_mix_k"],
            "mix_value" => &["time_mix_v"],
            "mix_receptance" => &["time_mix_r"],
            "decay" => &["time_decay"],
            "bonus" => &["time_first"],
            "key" => &["key"],
            "value" => &["value"],
            "receptance" => &["receptance"],
            "output" => &["output"],
            _ => &[],
        }
    }

    fn mix(
        &self,
        x: Tensor<3>,
        mut state: Option<&mut LayerState>,
        _carry: &mut Carry,
        _context: &LayerContext,
    ) -> Tensor<3> {
        let x = Shifted::new(x, state.as_deref_mut());
        let key = x.through(&self.mix_key, &self.key);
        let value = x.through(&self.mix_value, &self.value);
        let receptance = x.through(&self.mix_receptance, &self.receptance);
        let (decay, bonus) = (-self.decay.val().exp(), self.bonus.val());
        let y = match state {
            None => ops::wkv(key, value, decay, bonus),
            Some(state) => {
                let [batch, _, dim] = key.dims();
                let empty = || Tensor::zeros([batch, 3, dim], (&key.device(), key.dtype()));
                let sums = state.get::<3>(SUMS).unwrap_or_else(empty);
                let (y, sums) = ops::wkv_from([key, value], [decay, bonus], sums);
                state.set(SUMS, sums);
                y
            }
        };
        self.output.forward(ops::glu(receptance, y))
    }

    fn forward(
        &self,
        x: Tensor<3>,
        norm: &Norm,
        state: Option<&mut LayerState>,
        carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        let x = match &self.embedding_norm {
            Some(embedding_norm) => embedding_norm.forward(x),
            None => x,
        };
        ops::add(self.mix(norm.forward(x.clone()), state, carry, context), x)
    }

    fn step<'a>(&'a self, norm: &'a Norm) -> Option<BuildStep<'a>> {
        Some(Box::new(move |packer, _| {
            let [key, value, receptance, output] =
                [&self.key, &self.value, &self.receptance, &self.output].map(|map| packer.linear(map));
            Box::new(Rwkv4Step {
                embedding_norm: self.embedding_norm.as_ref().map(RowNorm::of),
                norm: RowNorm::of(norm),
                mixes: [&self.mix_key, &self.mix_value, &self.mix_receptance].map(elements),
                decay: elements(&self.decay).into_iter().map(|decay| -decay.exp()).collect(),
                bonus: elements(&self.bonus),
                maps: [key, value, receptance],
                output,
            })
        }))
    }
}

#[derive(Debug)]
struct Rwkv4Step {
    embedding_norm: Option<RowNorm>,
    norm: RowNorm,
    /// Of key, value, receptance.
    mixes: [Vec<f32>; 3],
    /// w.
    decay: Vec<f32>,
    bonus: Vec<f32>,
    /// Key, value, receptance.
    maps: [PackedLinear; 3],
    output: PackedLinear,
}

impl Step for Rwkv4Step {
    fn bytes(&self) -> usize {
        let vectors = 5 * self.norm.width() * size_of::<f32>();
        self.maps.iter().chain([&self.output]).map(PackedLinear::bytes).sum::<usize>() + vectors
    }

    /// Normalised and mixed rows, k, v and r.
    fn scratch(&self) -> usize {
        5 * self.norm.width()
    }

    fn run(&self, pass: &mut Pass<'_, '_>, x: &mut [f32]) {
        let Pass { crew, pages, scratch, streams, .. } = pass;
        let (dim, size) = (self.norm.width(), x.len());
        let [normalised, mixed, key, value, receptance] = parts(scratch, [size; 5]);
        if let Some(embedding_norm) = &self.embedding_norm {
            embedding_norm.apply(x, normalised);
            x.copy_from_slice(normalised);
        }
        self.norm.apply(x, normalised);
        let rows = |row: usize| row * dim..(row + 1) * dim;
        for ((map, mix), out) in self.maps.iter().zip(&self.mixes).zip([&mut *key, &mut *value, &mut *receptance]) {
            for row in 0..streams.len() {
                shift_row(&normalised[rows(row)], streams.buffers(row)[0].all(), mix, &mut mixed[rows(row)]);
            }
            map.apply(crew, pages, mixed, out, Epilogue::Replace);
        }
        for row in 0..streams.len() {
            let [shift, sums] = streams.buffers_mut(row) else { continue };
            let inputs =
                WkvInputs { key: &key[rows(row)], value: &value[rows(row)], decay: &self.decay, bonus: &self.bonus };
            let state = parts(sums.row_mut(0), [dim; 3]);
            wkv_row(&inputs, state, &mut mixed[rows(row)]);
            shift.row_mut(0).copy_from_slice(&normalised[rows(row)]);
        }
        sigmoid_gate(receptance, mixed);
        self.output.apply(crew, pages, mixed, x, Epilogue::Add);
    }
}
