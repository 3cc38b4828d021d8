//! What the kinds of Combiner have in common: one module, which a kind gives its keys and its sets.

use std::fmt::Debug;
use std::marker::PhantomData;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};

use super::core::Core;
use super::cover::Cover;
use super::summary_key::SummaryKey;
use super::{CombinerPositions, step};
use crate::config::{LayerSpec, ModelConfig, RotaryLayers};
use crate::decoder::BuildStep;
use crate::layer::{Carry, Facts, LayerContext, LayerState, Options, Rows, Sublayer, Windowing};
use crate::layers::Norm;
use crate::mixer::projection::Projection;

/// A kind: its keys, and which positions and sets it reads.
pub trait Kind: Clone + Debug + Send + Sync + 'static {
    /// Its keys.
    type Options: Options;

    /// The keys of its table in a layer.
    fn options(layer: &LayerSpec) -> &Self::Options;

    /// What it reads.
    fn cover(config: &ModelConfig, options: &Self::Options) -> Cover;

    /// How it knows positions.
    fn positions(options: &Self::Options) -> CombinerPositions;

    /// Where the key of a summary comes from.
    fn keys(_options: &Self::Options) -> Keys {
        Keys::Largest
    }

    /// Refuses keys that it cannot work with.
    fn validate(_config: &ModelConfig, _options: &Self::Options) -> Result<()> {
        Ok(())
    }
}

/// The query and the key of a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// The largest of its members by channel.
    Largest,
    /// Those of the position that the summary is for.
    Own,
    /// The query of that position, and the keys weighed as the values are.
    Weighted,
    /// The query of that position, and a projection of the value: [`SummaryKey`].
    Projected,
}

/// Attention to some positions, and to summaries of sets of the others.
#[derive(Module, Debug)]
pub struct Combiner<K: Kind> {
    /// Projections.
    pub projection: Projection,
    /// Where keys of summaries are projected.
    pub summary: Option<SummaryKey>,
    #[module(skip)]
    core: Core,
    #[module(skip)]
    kind: PhantomData<K>,
}

impl<K: Kind> Combiner<K> {
    /// From queries, keys and values `[B, T, heads, e]` before any rotation, and the input `[B, T, d]`, to the heads' outputs
    /// `[B, T, H, e]`; states and `start` as in [`Sublayer::mix`].
    pub fn attend(
        &self,
        heads: [Tensor<4>; 3],
        input: Tensor<3>,
        state: Option<&mut LayerState>,
        start: usize,
    ) -> Tensor<4> {
        self.core.combine(heads, self.summary.as_ref().map(|summary| (summary, input)), state, start)
    }

    fn core(config: &ModelConfig, layer: &LayerSpec) -> Core {
        let options = K::options(layer);
        Core::new(config, layer, (K::cover(config, options), K::keys(options)), K::positions(options))
    }
}

impl<K: Kind> Sublayer for Combiner<K> {
    type Options = K::Options;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        let core = Self::core(config, layer);
        // Rotations are left to the direct terms.
        let unrotated = ModelConfig { rotary: RotaryLayers::None, ..config.clone() };
        Self {
            projection: Projection::new(&unrotated, layer, device),
            summary: (core.keys == Keys::Projected).then(|| SummaryKey::new(config, device)),
            core,
            kind: PhantomData,
        }
    }

    fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        K::validate(config, K::options(layer))?;
        // Sets begin with the window, so no other layer may cut it.
        match config.layer_specs()?.iter().find(|other| other.latents(config).is_some()) {
            None => Ok(()),
            Some(other) => Err(Fault::usage(format!(
                "model.layers: `{}` does not go with `{}`, which cuts the window into history and latents",
                layer.kind.name(),
                other.kind.name()
            ))
            .hint("the sets of Combiner begin with the window; combine it with layers without a history")),
        }
    }

    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
        Self::core(config, layer).facts(config, rows)
    }

    /// The sets of a window begin with it: past the context, windows are run again.
    fn windowing(config: &ModelConfig, _layer: &LayerSpec) -> Windowing {
        Windowing::Sliding { stride: config.context.div_ceil(4) }
    }

    fn mix(
        &self,
        x: Tensor<3>,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        let ([batch, rows, _], start) = (x.dims(), context.rows.start);
        let x = self.core.placed(x, start);
        let q = self.projection.queries(x.clone(), start);
        let (k, v) = self.projection.keys_values(x.clone(), start);
        let [_, _, heads, width] = q.dims();
        let y = self.attend([q, k, v], x, state, start);
        self.projection.output.forward(y.reshape([batch, rows, heads * width]))
    }

    fn step<'a>(&'a self, norm: &'a Norm) -> Option<BuildStep<'a>> {
        Some(step::build(norm, &self.projection, self.summary.as_ref(), self.core))
    }
}
