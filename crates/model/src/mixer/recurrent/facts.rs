//! What the layer declares.

use super::{RecurrentOptions, STATE, first_key};
use crate::config::{LayerSpec, ModelConfig, NormKind};
use crate::cost::{AttentionCall, Call, LinearCall};
use crate::layer::{Activations, Facts, Reach, Rows, StateTensor, Windowing};
use crate::layers::{Bias, Linear, Norm};
use crate::mixer::projection::Projection;
use crate::ops::{Pattern, Visibility};

/// Sizes of a window.
struct Sizes<'a> {
    config: &'a ModelConfig,
    options: &'a RecurrentOptions,
    /// Channels of all query heads, and of all key heads.
    width: usize,
    narrow: usize,
    rows: usize,
    /// States that a window makes after the first.
    updates: u64,
}

pub(super) fn of(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
    let (options, count) = (&layer.options.recurrent, rows.len());
    let (m, states, end) = (options.segment, options.states, rows.end());
    let sizes = Sizes {
        config,
        options,
        width: config.heads * config.head_dim(),
        narrow: config.key_value_heads() * config.head_dim(),
        rows: count,
        updates: (count.saturating_sub(1) / m) as u64,
    };
    let kept = (end - first_key(end, m)).min(count);
    let heads = [config.key_value_heads(), config.head_dim()];
    let shapes = [vec![states, config.dim], [&[states][..], &heads].concat(), [&[states][..], &heads].concat()];
    let of_state = STATE.into_iter().zip(shapes).map(|(name, shape)| StateTensor::fixed(name, shape));
    Facts {
        parameters: sizes.parameters(),
        work: sizes.work(),
        score_entries: sizes.score_entries(),
        activations: sizes.activations(rows),
        state: Projection::state(config, kept, 2 * m).into_iter().chain(of_state).collect(),
        reach: match Projection::windowing(config, m) {
            Windowing::Carried => Reach::Stream,
            _ => Reach::Window,
        },
        ..Facts::of(rows)
    }
}

impl Sizes<'_> {
    fn parameters(&self) -> u64 {
        let Self { config, options, width, narrow, .. } = *self;
        let (dim, update, gate) = (config.dim, options.update, options.gate);
        let linear = |inputs, outputs| Linear::parameters(inputs, outputs, Bias::Without);
        let norms = 1 + u64::from(update.normalises());
        let of_heads = if config.qk_norm { 4 * Norm::parameters(NormKind::Rms, config.head_dim()) } else { 0 };
        let reading = if update.gates_reading() { gate.parameters(2 * width, dim) } else { 0 };
        let hidden = Linear::parameters(update.hidden_inputs(width, dim), dim, Bias::With) + gate.parameters(dim, dim);
        Projection::parameters(config)
            + 3 * linear(dim, width)
            + linear(width, dim)
            + 2 * linear(dim, narrow)
            + (2 * options.states * dim) as u64
            + norms * Norm::parameters(config.norm, dim)
            + of_heads
            + reading
            + if update.has_hidden() { hidden } else { 0 }
    }

    fn attention(&self, [queries, keys]: [usize; 2], pattern: Pattern) -> AttentionCall {
        let (heads, width) = (self.config.heads, self.config.head_dim());
        AttentionCall { queries, keys, heads, width, visibility: Visibility::new(pattern) }
    }

    fn work(&self) -> Vec<Call> {
        let Self { config, options, width, narrow, rows, updates } = *self;
        let (dim, m, states, update, gate) =
            (config.dim, options.segment, options.states, options.update, options.gate);
        let map = |rows: usize, input: usize, output: usize| LinearCall { rows, input, output };
        let attend = |queries: usize, keys: usize, times: u64| {
            let (forward, backward) = self.attention([queries, keys], Pattern::Everything).costs(1);
            Call::Other { forward: forward * times, backward: backward * times }
        };
        let among_tokens = self.attention([rows, rows], Pattern::SegmentPair { length: m });
        let mut work = Projection::calls(config, rows, rows);
        work.extend([Call::from(map(rows, dim, width)), map(rows, width, dim).into(), among_tokens.into()]);
        work.extend([
            attend(m, states, (rows / m) as u64),
            attend(rows % m, states, u64::from(!rows.is_multiple_of(m))),
        ]);
        work.extend([attend(states, states, updates), attend(states, m, updates)]);
        let queries = map(states, dim, width);
        let memory = map(states, dim, narrow);
        work.extend([Call::Linears(queries, 2 * updates), Call::Linears(memory, 2 * (updates + 1))]);
        if update.gates_reading() {
            work.push(Call::Linears(gate.call(states, 2 * width, dim), updates));
        }
        if update.has_hidden() {
            work.push(Call::Linears(map(states, update.hidden_inputs(width, dim), dim), updates));
            work.push(Call::Linears(gate.call(states, dim, dim), updates));
        }
        work
    }

    /// Whole segments, as LLP counts them, and all that is read of and by states.
    fn score_entries(&self) -> u64 {
        let (m, s, rows) = (self.options.segment as u64, self.options.states as u64, self.rows as u64);
        let (full, rest) = (rows / m, rows % m);
        let pairs = (2 * full).saturating_sub(1) * m * m;
        let partial = if full == 0 { rest * rest } else { rest * (m + rest) };
        pairs + partial + rows * s + self.updates * s * (m + s)
    }

    /// Per token, its query to the state and what it reads there; per state vector its forms, what it reads and becomes.
    fn activations(&self, rows: Rows) -> Activations {
        let Self { config, options, width, narrow, rows: count, updates } = *self;
        let forms = 1 + usize::from(config.qk_norm);
        let gates = match options.update {
            super::RecurrentUpdate::Dual => 2,
            _ => 1,
        };
        let vector = (4 + 6 * gates) * config.dim + (2 * forms + 4) * width + (1 + forms + 4) * narrow;
        let of_states = (updates + 1) * (options.states * vector) as u64;
        let scores = self.score_entries();
        let among_tokens = Projection::activations(config, (rows, rows), scores, 0);
        let of_tokens = (count * (forms + 1) * width) as u64;
        Activations {
            kept: among_tokens.kept + of_tokens + of_states,
            flow: among_tokens.flow + of_tokens + 2 * (options.states * vector) as u64,
            ..among_tokens
        }
    }
}
