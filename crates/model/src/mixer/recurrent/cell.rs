//! The state vectors, and how they change from one segment to the next.

use burn::module::{Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RecurrentOptions;
use super::gate::Gate;
use crate::config::{ModelConfig, NormKind};
use crate::layers::{Bias, Linear, Norm};
use crate::ops::{self, Pattern, Rotary, Visibility};

/// What stands between what the vectors of a state have read and the next ones (arXiv 2203.07852, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecurrentUpdate {
    /// A gate.
    Skip,
    /// A hidden layer, and a gate on it.
    Single,
    /// A gate; then norm, hidden layer, and a second gate.
    Dual,
}

impl RecurrentUpdate {
    pub(super) fn gates_reading(self) -> bool {
        self != Self::Single
    }

    pub(super) fn has_hidden(self) -> bool {
        self != Self::Skip
    }

    pub(super) fn normalises(self) -> bool {
        self == Self::Dual
    }

    /// Inputs of the hidden layer, where `width` are the channels of all heads.
    pub(super) fn hidden_inputs(self, width: usize, dim: usize) -> usize {
        if self == Self::Single { 2 * width } else { dim }
    }
}

/// The recurrence.
#[derive(Module, Debug)]
pub struct Cell {
    /// `[S, d]`: the state before the first segment.
    pub initial: Param<Tensor<2>>,
    /// `[S, d]`: added to the normalised vectors, so that equal ones can read differently.
    pub identity: Param<Tensor<2>>,
    /// Before all maps.
    pub norm: Norm,
    /// `[d, H e]`: to the state itself.
    pub query: Linear,
    /// `[d, H e]`: to the tokens of a segment.
    pub token_query: Linear,
    /// `[d, G e]`: for tokens and state.
    pub key: Linear,
    /// `[d, G e]`.
    pub value: Linear,
    /// Over the e channels of a head.
    pub query_norm: Option<Norm>,
    /// Of a head, too.
    pub token_query_norm: Option<Norm>,
    /// Of a key head.
    pub key_norm: Option<Norm>,
    /// On what was read.
    pub reading_gate: Option<Gate>,
    /// Between the two gates.
    pub hidden_norm: Option<Norm>,
    /// `[2 H e or d, d]`, through a ReLU.
    pub hidden: Option<Linear>,
    /// On the hidden layer.
    pub hidden_gate: Option<Gate>,
    heads: usize,
    groups: usize,
}

/// A state, as tokens and the next state read it.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    /// `[B, S, d]`.
    pub(super) vectors: Tensor<3>,
    /// `[B, S, G, e]`.
    pub(super) key: Tensor<4>,
    /// `[B, S, G, e]`.
    pub(super) value: Tensor<4>,
}

impl Memory {
    /// Without gradients into what it was made of.
    pub(super) fn detached(self) -> Self {
        Self { vectors: self.vectors.detach(), key: self.key.detach(), value: self.value.detach() }
    }
}

impl Cell {
    /// Zeros.
    pub(super) fn new(config: &ModelConfig, options: &RecurrentOptions, device: &Device) -> Self {
        let (dim, e, update) = (config.dim, config.head_dim(), options.update);
        let (width, narrow) = (config.heads * e, config.key_value_heads() * e);
        let vectors = || Param::from_tensor(Tensor::zeros([options.states, dim], device));
        let linear = |outputs| Linear::new(dim, outputs, Bias::Without, device);
        let norm = || config.qk_norm.then(|| Norm::new(NormKind::Rms, e, config.norm_eps, device));
        let over_rows = || Norm::new(config.norm, dim, config.norm_eps, device);
        let gate = |inputs| Gate::new(options.gate, inputs, dim, device);
        let hidden = || Linear::new(update.hidden_inputs(width, dim), dim, Bias::With, device);
        Self {
            initial: vectors(),
            identity: vectors(),
            norm: over_rows(),
            query: linear(width),
            token_query: linear(width),
            key: linear(narrow),
            value: linear(narrow),
            query_norm: norm(),
            token_query_norm: norm(),
            key_norm: norm(),
            reading_gate: update.gates_reading().then(|| gate(2 * width)),
            hidden_norm: update.normalises().then(over_rows),
            hidden: update.has_hidden().then(hidden),
            hidden_gate: update.has_hidden().then(|| gate(dim)),
            heads: config.heads,
            groups: config.key_value_heads(),
        }
    }

    /// The state before the first segment, of so many sequences.
    pub(super) fn start(&self, batch: usize) -> Memory {
        let [states, dim] = self.initial.val().dims();
        self.memory(self.initial.val().unsqueeze::<3>().expand([batch, states, dim]))
    }

    /// The state after a segment whose tokens have these keys and values; its last one stands at `position`.
    pub(super) fn next(
        &self,
        memory: Memory,
        tokens: (Tensor<4>, Tensor<4>),
        rotary: Option<Rotary>,
        position: usize,
    ) -> Memory {
        let x = self.placed(memory.vectors.clone());
        let own = heads(&self.query, &self.query_norm, x.clone(), self.heads);
        let [batch, states, heads_, e] = own.dims();
        let mut query = heads(&self.token_query, &self.token_query_norm, x, self.heads);
        if let Some(rotary) = rotary {
            // All of them stand at one position.
            let row = query.reshape([batch, 1, states * heads_, e]);
            query = ops::rotary(row, position, &rotary).reshape([batch, states, heads_, e]);
        }
        let read = vec![attend(own, (memory.key, memory.value)), attend(query, tokens)];
        self.memory(self.update(memory.vectors, Tensor::cat(read, 2)))
    }

    /// `vectors [B, S, d]`, which have read `read [B, S, 2 H e]`.
    fn update(&self, vectors: Tensor<3>, read: Tensor<3>) -> Tensor<3> {
        let (vectors, read) = match &self.reading_gate {
            Some(gate) => {
                let vectors = gate.forward(vectors, read);
                (vectors.clone(), vectors)
            }
            None => (vectors, read),
        };
        let (Some(hidden), Some(gate)) = (&self.hidden, &self.hidden_gate) else { return vectors };
        let read = match &self.hidden_norm {
            Some(norm) => norm.forward(read),
            None => read,
        };
        gate.forward(vectors, relu(hidden.forward(read)))
    }

    fn memory(&self, vectors: Tensor<3>) -> Memory {
        let x = self.placed(vectors.clone());
        let no_norm = None;
        let value = heads(&self.value, &no_norm, x.clone(), self.groups);
        Memory { vectors, key: heads(&self.key, &self.key_norm, x, self.groups), value }
    }

    /// Normalised, and each with its identity.
    fn placed(&self, vectors: Tensor<3>) -> Tensor<3> {
        self.norm.forward(vectors) + self.identity.val().unsqueeze()
    }
}

/// `x [B, rows, d]` through a map, in heads: `[B, rows, heads, e]`.
pub(super) fn heads(map: &Linear, norm: &Option<Norm>, x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, rows, _] = x.dims();
    let x = map.forward(x);
    let width = x.dims()[2];
    let x = x.reshape([batch, rows, heads, width / heads]);
    match norm {
        Some(norm) => norm.forward(x),
        None => x,
    }
}

/// Attention to every key, heads joined: `[B, rows, H e]`.
pub(super) fn attend(q: Tensor<4>, (k, v): (Tensor<4>, Tensor<4>)) -> Tensor<3> {
    let [batch, rows, heads, e] = q.dims();
    let scale = (e as f64).powf(-0.5) as f32;
    let everything = Visibility::new(Pattern::Everything);
    ops::attention(q, k, v, &everything, scale, None).reshape([batch, rows, heads * e])
}
