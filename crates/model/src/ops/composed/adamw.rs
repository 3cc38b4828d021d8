//! The optimizer's update and the norm of a gradient.

use burn::tensor::Tensor;
use percept_kernels::AdamW;

/// One AdamW update of one flat parameter: the new parameter and moments.
pub fn adamw(
    param: Tensor<1>,
    grad: Tensor<1>,
    m: Tensor<1>,
    v: Tensor<1>,
    hyper: &AdamW,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let grad = grad.mul_scalar(hyper.grad_scale);
    let m = m.mul_scalar(hyper.beta1) + grad.clone().mul_scalar(1.0 - hyper.beta1);
    let v = v.mul_scalar(hyper.beta2) + grad.square().mul_scalar(1.0 - hyper.beta2);
    let root = v.clone().div_scalar(hyper.correction2).sqrt().add_scalar(hyper.eps);
    let step = m.clone().mul_scalar(hyper.lr / hyper.correction1) / root;
    (param.mul_scalar(1.0 - hyper.lr * hyper.weight_decay) - step, m, v)
}

/// Sum of squares, in a fixed order.
pub fn squared_norm(x: Tensor<1>) -> f64 {
    let data = x.into_data().convert::<f64>();
    data.iter::<f64>().map(|value| value * value).sum()
}
