//! Language models as scorers.

use std::sync::Arc;

use percept_fault::Result;
use percept_model::config::LayerSpec;
use percept_model::language_model::window_rows;
use percept_model::{Batch, InferenceModel, KeyValuePrecision, ModelConfig, Rows, Session, WindowSchedule};

use super::{Protocol, Scorer, Stream};

/// A language model to score.
pub struct ModelScorer {
    name: String,
    model: Arc<InferenceModel>,
}

impl ModelScorer {
    /// `name` is what reports call the model; autodiff is left behind.
    pub fn new(name: impl Into<String>, model: impl Into<InferenceModel>) -> Self {
        Self { name: name.into(), model: Arc::new(model.into()) }
    }
}

impl Scorer for ModelScorer {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn scorable(&self, length: usize) -> usize {
        window_rows(self.model.config(), self.model.layers(), length).latents
    }

    /// The context, except where the state stays the same and positions are only relative: such a model has no end.
    fn longest(&self) -> usize {
        let (config, layers) = (self.model.config(), self.model.layers());
        let endless =
            layers.iter().all(|layer| is_bounded(config, layer)) && WindowSchedule::of(config, layers).is_none();
        if endless { usize::MAX } else { config.context }
    }

    fn distributions(&self, batch: &Batch, visit: &mut dyn FnMut(&[f32])) -> Result<()> {
        self.model.distributions(batch, visit)
    }

    fn score_windows(&self, batch: &Batch) -> Result<Vec<f64>> {
        Ok(self.model.losses(batch)?.into_iter().map(f64::from).collect())
    }

    fn stream(&self) -> Result<Box<dyn Stream + '_>> {
        Ok(Box::new(Session::new(self.model.clone())))
    }
}

impl Stream for Session {
    fn feed(&mut self, tokens: &[u32]) -> Result<()> {
        Session::feed(self, tokens).map(|_| ())
    }

    /// Where keys and values are rounded, token by token, so that each meets rounded ones as in a text that is written.
    fn score(&mut self, tokens: &[u32]) -> Result<Vec<f64>> {
        let at_once = match self.model().key_value_precision() {
            KeyValuePrecision::F32 => tokens.len().max(1),
            KeyValuePrecision::Bf16 => 1,
        };
        let mut losses = Vec::with_capacity(tokens.len());
        for tokens in tokens.chunks(at_once) {
            losses.extend(Session::score(self, tokens)?.into_iter().map(f64::from));
        }
        Ok(losses)
    }

    fn fork(&self) -> Box<dyn Stream + '_> {
        Box::new(Session::fork(self))
    }
}

/// Whether the state of a layer stays the same however long the context is.
pub fn is_bounded(config: &ModelConfig, layer: &LayerSpec) -> bool {
    layer.facts(config, Rows::plain(1, 0)).both().iter().all(|facts| facts.reach.is_constant())
}

impl Protocol {
    /// The protocol that suits a model: a stream where the state does not grow with the context (LLP) or the model has
    /// a rule for going on past its window (history/latent split), else sliding windows of the context and half of it.
    ///
    /// # Errors
    /// A usage fault where the configuration is wrong.
    pub fn suited_to(config: &ModelConfig) -> Result<Self> {
        let streams =
            config.layer_specs()?.iter().all(|layer| layer.latents(config).is_some() || is_bounded(config, layer));
        Ok(if streams {
            Self::Stream
        } else {
            Self::SlidingWindow { window: config.context, stride: config.context.div_ceil(2) }
        })
    }
}
