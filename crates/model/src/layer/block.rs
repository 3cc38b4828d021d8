//! One block: mixer and channel sublayer, pre-norm, with residuals.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Carry, Contract, Facts, KeyValuePrecision, LayerContext, LayerState, Mode, Reach, Rows, Windowing};
use crate::channel::AnyChannel;
use crate::config::{LayerSpec, ModelConfig};
use crate::layers::Norm;
use crate::mixer::AnyMixer;
use crate::ops;

/// x = mixer(x); x = channel(x), each with its norm and residual inside.
#[derive(Module, Debug)]
pub struct Block {
    /// Before the mixer.
    pub mixer_norm: Norm,
    /// The mixer.
    pub mixer: AnyMixer,
    /// Before the channel sublayer.
    pub feed_forward_norm: Norm,
    /// The channel sublayer.
    pub feed_forward: AnyChannel,
}

/// The state of a block.
#[derive(Debug, Clone, Default)]
pub struct BlockState {
    /// Of the mixer.
    pub mixer: LayerState,
    /// Of the channel sublayer.
    pub channel: LayerState,
}

/// What a block declares; see [`Facts`].
#[derive(Debug, Clone)]
pub struct BlockFacts {
    /// Of the mixer.
    pub mixer: Facts,
    /// Of the channel sublayer, for the rows that leave the mixer.
    pub channel: Facts,
}

/// The contexts of the two sublayers of a block.
#[derive(Debug, Clone, Copy)]
pub struct BlockContext {
    /// Of the mixer.
    pub mixer: LayerContext,
    /// Of the channel sublayer.
    pub channel: LayerContext,
}

impl Block {
    /// Zeros, with the norms at one.
    pub fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        let norm = || Norm::new(config.norm, config.dim, config.norm_eps, device);
        Self {
            mixer_norm: norm(),
            mixer: layer.kind.build(config, layer, device),
            feed_forward_norm: norm(),
            feed_forward: layer.channel.build(config, layer, device),
        }
    }

    /// `x`: `[B, rows, d]`; returns `[B, rows_after, d]`.
    pub fn forward(
        &self,
        x: Tensor<3>,
        state: Option<&mut BlockState>,
        carry: &mut Carry,
        context: &BlockContext,
    ) -> Tensor<3> {
        let (mixer, channel) = state.map(|state| (&mut state.mixer, &mut state.channel)).unzip();
        let x = self.mixer.forward(x, &self.mixer_norm, mixer, carry, &context.mixer);
        self.feed_forward.forward(x, &self.feed_forward_norm, channel, carry, &context.channel)
    }

    /// The rows that leave the mixer, `[B, rows, d]`, for each of some offsets at which they ask ([`super::Sublayer::mix_at`]).
    pub(crate) fn ask(
        &self,
        x: Tensor<3>,
        offsets: &[isize],
        state: Option<&mut BlockState>,
        context: &BlockContext,
    ) -> Vec<Tensor<3>> {
        let normalised = self.mixer_norm.forward(x.clone());
        let mixed = self.mixer.mix_at(normalised, offsets, state.map(|state| &mut state.mixer), &context.mixer);
        mixed.into_iter().map(|y| ops::add(y, x.clone())).collect()
    }

    /// Single rows of [`Block::ask`] through a channel sublayer that looks at no other row: `[1, rows, d]`.
    pub(crate) fn answer(&self, x: Tensor<3>, context: &BlockContext) -> Tensor<3> {
        let context = LayerContext { rows: Rows::plain(x.dims()[1], 0), ..context.channel };
        self.feed_forward.forward(x, &self.feed_forward_norm, None, &mut Carry::default(), &context)
    }
}

impl BlockState {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.mixer.clear();
        self.channel.clear();
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.mixer.bytes() + self.channel.bytes()
    }
}

impl BlockFacts {
    /// The two sublayers' facts.
    pub fn both(&self) -> [&Facts; 2] {
        [&self.mixer, &self.channel]
    }

    /// The state before the first row.
    pub fn fresh(&self, precision: KeyValuePrecision) -> BlockState {
        let [mixer, channel] = self.both().map(|facts| LayerState::new(&facts.state, precision));
        BlockState { mixer, channel }
    }

    /// The rows that leave the block.
    pub fn rows_after(&self) -> Rows {
        self.channel.rows_after
    }
}

impl LayerSpec {
    /// The layer and the sublayer in it that hold the tensor of this path, and its path within; `None` for what is none's: norms,
    /// embedding, head.
    pub(crate) fn holding<'a, 'b>(layers: &'a [Self], path: &'b str) -> Option<(&'a Self, Contract, &'b str)> {
        let (index, rest) = path.strip_prefix("blocks.")?.split_once('.')?;
        let layer = layers.get(index.parse::<usize>().ok()?)?;
        match rest.split_once('.')? {
            ("mixer", path) => Some((layer, layer.kind.contract(), path)),
            ("feed_forward", path) => Some((layer, layer.channel.contract(), path)),
            _ => None,
        }
    }

    /// What the layer declares for the rows that enter it.
    pub fn facts(&self, config: &ModelConfig, rows: Rows) -> BlockFacts {
        let mixer = (self.kind.contract().facts)(config, self, rows);
        let channel = (self.channel.contract().facts)(config, self, mixer.rows_after);
        BlockFacts { mixer, channel }
    }

    /// How a stream goes on past the training window, by each of the two sublayers.
    pub fn windowing(&self, config: &ModelConfig) -> [Windowing; 2] {
        [self.kind.contract(), self.channel.contract()].map(|contract| (contract.windowing)(config, self))
    }

    /// The latents of a window, where it is cut into history and latents.
    pub fn latents(&self, config: &ModelConfig) -> Option<usize> {
        let count = |windowing: Windowing| match windowing {
            Windowing::Latents { latents, .. } => Some(latents),
            _ => None,
        };
        self.windowing(config).into_iter().find_map(count)
    }

    /// Whether the channel sublayer looks at no other row than the one that it changes.
    pub(crate) fn has_channel_by_rows(&self, config: &ModelConfig) -> bool {
        (self.channel.contract().facts)(config, self, Rows::plain(1, 0)).reach == Reach::Position
    }

    /// See [`super::Options::segment`].
    pub fn segment(&self) -> Option<usize> {
        self.options.segment(self.kind).filter(|segment| *segment > 0)
    }

    /// The contexts of a pass over the rows that enter the layer, and the rows that leave it.
    pub(crate) fn context(&self, config: &ModelConfig, rows: Rows, mode: Mode) -> (BlockContext, Rows) {
        let facts = self.facts(config, rows);
        let of = |rows| LayerContext { mode, layer: self.place, rows };
        (BlockContext { mixer: of(rows), channel: of(facts.mixer.rows_after) }, facts.rows_after())
    }
}
