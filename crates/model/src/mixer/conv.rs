//! Causal depthwise convolution: the shortest memory there is, as a baseline and as an example of a mixer.
//!
//! y_t = sum over i < w of taps_i * x_(t - i), channel by channel, with zeros before the start (the depthwise part of
//! "Pay Less Attention with Lightweight and Dynamic Convolutions", arXiv 1901.10430).
//!
//! Shapes: `[B, T, d] -> [B, T, d]`, any T. Cost per token w d. State: the last w - 1 normalised rows. Reach of L layers:
//! L (w - 1) tokens back. Every position is scored. It knows no positions.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};
use percept_kernels::{Convolution, multiply_add};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{LayerSpec, ModelConfig};
use crate::cost::Call;
use crate::decoder::{BuildStep, Pass, RowNorm, Step, elements, parts};
use crate::layer::{
    Activations, Carry, Facts, LayerContext, LayerState, Options, Reach, Rows, Scale, StateTensor, Sublayer,
};
use crate::layers::Norm;
use crate::ops;

/// The keys of `[model.conv]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConvOptions {
    /// Positions that an output sees, its own included.
    pub width: usize,
}

impl Default for ConvOptions {
    fn default() -> Self {
        Self { width: 7 }
    }
}

impl Options for ConvOptions {
    fn reduced(&self, _scale: &Scale) -> Self {
        Self { width: self.width.min(4) }
    }
}

/// Depthwise convolution.
#[derive(Module, Debug)]
pub struct Conv {
    /// `[w, d]`; row i weighs the position i back.
    pub taps: Param<Tensor<2>>,
}

/// Name of the kept rows.
const ROWS: &str = "rows";

impl Sublayer for Conv {
    type Options = ConvOptions;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        Self { taps: Param::from_tensor(Tensor::zeros([layer.options.conv.width, config.dim], device)) }
    }

    fn validate(_config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        match layer.options.conv.width {
            width @ (0 | 1) => Err(Fault::usage(format!("model.conv.width = {width} looks at no other position"))
                .hint("it counts the position itself; set it to at least 2, e.g. 7")),
            _ => Ok(()),
        }
    }

    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
        let (width, channels) = (layer.options.conv.width, config.dim);
        let cost = Convolution { batch: 1, rows: rows.len(), channels, width }.cost();
        let row = (rows.len() * channels) as u64;
        Facts {
            parameters: (width * channels) as u64,
            work: vec![Call::Other { forward: cost, backward: cost * 2 }],
            activations: Activations { kept: 2 * row, unfused: (width as u64 - 1) * 2 * row, flow: 3 * row },
            state: vec![StateTensor::rows(ROWS, (rows.len().min(width - 1), width - 1), [channels])],
            reach: Reach::Last(width),
            ..Facts::of(rows)
        }
    }

    /// A tap is one of w that are added, not one of the d of a matrix.
    fn initial_std(_config: &ModelConfig, _path: &str, shape: &[usize]) -> f64 {
        (shape[0] as f64).powf(-0.5)
    }

    fn mix(
        &self,
        x: Tensor<3>,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        _context: &LayerContext,
    ) -> Tensor<3> {
        let taps = self.taps.val();
        let Some(state) = state else { return ops::convolution(x, taps) };
        let (new, before) = (x.dims()[1], state.row_count(ROWS));
        let all = state.push_rows(ROWS, x, taps.dims()[0] - 1);
        ops::convolution(all, taps).narrow(1, before, new)
    }

    fn step<'a>(&'a self, norm: &'a Norm) -> Option<BuildStep<'a>> {
        Some(Box::new(move |_, _| Box::new(ConvStep { norm: RowNorm::of(norm), taps: elements(&self.taps) })))
    }
}

#[derive(Debug)]
struct ConvStep {
    norm: RowNorm,
    taps: Vec<f32>,
}

impl Step for ConvStep {
    fn bytes(&self) -> usize {
        self.taps.len() * size_of::<f32>()
    }

    fn scratch(&self) -> usize {
        self.norm.width()
    }

    fn run(&self, pass: &mut Pass<'_, '_>, x: &mut [f32]) {
        let dim = self.norm.width();
        let [normalised] = parts(pass.scratch, [pass.streams.len() * dim]);
        self.norm.apply(x, normalised);
        for (row, (x, new)) in x.chunks_exact_mut(dim).zip(normalised.chunks_exact(dim)).enumerate() {
            let position = pass.streams.position(row);
            let kept = &mut pass.streams.buffers_mut(row)[0];
            for (back, taps) in self.taps.chunks_exact(dim).enumerate().take(position + 1 - kept.first()) {
                multiply_add(taps, if back == 0 { new } else { kept.row(position - back) }, x);
            }
            kept.row_mut(position).copy_from_slice(new);
        }
    }
}
