//! Loss and gradients of a masked batch.

use burn::tensor::{Device, Tensor};
use percept_fault::{Fault, Result};

use super::{Encoder, EncoderConfig, MaskedBatch, Padding};
use crate::gradients::{Gradients, Recompute};
use crate::language_model::number;
use crate::layer::Mode;
use crate::parameters::Tensors;
use crate::role::Role;
use crate::trainable::{BatchSize, Learned, Trainable};

/// The loss is the sum of -ln p over the positions that are asked. There is no dropout.
impl Trainable for Encoder {
    type Batch = MaskedBatch;
    type Config = EncoderConfig;

    fn fresh(config: &EncoderConfig, seed: u64, device: &Device) -> Result<Self> {
        Self::new(config, seed, device)
    }

    fn blank(config: &EncoderConfig, device: &Device) -> Result<Self> {
        Self::zeros(config, device)
    }

    fn config(&self) -> &EncoderConfig {
        self.config()
    }

    /// Padding is no input.
    fn size(&self, batch: &MaskedBatch) -> BatchSize {
        BatchSize { inputs: batch.sequences.lengths.iter().sum(), targets: batch.asked.len() }
    }

    fn loss_and_gradients(&self, batch: &MaskedBatch, _: Mode, recompute: Recompute, scale: f32) -> Result<Learned> {
        batch.validate(self.config())?;
        if !self.device().is_autodiff() {
            return Err(Fault::internal("gradients need a model on an autodiff device"));
        }
        if batch.asked.is_empty() {
            return Ok(Learned::default());
        }
        let padding = self.padding(&batch.sequences);
        let (loss, gradients) = match recompute {
            Recompute::Keep => self.at_once(batch, &padding, scale),
            Recompute::Blocks => self.by_layer(batch, &padding, scale),
        };
        Ok(Learned { loss, gradients, buffers: Tensors::new() })
    }

    /// Words, positions and types are tables of vectors: no decay.
    fn role(&self, path: &str, shape: &[usize]) -> Role {
        match path.strip_prefix("embeddings.") {
            Some(_) => Role::Undecayed,
            None => Role::by_shape(shape),
        }
    }
}

impl Encoder {
    fn at_once(&self, batch: &MaskedBatch, padding: &Padding, scale: f32) -> (f64, Gradients) {
        let x = self.layers.iter().fold(self.embed(&batch.sequences), |x, layer| layer.forward(x, padding));
        let loss = self.loss_at(self.finished(x), batch);
        let nll = number(loss.clone().inner());
        let mut gradients = Gradients::default();
        gradients.collect(self, "", &mut (loss * scale).backward());
        (nll, gradients)
    }

    /// Each layer runs again from its kept input.
    fn by_layer(&self, batch: &MaskedBatch, padding: &Padding, scale: f32) -> (f64, Gradients) {
        let embedded = self.embed(&batch.sequences);
        let (mut x, mut inputs) = (embedded.clone().inner(), Vec::with_capacity(self.layers.len()));
        for layer in &self.for_inference().layers {
            inputs.push(x.clone());
            x = layer.forward(x, padding);
        }
        let leaf = Tensor::<3>::from_inner(x).require_grad();
        let loss = self.loss_at(self.finished(leaf.clone()), batch);
        let nll = number(loss.clone().inner());
        let mut gradients = Gradients::default();
        let mut graph = (loss * scale).backward();
        let mut upstream = leaf.grad_remove(&mut graph);
        gradients.collect(self, "", &mut graph);
        for (index, input) in inputs.into_iter().enumerate().rev() {
            let Some(dy) = upstream else { break };
            let leaf = Tensor::<3>::from_inner(input).require_grad();
            let y = self.layers[index].forward(leaf.clone(), padding);
            let mut graph = (y * Tensor::from_inner(dy)).sum().backward();
            upstream = leaf.grad_remove(&mut graph);
            gradients.collect(&self.layers[index], &format!("layers.{index}"), &mut graph);
        }
        if let Some(dx) = upstream {
            let mut graph = (embedded * Tensor::from_inner(dx)).sum().backward();
            gradients.collect(&self.embeddings, "embeddings", &mut graph);
        }
        (nll, gradients)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LayerKind, NormPlace, Sequences};
    use super::*;
    use crate::ops::elements;

    fn model(layer: LayerKind, norm_place: NormPlace) -> Encoder {
        let config = EncoderConfig {
            layer,
            norm_place,
            vocab: 13,
            dim: 16,
            depth: 2,
            heads: 2,
            context: 9,
            types: 1,
            conv_width: 5,
            conv_group: 4,
            init_std: 0.2,
            ..EncoderConfig::default()
        };
        Encoder::new(&config, 3, &Device::default().autodiff()).unwrap()
    }

    fn models() -> [Encoder; 2] {
        [model(LayerKind::Groupbert, NormPlace::Before), model(LayerKind::Bert, NormPlace::After)]
    }

    fn batch(sequences: &[&[u32]]) -> MaskedBatch {
        let sequences = Sequences::of(sequences);
        let asked = vec![1, sequences.rows + 2, sequences.rows];
        MaskedBatch { sequences, asked, labels: vec![4, 5, 6] }
    }

    fn learned(model: &Encoder, batch: &MaskedBatch, recompute: Recompute) -> Learned {
        model.loss_and_gradients(batch, Mode::Evaluation, recompute, 0.5).unwrap()
    }

    /// The largest difference of two sets of gradients, of the same weights.
    fn distance(a: &Gradients, b: &Gradients) -> f32 {
        assert_eq!(a.0.keys().collect::<Vec<_>>(), b.0.keys().collect::<Vec<_>>());
        let pairs = a.0.values().zip(b.0.values());
        pairs.map(|(a, b)| (a.clone() - b.clone()).abs().max().into_scalar::<f32>()).fold(0.0, f32::max)
    }

    #[test]
    fn layers_that_run_again_give_the_same_gradients() {
        for model in models() {
            let batch = batch(&[&[1, 2, 3, 4, 5], &[6, 7, 8]]);
            let [kept, again] = [Recompute::Keep, Recompute::Blocks].map(|way| learned(&model, &batch, way));
            assert_eq!(kept.loss, again.loss);
            assert_eq!(kept.gradients.0.len(), crate::parameters::collect(&model).len());
            assert!(distance(&kept.gradients, &again.gradients) < 1e-6);
        }
    }

    #[test]
    fn padding_changes_neither_loss_nor_gradients() {
        for model in models() {
            let long: &[u32] = &[1, 2, 3, 4, 5, 9, 9, 1];
            let together = learned(&model, &batch(&[long, &[6, 7, 8]]), Recompute::Keep);
            let one = |tokens: &[u32], asked: &[usize], labels: &[u32]| {
                let sequences = Sequences::of(&[tokens]);
                let batch = MaskedBatch { sequences, asked: asked.to_vec(), labels: labels.to_vec() };
                learned(&model, &batch, Recompute::Keep)
            };
            let mut apart = one(long, &[1], &[4]);
            let other = one(&[6, 7, 8], &[2, 0], &[5, 6]);
            apart.gradients.accumulate(other.gradients);
            assert!((together.loss - apart.loss - other.loss).abs() < 1e-5);
            assert!(distance(&together.gradients, &apart.gradients) < 1e-5);
        }
    }

    #[test]
    fn what_stands_in_padding_is_not_read() {
        for model in models() {
            let mut sequences = Sequences::of(&[&[1, 2, 3, 4, 5], &[6, 7, 8]]);
            let logits =
                |sequences: &Sequences| elements(model.for_inference().logits_at(sequences, &[0, 5, 7]).unwrap());
            let before = logits(&sequences);
            sequences.tokens[8..].fill(11);
            assert_eq!(before, logits(&sequences));
            sequences.tokens[7] = 11;
            let after = logits(&sequences);
            assert!(before[..13] == after[..13] && before[13..26] != after[13..26]);
        }
    }

    #[test]
    fn decay_is_for_the_matrices_of_sublayers_and_head() {
        let [model, _] = models();
        let weights = crate::parameters::collect(&model);
        let decayed: Vec<&String> = weights
            .iter()
            .filter(|(path, weight)| model.role(path, &weight.shape) == Role::Decayed)
            .map(|(path, _)| path)
            .collect();
        // Eight sublayers: 3 maps of a convolution, 4 of attention, 3 of each feed-forward; and the head's.
        assert_eq!(decayed.len(), 2 * (3 + 4 + 2 * 3) + 1);
        assert!(
            decayed.iter().all(|path| path.ends_with(".weight") && !path.starts_with("embeddings.")),
            "{decayed:?}"
        );
    }

    #[test]
    fn a_batch_in_which_nothing_is_asked_teaches_nothing() {
        let [model, _] = models();
        let nothing = MaskedBatch { asked: vec![], labels: vec![], ..batch(&[&[1, 2, 3], &[4, 5, 6]]) };
        let learned = learned(&model, &nothing, Recompute::Keep);
        assert!(learned.loss == 0.0 && learned.gradients.0.is_empty());
        assert_eq!(model.evaluate(&nothing).unwrap().targets, 0);
        // What stands behind the end of a sequence cannot be asked.
        let padding = MaskedBatch { asked: vec![5], labels: vec![1], ..batch(&[&[1, 2, 3], &[4, 5]]) };
        assert!(model.evaluate(&padding).is_err());
    }
}
