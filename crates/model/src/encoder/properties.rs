//! What an encoder costs, from formulas alone (no weights).

use percept_fault::Result;
use percept_kernels::Head;

use super::layer::kinds;
use super::{EncoderConfig, NormPlace};
use crate::config::NormKind;
use crate::cost::{Call, Cost, LinearCall};
use crate::gradients::Recompute;
use crate::layers::{Bias, Linear, Norm};

/// Formulas of one configuration.
///
/// ```
/// use percept_model::encoder::{EncoderConfig, EncoderProperties, LayerKind};
/// let of = |layer, dim| EncoderProperties::of(&EncoderConfig { layer, vocab: 30_000, dim, ..Default::default() });
/// // A layer of GroupBERT has 19 d^2 weights, one of BERT 12 d^2.
/// let [group, bert] = [LayerKind::Groupbert, LayerKind::Bert].map(|layer| of(layer, 1024).unwrap().layer_parameters());
/// assert!((group as f64 / bert as f64 - 19.0 / 12.0).abs() < 0.02);
/// ```
#[derive(Debug, Clone)]
pub struct EncoderProperties {
    config: EncoderConfig,
}

impl EncoderProperties {
    /// Checks the configuration.
    ///
    /// # Errors
    /// A usage fault that names the key.
    pub fn of(config: &EncoderConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config: config.clone() })
    }

    /// Weights of one layer.
    pub fn layer_parameters(&self) -> u64 {
        let norm = Norm::parameters(NormKind::Layer, self.config.dim);
        kinds(self.config.layer).iter().map(|kind| norm + (kind.parameters)(&self.config)).sum()
    }

    /// Number of weights.
    pub fn parameters(&self) -> u64 {
        let EncoderConfig { vocab, dim, depth, context, types, norm_place, .. } = self.config;
        let norm = Norm::parameters(NormKind::Layer, dim);
        let tables = ((vocab + context + types) * dim) as u64;
        let head = Linear::parameters(dim, dim, Bias::With) + norm + vocab as u64;
        let last = if norm_place == NormPlace::Before { norm } else { 0 };
        tables + norm + depth as u64 * self.layer_parameters() + last + head
    }

    /// The products of a forward pass over `batch` sequences of `length` tokens, of which `asked` all together are told.
    pub fn forward_cost(&self, length: usize, batch: usize, asked: usize) -> Cost {
        self.layer_costs(length, batch).0 + self.head_cost(asked)
    }

    /// The products of loss and gradients of the same.
    pub fn training_cost(&self, length: usize, batch: usize, asked: usize, recompute: Recompute) -> Cost {
        let forwards = match recompute {
            Recompute::Keep => 1,
            Recompute::Blocks => 2,
        };
        let (forward, backward) = self.layer_costs(length, batch);
        forward * forwards + backward + self.head_cost(asked) * 3
    }

    /// Attention scores of a sequence of `length` tokens, all layers.
    pub fn score_entries(&self, length: usize) -> u64 {
        (self.config.depth as u64).saturating_mul((length as u64).saturating_mul(length as u64))
    }

    /// Elements per token that training holds at its peak: what each layer keeps, or the inputs of layers that run again and what one of
    /// them keeps, and the gradients that flow back through a sublayer.
    pub fn peak_per_token(&self, recompute: Recompute) -> u64 {
        let EncoderConfig { dim, depth, .. } = self.config;
        let residual = 2 * dim as u64;
        let kept: Vec<u64> = kinds(self.config.layer).iter().map(|kind| (kind.kept)(&self.config)).collect();
        let layer: u64 = kept.iter().map(|kept| residual + kept).sum();
        let flow = kept.iter().max().copied().unwrap_or(0);
        flow + match recompute {
            Recompute::Keep => depth as u64 * layer,
            Recompute::Blocks => (depth * dim) as u64 + layer,
        }
    }

    fn layer_costs(&self, length: usize, batch: usize) -> (Cost, Cost) {
        let calls = kinds(self.config.layer).into_iter().flat_map(|kind| (kind.work)(&self.config, length));
        let one = calls
            .map(|call| call.costs(batch))
            .fold(Default::default(), |sum: (Cost, Cost), (forward, backward)| (sum.0 + forward, sum.1 + backward));
        let depth = self.config.depth as u64;
        (one.0 * depth, one.1 * depth)
    }

    fn head_cost(&self, asked: usize) -> Cost {
        let dim = self.config.dim;
        let transform = Call::from(LinearCall { rows: asked, input: dim, output: dim });
        transform.costs(1).0 + Head::cost(asked, self.config.vocab, dim)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::{Encoder, LayerKind};
    use super::*;

    #[test]
    fn the_formula_counts_the_weights() {
        for (layer, norm_place, types) in
            [(LayerKind::Groupbert, NormPlace::Before, 0), (LayerKind::Bert, NormPlace::After, 2)]
        {
            let config = EncoderConfig {
                layer,
                norm_place,
                types,
                vocab: 61,
                dim: 32,
                depth: 3,
                context: 7,
                ..Default::default()
            };
            let model = Encoder::zeros(&config, &Device::default()).unwrap();
            let counted: usize =
                crate::parameters::collect(&model).values().map(|weight| weight.shape.iter().product::<usize>()).sum();
            assert_eq!(EncoderProperties::of(&config).unwrap().parameters(), counted as u64);
        }
    }
}
