//! A language model as a subject of the checks.

use std::sync::Arc;

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, Tensor};
use percept_fault::{Fault, Result};
use percept_model::config::LayerSpec;
use percept_model::layer::Reach;
use percept_model::properties::Properties;
use percept_model::session::WindowSchedule;
use percept_model::{
    Batch, InferenceModel, LanguageModel, Mode, ModelConfig, Recompute, Rows, Session, Trainable, parameters,
};

use super::{Row, Subject, SubjectStream};
use percept_score::is_bounded;

/// A language model to check, computed on the CPU in f64, so that a fault stands out from rounding, and beside it in f32
/// on the device that is to be used.
pub struct ModelSubject {
    name: String,
    trained: LanguageModel,
    model: Arc<InferenceModel>,
    properties: Properties,
    windows: Option<WindowSchedule>,
    /// Longest window that is tried.
    window: usize,
    single: Option<Box<ModelSubject>>,
}

impl ModelSubject {
    /// Checks these weights; single precision is computed on `device`.
    ///
    /// # Errors
    /// A configuration that the model crate refuses.
    pub fn new(name: impl Into<String>, model: &LanguageModel, device: &Device) -> Result<Self> {
        let name = name.into();
        let single = Self::with_precision(name.clone(), model, (device, DType::F32))?;
        Ok(Self { single: Some(Box::new(single)), ..Self::with_precision(name, model, (&Device::flex(), DType::F64))? })
    }

    /// Checks random weights for a configuration.
    ///
    /// # Errors
    /// As [`ModelSubject::new`].
    pub fn random(name: impl Into<String>, config: &ModelConfig, seed: u64, device: &Device) -> Result<Self> {
        Self::new(name, &LanguageModel::new(config, seed, &Device::flex())?, device)
    }

    fn with_precision(name: String, model: &LanguageModel, (device, dtype): (&Device, DType)) -> Result<Self> {
        let weights = parameters::collect(model);
        let zeros = LanguageModel::zeros(model.config(), &device.clone().autodiff())?;
        let trained = parameters::map(zeros, |path, _, tensor| {
            let tensor = weights.get(path).map_or(tensor, |weight| weight.data.clone());
            Tensor::from_data(tensor.into_data().convert_dtype(dtype), (device, dtype))
        });
        let windows = WindowSchedule::of(model.config(), model.layers());
        Ok(Self {
            name,
            model: Arc::new(InferenceModel::from(&trained)),
            properties: Properties::of(model.config())?,
            window: window(&trained, windows.as_ref()),
            windows,
            trained,
            single: None,
        })
    }

    fn number_bytes(&self) -> usize {
        self.model.head_weight().dtype().size()
    }

    fn config(&self) -> &ModelConfig {
        self.model.config()
    }

    /// ln p of the scorable rows of windows with these rows.
    fn rows(&self, tokens: &[u32], batch: usize, rows: Rows) -> Result<Vec<Vec<Row>>> {
        let logits = self.model.forward(tokens, batch, rows)?;
        let [_, scored, vocab] = logits.dims();
        let values: Vec<f64> = log_softmax(logits, 2).into_data().iter::<f64>().collect();
        Ok(values.chunks(scored * vocab).map(|window| window.chunks(vocab).map(<[f64]>::to_vec).collect()).collect())
    }

    /// The window that ends with the last of `tokens` tokens of a stream: where it starts, and its rows.
    fn window_at(&self, tokens: usize) -> (usize, Rows) {
        match self.windows {
            None => (0, Rows::plain(tokens, 0)),
            Some(windows) => {
                let window = windows.window(tokens);
                (window.start, window.rows(tokens))
            }
        }
    }

    fn last_row(&self, tokens: &[u32]) -> Result<Row> {
        let (start, rows) = self.window_at(tokens.len());
        let last = self.rows(&tokens[start..], 1, rows)?.pop().and_then(|mut window| window.pop());
        last.ok_or_else(|| Fault::internal("a window without rows"))
    }
}

/// The context; where every layer is local and nothing depends on it, three segments, after which all repeats.
fn window(model: &LanguageModel, windows: Option<&WindowSchedule>) -> usize {
    let (config, layers) = (model.config(), model.layers());
    let longest = layers.iter().filter_map(LayerSpec::segment).max().unwrap_or(config.context);
    match windows.is_none() && layers.iter().all(|layer| is_bounded(config, layer)) {
        true => config.context.min(3 * longest),
        false => config.context,
    }
}

impl Subject for ModelSubject {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn vocab(&self) -> usize {
        self.config().vocab
    }

    fn window(&self) -> usize {
        self.window
    }

    fn layers(&self) -> usize {
        self.config().depth
    }

    fn borders(&self, length: usize) -> Vec<usize> {
        let context = self.config().context;
        let mut borders: Vec<usize> = vec![context];
        for segment in self.properties.layers().iter().filter_map(LayerSpec::segment) {
            borders.extend((1..).map(|index| index * segment).take_while(|&at| at < length));
        }
        if let Some(windows) = self.windows {
            let latents = windows.latents;
            borders.extend([latents, context.saturating_sub(latents), length.saturating_sub(latents)]);
            borders.extend((1..length).filter(|&tokens| windows.window(tokens) != windows.window(tokens + 1)));
        }
        borders.retain(|&at| at > 0 && at < length);
        borders
    }

    fn scored_from(&self, length: usize) -> usize {
        self.properties.window_rows(length).history
    }

    fn forward(&self, windows: &[&[u32]]) -> Result<Vec<Vec<Row>>> {
        let length = windows.first().map_or(0, |window| window.len());
        self.rows(&windows.concat(), windows.len(), self.properties.window_rows(length))
    }

    fn movable(&self) -> Option<usize> {
        let facts = self.properties.facts(self.properties.window_rows(self.window));
        // What works inside each position knows none.
        let bound = facts.iter().filter(|facts| facts.channel.reach != Reach::Position).count();
        let all = facts.iter().map(|facts| facts.mixer.movable);
        all.collect::<Option<Vec<usize>>>()?.into_iter().max().filter(|_| bound == 0)
    }

    fn forward_from(&self, window: &[u32], start: usize) -> Result<Vec<Row>> {
        Ok(self.rows(window, 1, Rows::plain(window.len(), start))?.pop().unwrap_or_default())
    }

    fn influence(&self, window: &[u32], position: usize) -> Result<Option<Vec<f64>>> {
        let model = &self.trained;
        let rows = self.properties.window_rows(window.len());
        let embedded = model.embed(window, 1).inner();
        let leaf = Tensor::<3>::from_inner(embedded).require_grad();
        let hidden = model.norm.forward(model.run_blocks(leaf.clone(), None, rows, Mode::Evaluation));
        let row = model.logits(hidden.narrow(1, position - rows.history, 1));
        // Unequal weights, so that no symmetry of the logits can cancel.
        let values: Vec<f64> = (0..self.vocab()).map(|token| (token as f64 * 1.3 + 0.7).sin()).collect();
        let weights = Tensor::<1>::from_data(values.as_slice(), (&row.device(), row.dtype()));
        let gradients = (row * weights.unsqueeze()).sum().backward();
        let Some(gradient) = leaf.grad(&gradients) else { return Ok(Some(vec![0.0; window.len()])) };
        let values: Vec<f64> = gradient.into_data().iter::<f64>().collect();
        let largest = |row: &[f64]| row.iter().fold(0.0, |worst: f64, value| worst.max(value.abs()));
        Ok(Some(values.chunks(self.config().dim).map(largest).collect()))
    }

    fn stream_reference(&self, tokens: &[u32], positions: &[usize]) -> Result<Vec<Row>> {
        if self.windows.is_some() {
            return positions.iter().map(|&at| self.last_row(&tokens[..=at])).collect();
        }
        let rows = self.rows(tokens, 1, Rows::plain(tokens.len(), 0))?.pop().unwrap_or_default();
        Ok(positions.iter().filter_map(|&at| rows.get(at).cloned()).collect())
    }

    fn stream(&self) -> Result<Box<dyn SubjectStream<'_> + '_>> {
        Ok(Box::new(Session::new(self.model.clone())))
    }

    fn load(&self, saved: &[u8]) -> Result<Box<dyn SubjectStream<'_> + '_>> {
        Ok(Box::new(Session::from_bytes(saved, self.model.clone())?))
    }

    fn state_bytes(&self, tokens: usize) -> usize {
        self.properties.state_bytes(tokens, self.number_bytes())
    }

    fn state_limit(&self) -> usize {
        self.properties.state_limit(self.number_bytes())
    }

    fn earliest(&self, position: usize) -> usize {
        let (start, _) = self.window_at(position + 1);
        start + self.properties.earliest(position - start)
    }

    fn losses(&self, window: &[u32], targets: &[u32]) -> Result<Vec<(String, f64)>> {
        let batch = Batch { tokens: window.to_vec(), targets: targets.to_vec(), rows: 1, length: window.len() };
        let from = self.scored_from(window.len());
        let rows = self.forward(&[window])?.pop().unwrap_or_default();
        let by_rows = rows.iter().zip(&targets[from..]).map(|(row, &target)| -row[target as usize]).sum();
        let train = |recompute| self.trained.loss_and_gradients(&batch, Mode::Evaluation, recompute, 1.0);
        Ok(vec![
            ("the output rows".into(), by_rows),
            ("evaluation".into(), self.model.evaluate(&batch)?.nll),
            ("training".into(), train(Recompute::Keep)?.loss),
            ("training with recomputation".into(), train(Recompute::Blocks)?.loss),
        ])
    }

    fn in_single_precision(&self) -> Option<&dyn Subject> {
        self.single.as_deref().map(|single| single as &dyn Subject)
    }

    /// Sessions give f32.
    fn tolerance(&self) -> f64 {
        1e-5
    }
}

impl<'a> SubjectStream<'a> for Session {
    fn feed(&mut self, tokens: &[u32]) -> Result<Row> {
        Ok(Session::feed(self, tokens)?.into_iter().map(f64::from).collect())
    }

    fn fork(&self) -> Box<dyn SubjectStream<'a> + 'a> {
        Box::new(Session::fork(self))
    }

    fn save(&self) -> Result<Vec<u8>> {
        self.to_bytes()
    }

    fn state_bytes(&self) -> usize {
        Session::state_bytes(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Effort, reduced, verify};
    use super::*;

    #[test]
    fn another_result_in_single_precision_is_caught() {
        let config = reduced(&ModelConfig { vocab: 61, depth: 1, ..ModelConfig::default() }).unwrap();
        let [mut subject, other] =
            [1, 2].map(|seed| ModelSubject::random("one", &config, seed, &Device::flex()).unwrap());
        subject.single = other.single;
        assert_eq!(verify(&subject, Effort::SAMPLED, &mut |_| ()).unwrap().failures(), ["single-precision"]);
    }
}
