//! What a configuration promises: costs, state and reach, from formulas alone (no weights).

use percept_fault::{Fault, Result};
use percept_kernels::Head;

use crate::config::{self, Biases, LayerSpec, ModelConfig, Objective, Offsets};
use crate::cost::Cost;
use crate::gradients::Recompute;
use crate::language_model::{block_facts, window_rows};
use crate::layer::{BlockFacts, Direction, ElementBytes, Reach, Rows};
use crate::layers::Norm;
use crate::session::WindowSchedule;

/// The share of the tokens of a text with errors that are labelled there, on average (a test of [`crate::order_agnostic`] measures it).
const LABELLED: f64 = 0.29;

/// Formulas of one configuration.
///
/// ```
/// use percept_model::ModelConfig;
/// use percept_model::properties::Properties;
/// let of = |layers: &str| {
///     Properties::of(&ModelConfig { layers: layers.into(), vocab: 257, dim: 64, depth: 4, context: 4096, ..Default::default() })
/// };
/// let llp = of("llp(segment=128)")?;
/// // The state of a stream stops growing after two segments; its output depends on five segments at most.
/// assert_eq!(llp.state_bytes(128 * 10, 4), llp.state_bytes(128 * 10_000, 4));
/// assert_eq!(llp.reach(), Some(5 * 128 - 1));
/// // Global attention keeps keys of the whole context.
/// assert!(of("transformer")?.state_limit(4) > 10 * llp.state_limit(4));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone)]
pub struct Properties {
    config: ModelConfig,
    layers: Vec<LayerSpec>,
    /// Of every sublayer, the last first.
    reaches: Vec<Reach>,
}

impl Properties {
    /// Checks the configuration.
    pub fn of(config: &ModelConfig) -> Result<Self> {
        config.validate()?;
        let layers = config.layer_specs()?;
        let facts = block_facts(config, &layers, window_rows(config, &layers, config.context));
        let sublayers = || facts.iter().rev().flat_map(|facts| [&facts.channel, &facts.mixer]);
        if sublayers().any(|facts| facts.direction == Direction::Bidirectional) {
            return Err(Fault::usage(format!(
                "model.layers = \"{}\" has a layer that reads what comes after",
                config.layers
            ))
            .hint("a language model takes causal layers only"));
        }
        Ok(Self { config: config.clone(), reaches: sublayers().map(|facts| facts.reach.clone()).collect(), layers })
    }

    /// The mixer of every layer.
    pub fn layers(&self) -> &[LayerSpec] {
        &self.layers
    }

    /// Number of weights.
    pub fn parameters(&self) -> u64 {
        let (vocab, dim) = (self.config.vocab as u64, self.config.dim as u64);
        let norm = Norm::parameters(self.config.norm, self.config.dim);
        let facts = self.facts(self.window_rows(self.config.context));
        let of_block = |facts: &BlockFacts| facts.both().map(|facts| norm + facts.parameters).iter().sum::<u64>();
        let blocks: u64 = facts.iter().take(self.config.own_blocks()).map(of_block).sum();
        let matrices = if self.config.head == config::Head::Tied { 1 } else { 2 };
        let bias = if self.config.biases == Biases::None { 0 } else { vocab };
        matrices * vocab * dim + bias + blocks + norm
    }

    /// The rows of a window of `length` tokens as they enter the stack.
    pub fn window_rows(&self, length: usize) -> Rows {
        window_rows(&self.config, &self.layers, length)
    }

    /// What each layer declares for the rows that enter the stack.
    pub fn facts(&self, rows: Rows) -> Vec<BlockFacts> {
        block_facts(&self.config, &self.layers, rows)
    }

    /// Targets that a training window of `length` tokens scores.
    pub fn scored(&self, length: usize) -> usize {
        self.window_rows(length).latents
    }

    /// Attention scores of a window of `length` tokens, all layers (spec, section 2).
    pub fn score_entries(&self, length: usize) -> u64 {
        let facts = self.facts(self.window_rows(length));
        facts.iter().flat_map(BlockFacts::both).map(|facts| facts.score_entries).sum()
    }

    /// The products of a forward pass over `batch` windows of `length` tokens, loss included.
    pub fn forward_cost(&self, length: usize, batch: usize) -> Cost {
        let rows = self.window_rows(length);
        self.stack_costs(rows, batch).0 + self.head_cost(rows, batch)
    }

    /// The products of loss and gradients over `batch` windows of `length` tokens.
    pub fn training_cost(&self, length: usize, batch: usize, recompute: Recompute) -> Cost {
        let forwards = match recompute {
            Recompute::Keep => 1,
            Recompute::Blocks => 2,
        };
        let rows = self.window_rows(length);
        let (forward, backward) = self.stack_costs(rows, batch);
        forward * forwards + backward + self.head_cost(rows, batch) * 3
    }

    /// How often a row goes through the last layer and the head in training: once, but in order-agnostic models for each offset that asks it,
    /// on average over windows that are asked forward and windows that are asked backward.
    pub fn answers_per_row(&self) -> f64 {
        let Offsets { forward, backward } = self.config.order_agnostic;
        match self.config.objective {
            Objective::NextToken => 1.0,
            Objective::OrderAgnostic => (forward as f64 + LABELLED * (backward + 1) as f64) / 2.0,
        }
    }

    /// What of [`Properties::training_cost`] the last layer and the head take, were nothing computed again.
    pub fn last_training_cost(&self, length: usize, batch: usize) -> Cost {
        let rows = self.window_rows(length);
        let facts = self.facts(rows);
        let (forward, backward) = costs(&facts[facts.len() - 1..], batch);
        forward + backward + self.head_cost(rows, batch) * 3
    }

    /// The products of all layers' forward and backward passes.
    fn stack_costs(&self, rows: Rows, batch: usize) -> (Cost, Cost) {
        costs(&self.facts(rows), batch)
    }

    fn head_cost(&self, rows: Rows, batch: usize) -> Cost {
        Head::cost(batch.saturating_mul(rows.latents), self.config.vocab, self.config.dim)
    }

    /// The rows of a session's state after `tokens` tokens.
    pub fn stream_rows(&self, tokens: usize) -> Rows {
        match WindowSchedule::of(&self.config, &self.layers) {
            None => Rows::plain(tokens, 0),
            Some(windows) => windows.window(tokens.max(1)).rows(tokens),
        }
    }

    /// Bytes of a session's state after `tokens` tokens, with so many per element: a number, or what the precision of keys and values
    /// makes of an f32.
    pub fn state_bytes(&self, tokens: usize, each: impl Into<ElementBytes>) -> usize {
        if tokens == 0 {
            return 0;
        }
        let kept = WindowSchedule::of(&self.config, &self.layers)
            .map_or(0, |windows| tokens - windows.window(tokens + 1).start);
        let facts = self.facts(self.stream_rows(tokens));
        let each = each.into();
        let bytes: usize = facts.iter().flat_map(BlockFacts::both).map(|facts| facts.state_bytes(each)).sum();
        bytes + kept * size_of::<u32>()
    }

    /// Most bytes that a session's state takes, at any length, with so many per element.
    pub fn state_limit(&self, each: impl Into<ElementBytes>) -> usize {
        let facts = self.facts(self.window_rows(self.config.context));
        let each = each.into();
        let bytes: usize = facts.iter().flat_map(BlockFacts::both).map(|facts| facts.most_state_bytes(each)).sum();
        let tokens = if self.streams() { 0 } else { self.config.context };
        bytes + tokens * size_of::<u32>()
    }

    /// The earliest position of a stream or window that can influence the output at `position`; where the
    /// model has a history, 0 (the start of its window).
    pub fn earliest(&self, position: usize) -> usize {
        self.reaches.iter().fold(position, |at, reach| reach.earliest(at))
    }

    /// Furthest distance, in tokens, over which an input can influence an output of one pass; `None` where it is not bounded.
    pub fn reach(&self) -> Option<usize> {
        if self.reaches.contains(&Reach::Window) {
            return Some(self.config.context - 1);
        }
        if self.reaches.contains(&Reach::Stream) {
            return None;
        }
        let longest = self.layers.iter().filter_map(LayerSpec::segment).max().unwrap_or(1);
        let far = (self.layers.len() + 2) * (longest + self.config.context);
        (far..far + 2 * longest).map(|position| position - self.earliest(position)).max()
    }

    /// True where a stream is scored in one pass with carried state as in training.
    pub fn streams(&self) -> bool {
        WindowSchedule::of(&self.config, &self.layers).is_none()
    }
}

/// The products of some layers' forward and backward passes.
fn costs(facts: &[BlockFacts], batch: usize) -> (Cost, Cost) {
    let calls = facts.iter().flat_map(BlockFacts::both).flat_map(|facts| &facts.work);
    calls
        .map(|call| call.costs(batch))
        .fold(Default::default(), |sum: (Cost, Cost), (forward, backward)| (sum.0 + forward, sum.1 + backward))
}
