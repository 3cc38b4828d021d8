//! The output head and its cross-entropy, without holding the logits of all positions.

use super::product::product;
use burn::tensor::{Int, Tensor, TensorData, activation};

use crate::ops::IGNORED;

/// Logits held at a time.
const CHUNK: usize = 1 << 22;

/// Sum over the scored targets of `-ln p`, where `p = softmax(hidden [n, d] * weight [v, d]^T + bias [v])`.
///
/// The value is that sum alone. The gradient is that of `sum(-ln p + z_loss * logsumexp(logits)^2)`. Targets equal to
/// `u32::MAX` are not scored. Works in chunks of rows; the gradients are computed on the way forward, chunk by chunk.
pub fn head_cross_entropy(
    hidden: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    targets: &[u32],
    z_loss: f32,
) -> Tensor<1> {
    let tracked = hidden.is_tracked() || weight.is_tracked() || bias.as_ref().is_some_and(Tensor::is_tracked);
    let head = Head {
        weight: weight.clone().inner(),
        bias: bias.clone().map(Tensor::inner),
        z_loss: if tracked { Some(z_loss) } else { None },
    };
    let [rows, _] = hidden.dims();
    let chunk = (CHUNK / weight.dims()[0]).clamp(1, rows.max(1));
    let inner = hidden.clone().inner();
    let mut total = Tensor::zeros([1], (&inner.device(), inner.dtype()));
    let (mut hidden_gradients, mut weight_gradient, mut bias_gradient) = (Vec::new(), None, None);
    for (index, targets) in targets.chunks(chunk).enumerate() {
        let part = head.chunk(inner.clone().narrow(0, index * chunk, targets.len()), targets);
        total = total + part.nll;
        if let Some((hidden, weight, bias)) = part.gradients {
            hidden_gradients.push(hidden);
            weight_gradient = Some(sum(weight_gradient, weight));
            bias_gradient = Some(sum(bias_gradient, bias));
        }
    }
    let (Some(weight_gradient), Some(bias_gradient)) = (weight_gradient, bias_gradient) else { return total };
    let mut loss = carry(hidden, Tensor::cat(hidden_gradients, 0)) + carry(weight, weight_gradient);
    if let Some(bias) = bias {
        loss = loss + carry(bias, bias_gradient);
    }
    loss + Tensor::from_inner(total)
}

fn sum<const D: usize>(total: Option<Tensor<D>>, more: Tensor<D>) -> Tensor<D> {
    match total {
        Some(total) => total + more,
        None => more,
    }
}

/// A zero whose gradient with respect to `x` is `gradient`.
fn carry<const D: usize>(x: Tensor<D>, gradient: Tensor<D>) -> Tensor<1> {
    let x = if x.is_autodiff() { x } else { x.autodiff() };
    let offset = x.clone() - x.clone().detach();
    (offset * Tensor::from_inner(gradient)).sum()
}

struct Head {
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    /// `None` where no gradient is wanted.
    z_loss: Option<f32>,
}

struct Chunk {
    nll: Tensor<1>,
    gradients: Option<(Tensor<2>, Tensor<2>, Tensor<1>)>,
}

impl Head {
    fn chunk(&self, hidden: Tensor<2>, targets: &[u32]) -> Chunk {
        let device = hidden.device();
        let rows = targets.len();
        let logits = product(hidden.clone(), self.weight.clone().transpose());
        let logits = match &self.bias {
            Some(bias) => logits + bias.clone().unsqueeze(),
            None => logits,
        };
        let ids: Vec<i64> = targets.iter().map(|t| if *t == IGNORED { 0 } else { i64::from(*t) }).collect();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [rows, 1]), &device);
        let scored: Vec<f32> = targets.iter().map(|t| if *t == IGNORED { 0.0 } else { 1.0 }).collect();
        let scored = Tensor::<2>::from_data(TensorData::new(scored, [rows, 1]), (&device, logits.dtype()));
        let log_p = activation::log_softmax(logits.clone(), 1);
        let nll = (log_p.clone().gather(1, ids.clone()) * scored.clone()).sum().neg();
        let gradients = self.z_loss.map(|z_loss| {
            let total = logits.narrow(1, 0, 1) - log_p.clone().narrow(1, 0, 1);
            let slope = (total * (2.0 * z_loss) + 1.0) * scored.clone();
            let gradient = (log_p.exp() * slope).scatter(1, ids, scored.neg(), burn::tensor::IndexingUpdateOp::Add);
            (
                product(gradient.clone(), self.weight.clone()),
                product(gradient.clone().transpose(), hidden),
                gradient.sum_dim(0).squeeze_dim::<1>(0),
            )
        });
        Chunk { nll, gradients }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{numbers, random};
    use super::*;
    use burn::tensor::Device;

    fn inputs(device: &Device) -> (Tensor<2>, Tensor<2>, Tensor<1>) {
        (random(&[5, 3], device).reshape([5, 3]), random(&[7, 3], device).reshape([7, 3]), random(&[7], device))
    }

    const TARGETS: [u32; 5] = [0, 6, IGNORED, 3, 3];

    /// The same loss from logits of all rows, with the z-loss in the value.
    fn plain(hidden: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>, z_loss: f64) -> Tensor<1> {
        let device = hidden.device();
        let logits = hidden.matmul(weight.transpose());
        let logits = match bias {
            Some(bias) => logits + bias.unsqueeze(),
            None => logits,
        };
        let total = logits.clone().exp().sum_dim(1).log();
        let ids = Tensor::<1, Int>::from_data([0, 1, 3, 4], &device);
        let targets = Tensor::<2, Int>::from_data([[0], [6], [3], [3]], &device);
        let (logits, total) = (logits.select(0, ids.clone()), total.select(0, ids));
        (total.clone() - logits.gather(1, targets)).sum() + total.square().sum() * z_loss
    }

    #[test]
    fn value_and_gradients_are_those_of_the_plain_formula() {
        let device = Device::flex().autodiff();
        for (z_loss, with_bias) in [(0.0f32, true), (0.25, true), (0.25, false)] {
            let run = |fused: bool| {
                let (hidden, weight, bias) = inputs(&device);
                let (hidden, weight, bias) = (hidden.require_grad(), weight.require_grad(), bias.require_grad());
                let used = with_bias.then(|| bias.clone());
                let loss = match fused {
                    true => head_cross_entropy(hidden.clone(), weight.clone(), used, &TARGETS, z_loss) * 3.0,
                    false => plain(hidden.clone(), weight.clone(), used, f64::from(z_loss)) * 3.0,
                };
                let gradients = loss.backward();
                let mut all = numbers(hidden.grad(&gradients).unwrap());
                all.extend(numbers(weight.grad(&gradients).unwrap()));
                all.extend(bias.grad(&gradients).map_or(vec![], numbers));
                (loss.into_scalar::<f64>(), all)
            };
            let ((value, gradients), (plain_value, plain_gradients)) = (run(true), run(false));
            if z_loss == 0.0 {
                assert!((value - plain_value).abs() < 1e-9);
            }
            assert_eq!(gradients.len(), plain_gradients.len());
            for (a, b) in gradients.iter().zip(plain_gradients) {
                assert!((a - b).abs() < 1e-9, "{a} {b}");
            }
        }
    }

    #[test]
    fn the_value_needs_no_autodiff_and_ignores_the_z_loss() {
        let (hidden, weight, bias) = inputs(&Device::flex());
        let value = head_cross_entropy(hidden.clone(), weight.clone(), Some(bias.clone()), &TARGETS, 0.5);
        let expected = plain(hidden, weight, Some(bias), 0.0);
        assert!((value.into_scalar::<f64>() - expected.into_scalar::<f64>()).abs() < 1e-9);
    }
}
