//! Block-recurrent attention: a state that every segment reads, and that changes after it (Hutchins et al., "Block-Recurrent
//! Transformers", arXiv 2203.07852, section 3).
//!
//! Segment j is the positions j m .. (j + 1) m - 1. With q, k, v of the normalised rows, and r a second query of them:
//!
//! - y_t = W attend(q_t; segment j - 1 and, up to t, j) + W' attend(r_t; c_j), c_j being S state vectors, c_0 learned;
//! - c_(j + 1) = update(c_j, [attend(c_j; c_j), attend(c_j; segment j)]).
//!
//! State vectors are normalised and get a learned identity before their queries, keys and values; tokens and states share the keys and
//! values of each. The update is a gate on what was read, with or without a hidden layer ([`RecurrentUpdate`], [`RecurrentGate`]). Keys
//! of tokens are rotated; a state reads them from the position of the segment's last token, so that it knows distances, and
//! nothing of a state is rotated otherwise. Dropout is on the attention among tokens.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`, any T. Cost per token O(d^2 + (m + S) d), and per segment S times that of a token and the update's.
//! State: fewer than 2 m keys and values, and S vectors with theirs. Reach: the stream. Every position is scored.
//!
//! Differences from the authors' code: segments overlap in pairs, as in LLP, where theirs is a window of m keys; positions are rotated,
//! where theirs have T5's bias; the hidden layer has d channels, where theirs has 4 d.
//!
//! # The backward reach
//!
//! In training a window begins with c_0, and gradients go through all of its states; with `recurrent.gradient_segments` = N > 0 they
//! stop at the states after every N-th segment, and so go back through N of them at most. Keys and values of the segment before
//! keep theirs, as in LLP.
//!
//! With m = 1 the layer is a recurrence over tokens: c_(t + 1) = update(c_t, [attend(c_t; c_t), v_t]). Through a hidden layer that is wide
//! enough the next state can be any function of the two, so that it can follow what no pass of fixed depth can, parity among it; the
//! steps are one after the other, though.

mod cell;
mod facts;
mod gate;
mod step;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cell::RecurrentUpdate;
pub use gate::RecurrentGate;

use super::projection::{Projection, extend};
use super::segment::check_segment;
use crate::config::{LayerSpec, ModelConfig, NormKind};
use crate::decoder::BuildStep;
use crate::init::Initial;
use crate::layer::{Carry, Facts, FlatKey, LayerContext, LayerState, Options, Place, Rows, Scale, Sublayer, Windowing};
use crate::layers::{Bias, Linear, Norm};
use crate::ops::{Pattern, Visibility};
use crate::role::{Role, Training};
use cell::{Cell, Memory, attend, heads};

/// The keys of `[model.recurrent]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecurrentOptions {
    /// Segment length m in tokens; from 1, which is a recurrence over tokens.
    pub segment: usize,
    /// State vectors S.
    pub states: usize,
    /// How a state takes in what is new.
    pub gate: RecurrentGate,
    /// What stands between what a state has read and the next one.
    pub update: RecurrentUpdate,
    /// Segments through whose states gradients go back at most; 0: through all of the window.
    pub gradient_segments: usize,
}

impl Default for RecurrentOptions {
    fn default() -> Self {
        Self {
            segment: 128,
            states: 16,
            gate: RecurrentGate::Lstm,
            update: RecurrentUpdate::Single,
            gradient_segments: 0,
        }
    }
}

impl Options for RecurrentOptions {
    const FLAT: &'static [FlatKey] = &[FlatKey { later: true, ..FlatKey::SEGMENT }];

    fn segment(&self) -> Option<usize> {
        Some(self.segment)
    }

    fn reduced(&self, scale: &Scale) -> Self {
        Self { segment: scale.segment(self.segment), states: self.states.min(3), ..*self }
    }

    fn at_context(&self, context: usize) -> Self {
        Self { segment: self.segment.min(context), ..*self }
    }
}

/// Block-recurrent attention.
#[derive(Module, Debug)]
pub struct Recurrent {
    /// Of the tokens among themselves.
    pub projection: Projection,
    /// `[d, H e]`: the tokens' queries to the state.
    pub state_query: Linear,
    /// Over the e channels of a head.
    pub state_query_norm: Option<Norm>,
    /// `[H e, d]`: of what they read there.
    pub state_output: Linear,
    /// The state.
    pub cell: Cell,
    segment: usize,
    gradient_segments: usize,
    dropout: f32,
}

/// Names of the state's tensors.
const STATE: [&str; 3] = ["state", "state_key", "state_value"];

/// Start of the keys that a query at `position` sees.
fn first_key(position: usize, segment: usize) -> usize {
    (position / segment).saturating_sub(1) * segment
}

impl Recurrent {
    /// The state that tokens at position `start` read, of `batch` sequences.
    fn memory(&self, state: Option<&LayerState>, batch: usize) -> Memory {
        let kept = |state: &LayerState| {
            let [vectors, key, value] = STATE;
            Some(Memory { vectors: state.get(vectors)?, key: state.get(key)?, value: state.get(value)? })
        };
        state.and_then(kept).unwrap_or_else(|| self.cell.start(batch))
    }

    /// What tokens from `start` on read of the state before their segments, `[B, T, H e]`; `keys`, `values`: from position
    /// `first` on. The state is left as later tokens read it.
    fn read(
        &self,
        queries: Tensor<4>,
        (keys, values, first): (Tensor<4>, Tensor<4>, usize),
        start: usize,
        state: Option<&mut LayerState>,
    ) -> Tensor<3> {
        let ([batch, rows, ..], m, end) = (queries.dims(), self.segment, first + keys.dims()[1]);
        let mut memory = self.memory(state.as_deref(), batch);
        let (mut pieces, mut at) = (Vec::with_capacity(rows / m + 2), start);
        while at < end {
            let border = (at / m + 1) * m;
            pieces.push((border.min(end) - at, memory.clone()));
            if border < end || (border == end && state.is_some()) {
                let from = (border - m).max(first);
                let tokens = [&keys, &values].map(|x| x.clone().narrow(1, from - first, border - from));
                memory = self.cell.next(memory, tokens.into(), self.projection.rotary(), border - 1);
                if self.gradient_segments > 0 && (border / m).is_multiple_of(self.gradient_segments) {
                    memory = memory.detached();
                }
            }
            at = border;
        }
        if let Some(state) = state {
            state.set(STATE[0], memory.vectors);
            state.set(STATE[1], memory.key);
            state.set(STATE[2], memory.value);
        }
        attend_pieces(queries, &pieces)
    }
}

/// Attention of each piece of the rows to its memory; pieces of one length are one call.
fn attend_pieces(queries: Tensor<4>, pieces: &[(usize, Memory)]) -> Tensor<3> {
    let [batch, _, heads, e] = queries.dims();
    let (mut outputs, mut at) = (Vec::new(), 0);
    for run in pieces.chunk_by(|(a, _), (b, _)| a == b) {
        let (rows, count) = (run[0].0, run.len());
        let q = queries.clone().narrow(1, at, count * rows).reshape([batch * count, rows, heads, e]);
        let joined = |part: fn(&Memory) -> &Tensor<4>| {
            let [_, states, groups, e] = part(&run[0].1).dims();
            let all = run.iter().map(|(_, memory)| part(memory).clone()).collect();
            Tensor::cat(all, 1).reshape([batch * count, states, groups, e])
        };
        let read = attend(q, (joined(|memory| &memory.key), joined(|memory| &memory.value)));
        outputs.push(read.reshape([batch, count * rows, heads * e]));
        at += count * rows;
    }
    Tensor::cat(outputs, 1)
}

impl Sublayer for Recurrent {
    type Options = RecurrentOptions;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        let (dim, width, options) = (config.dim, config.heads * config.head_dim(), &layer.options.recurrent);
        let norm = || Norm::new(NormKind::Rms, config.head_dim(), config.norm_eps, device);
        Self {
            projection: Projection::new(config, layer, device),
            state_query: Linear::new(dim, width, Bias::Without, device),
            state_query_norm: config.qk_norm.then(norm),
            state_output: Linear::new(width, dim, Bias::Without, device),
            cell: Cell::new(config, options, device),
            segment: options.segment,
            gradient_segments: options.gradient_segments,
            dropout: config.attention_dropout,
        }
    }

    fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        let RecurrentOptions { segment, states, .. } = layer.options.recurrent;
        check_segment(config, segment, "1 is a recurrence over tokens; context / 8 is fast")?;
        match states {
            0 => Err(Fault::usage("model.recurrent.states is 0").hint("set it to at least 1, e.g. 16")),
            _ => Ok(()),
        }
    }

    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
        facts::of(config, layer, rows)
    }

    /// Norms around the recurrence take the size of its signals away: its maps keep it, by their inputs, as the authors' do.
    fn initial_std(config: &ModelConfig, path: &str, shape: &[usize]) -> f64 {
        match path.starts_with("cell.") {
            true => (shape[0] as f64).powf(-0.5),
            false => config.initial_std(path),
        }
    }

    fn initial(config: &ModelConfig, layer: &LayerSpec, path: &str, _shape: &[usize]) -> Option<Initial> {
        match path {
            "cell.initial" | "cell.reading_gate.keep" | "cell.hidden_gate.keep" => Some(Initial::Normal(0.1)),
            "cell.identity" => Some(Initial::Normal(1.0)),
            "cell.reading_gate.map.bias" | "cell.hidden_gate.map.bias" => {
                Some(layer.options.recurrent.gate.initial_bias(config.dim))
            }
            _ => None,
        }
    }

    /// Tables of vectors are not decayed.
    fn training(_config: &ModelConfig, path: &str, shape: &[usize]) -> Training {
        match path {
            "cell.initial" | "cell.identity" => Training::of(Role::Undecayed),
            _ => Training::of(Role::by_shape(shape)),
        }
    }

    fn windowing(config: &ModelConfig, layer: &LayerSpec) -> Windowing {
        Projection::windowing(config, layer.options.recurrent.segment)
    }

    fn mix(
        &self,
        x: Tensor<3>,
        mut state: Option<&mut LayerState>,
        _carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        let (start, end) = (context.rows.start, context.rows.end());
        let q = self.projection.queries(x.clone(), start);
        let to_state = heads(&self.state_query, &self.state_query_norm, x.clone(), q.dims()[2]);
        let pair = self.projection.keys_values(x, start);
        let (pair, before) = extend(pair, state.as_deref_mut(), end - first_key(end, self.segment));
        let pattern = Pattern::SegmentPair { length: self.segment };
        let visibility = Visibility { pattern, query_start: start, key_start: start - before };
        let (keys, values) = pair.clone();
        let y = self.projection.attend(q, pair, &visibility, context.dropout(self.dropout, Place::Attention));
        let read = self.read(to_state, (keys, values, start - before), start, state);
        self.projection.output.forward(y) + self.state_output.forward(read)
    }
    fn step<'a>(&'a self, norm: &'a Norm) -> Option<BuildStep<'a>> {
        Some(step::build(norm, self))
    }
}
