//! Perceiver V3: compressed history (arXiv 2412.06106, third enhancement; the authors' CompressedDoubleAttention;
//! spec, section 2).
//!
//! Layer 0 as V1; then the h history outputs (heads joined) pass a learned Linear(h -> p) along the
//! sequence, before the output projection, and p rows stand for the history from there on. With fewer
//! than h = n - l history rows they are right-aligned in the compression weight. Later layers: p x p
//! bidirectional, latents over p + l. Rows `[h + l] -> [p + l]`. Score entries h^2 + n l in layer 0,
//! p^2 + l (p + l) in each later one. Only the last l rows are scored. The history's attention has no
//! dropout (authors' code). Reach: the window.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::history::{self, Attended, HistoryRule, Latents};
use super::projection::{Projection, latents};
use crate::config::{LayerSpec, ModelConfig};
use crate::cost::LinearCall;
use crate::layer::{Carry, Facts, FlatKey, LayerContext, LayerState, Options, Place, Rows, Scale, Sublayer, Windowing};
use crate::layers::Norm;
use crate::ops::{self, Pattern};

/// The residual of the layer that compresses the history, the first of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CompressionResidual {
    /// The last l rows for the latents, none for the compressed rows.
    Aligned,
    /// The first p + l rows of the input, which misaligns the latents (authors' code).
    FirstRows,
}

/// The keys of `[model.perceiver-v3]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PerceiverV3Options {
    /// How the window is cut.
    #[serde(flatten)]
    pub window: Latents,
    /// Compressed history length p.
    pub compressed: usize,
    /// Residual of the compressing layer.
    pub compression_residual: CompressionResidual,
}

impl Default for PerceiverV3Options {
    fn default() -> Self {
        Self { window: Latents::default(), compressed: 256, compression_residual: CompressionResidual::Aligned }
    }
}

impl PerceiverV3Options {
    /// The compressed history is no longer than the history.
    fn fitted(&self, window: Latents, compressed: usize, context: usize) -> Self {
        let history = (context - window.latents).max(1);
        Self { window, compressed: compressed.min(history), ..*self }
    }
}

impl Options for PerceiverV3Options {
    const FLAT: &'static [FlatKey] = &[
        Latents::FLAT[0],
        Latents::FLAT[1],
        FlatKey { name: "compressed", after: "history_segments", anywhere: false, later: false },
        FlatKey { name: "compression_residual", after: "compressed", anywhere: false, later: false },
    ];

    fn reduced(&self, scale: &Scale) -> Self {
        self.fitted(self.window.reduced(scale), scale.part(self.compressed), scale.context)
    }

    fn at_context(&self, context: usize) -> Self {
        self.fitted(self.window.at_context(context), self.compressed, context)
    }
}

/// Linear(h -> p) along the sequence.
#[derive(Module, Debug)]
pub struct Compression {
    /// `[h, p]`.
    pub weight: Param<Tensor<2>>,
    /// `[p]`.
    pub bias: Param<Tensor<1>>,
}

impl Compression {
    /// `x`: `[B, r, d]` with r <= h; returns `[B, p, d]`.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let ([_, rows, _], [capacity, _]) = (x.dims(), self.weight.dims());
        let weight = self.weight.val().narrow(0, capacity - rows, rows);
        ops::linear(x.swap_dims(1, 2), weight, Some(self.bias.val())).swap_dims(1, 2)
    }
}

/// Compressed history.
#[derive(Module, Debug)]
pub struct PerceiverV3 {
    /// Projections.
    pub projection: Projection,
    /// In the first layer of the kind only.
    pub compression: Option<Compression>,
    compressed: usize,
    #[module(skip)]
    residual: CompressionResidual,
    dropout: f32,
}

impl PerceiverV3 {
    fn mix(&self, x: Tensor<3>, state: Option<&mut LayerState>, context: &LayerContext) -> Tensor<3> {
        let rule = HistoryRule { pattern: Pattern::Everything, dropout: None };
        let dropout = context.dropout(self.dropout, Place::Attention);
        let attended = history::attend(&self.projection, x, state, context, rule, dropout);
        let history = match &self.compression {
            Some(compression) => attended.history.map(|history| compression.forward(history)),
            None => attended.history,
        };
        self.projection.output.forward(history::join(Attended { history, latents: attended.latents }))
    }

    fn residual(&self, x: Tensor<3>, rows: Rows) -> Tensor<3> {
        if self.compression.is_none() || rows.history == 0 {
            return x;
        }
        let [batch, _, dim] = x.dims();
        match self.residual {
            // With a history shorter than p there are no such rows; a short prompt is aligned.
            CompressionResidual::FirstRows if rows.history >= self.compressed => {
                x.narrow(1, 0, self.compressed + rows.latents)
            }
            _ => {
                let none = Tensor::zeros([batch, self.compressed, dim], (&x.device(), x.dtype()));
                Tensor::cat(vec![none, latents(x, rows)], 1)
            }
        }
    }
}

/// Compressed rows have no positions of their own: they take the p before the latents, for which the latents move up by p.
fn rows_after(layer: &LayerSpec, rows: Rows) -> Rows {
    let compressed = layer.options.perceiver_v3.compressed;
    match (layer.first_of_kind, rows.history) {
        (false, _) => rows,
        (true, 0) => Rows { start: rows.start + compressed, ..rows },
        (true, _) => Rows { history: compressed, latents: rows.latents, start: rows.first_latent() },
    }
}

impl Sublayer for PerceiverV3 {
    type Options = PerceiverV3Options;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        let PerceiverV3Options { window, compressed, compression_residual: residual } = layer.options.perceiver_v3;
        let capacity = config.context - window.latents;
        let compression = (layer.first_of_kind && capacity > 0).then(|| Compression {
            weight: Param::from_tensor(Tensor::zeros([capacity, compressed], device)),
            bias: Param::from_tensor(Tensor::zeros([compressed], device)),
        });
        Self {
            projection: Projection::new(config, layer, device),
            compression,
            compressed,
            residual,
            dropout: config.attention_dropout,
        }
    }

    fn validate(config: &ModelConfig, layer: &LayerSpec) -> Result<()> {
        let PerceiverV3Options { window, compressed, .. } = layer.options.perceiver_v3;
        window.validate(config)?;
        let capacity = config.context - window.latents;
        if compressed == 0 || (capacity > 0 && compressed > capacity) {
            return Err(Fault::usage(format!(
                "model.compressed = {compressed} is not in 1 ..= model.context - model.latents = {capacity}"
            ))
            .hint("the history of context - latents rows is compressed to that many, e.g. context / 4"));
        }
        Ok(())
    }

    /// The compression's rows are the channels: it reads the history's outputs as columns. The output projection runs on
    /// the compressed rows.
    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
        let PerceiverV3Options { window, compressed, .. } = layer.options.perceiver_v3;
        let after = rows_after(layer, rows);
        let most = if layer.first_of_kind { config.context } else { compressed + window.latents };
        let scores = rows.history * rows.history;
        let mut facts = history::facts(config, rows, (Pattern::Everything, scores), most, after);
        let capacity = config.context - window.latents;
        if layer.first_of_kind && capacity > 0 {
            facts.parameters += ((capacity + 1) * compressed) as u64;
        }
        if layer.first_of_kind && rows.history > 0 {
            let channels = config.heads * config.head_dim();
            let compression = LinearCall { rows: channels, input: rows.history, output: compressed };
            facts.work.push(compression.into());
            facts.activations.kept += (rows.history * config.dim) as u64;
        }
        facts
    }

    /// The compression adds h rows.
    fn initial_std(config: &ModelConfig, path: &str, shape: &[usize]) -> f64 {
        match path {
            "compression.weight" => (shape[0] as f64).powf(-0.5),
            _ => config.initial_std(path),
        }
    }

    /// The authors' residual adds to each latent an input row that a stream has not kept.
    fn windowing(_config: &ModelConfig, layer: &LayerSpec) -> Windowing {
        let PerceiverV3Options { window, compression_residual, .. } = layer.options.perceiver_v3;
        match compression_residual {
            CompressionResidual::Aligned => window.windowing(),
            CompressionResidual::FirstRows => Windowing::Latents { latents: window.latents, fill: window.latents },
        }
    }

    /// The authors' residual, whatever the schedule is.
    fn paper(config: &mut ModelConfig) {
        config.mixers.perceiver_v3.compression_residual = CompressionResidual::FirstRows;
    }

    fn paper_names(module: &str) -> &'static [&'static str] {
        match module {
            "compression" => &["projection_hist"],
            _ => history::paper_names(module),
        }
    }

    fn forward(
        &self,
        x: Tensor<3>,
        norm: &Norm,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        let mixed = self.mix(norm.forward(x.clone()), state, context);
        ops::add(mixed, self.residual(x, context.rows))
    }
}
