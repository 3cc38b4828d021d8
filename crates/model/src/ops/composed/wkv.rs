//! RWKV-4's recurrence, as a scan over spans that double.

use burn::tensor::Tensor;

/// The exponent of a sum that has no term yet.
const NOTHING: f64 = -1e38;

/// A sum of terms e^x v, and of e^x: a e^p and b e^p. What is taken out, p, counts as a constant for gradients: it cancels.
struct Sums {
    a: Tensor<3>,
    b: Tensor<3>,
    p: Tensor<3>,
}

impl Sums {
    fn map(&self, change: impl Fn(Tensor<3>) -> Tensor<3>) -> Self {
        Self { a: change(self.a.clone()), b: change(self.b.clone()), p: change(self.p.clone()) }
    }

    /// The sum of both, this one after a decay by e^`decay`.
    fn then(self, decay: Tensor<3>, later: Self) -> Self {
        let exponent = self.p + decay;
        let p = exponent.clone().max_pair(later.p.clone()).detach();
        let (past, now) = ((exponent - p.clone()).exp(), (later.p - p.clone()).exp());
        Self { a: past.clone() * self.a + now.clone() * later.a, b: past * self.b + now * later.b, p }
    }
}

/// See [`crate::ops::wkv`] and [`crate::ops::wkv_from`].
pub fn wkv([key, value]: [Tensor<3>; 2], [decay, bonus]: [Tensor<1>; 2], state: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
    let [_, rows, _] = key.dims();
    let (decay, bonus) = (decay.unsqueeze::<3>(), bonus.unsqueeze::<3>());
    let ones = || Tensor::ones_like(&key);
    // A row of the state stands before the first, so that row t of the scan is what output t sees of the past.
    let [a, b, p] = [0, 1, 2].map(|part| state.clone().narrow(1, part, 1));
    let p = p.mask_fill(b.clone().equal_elem(0.0), NOTHING);
    let own = Sums {
        a: Tensor::cat(vec![a, value.clone()], 1),
        b: Tensor::cat(vec![b, ones()], 1),
        p: Tensor::cat(vec![p, key.clone()], 1),
    };
    let sums = scan(own, decay.clone(), rows + 1);
    let past = sums.map(|part| part.narrow(1, 0, rows));
    let y = past.then(Tensor::zeros_like(&decay), Sums { a: value, b: ones(), p: key + bonus });
    let last = sums.map(|part| part.narrow(1, rows, 1));
    (y.a / y.b, Tensor::cat(vec![last.a, last.b, last.p], 1))
}

/// The sums up to every row: after step i a row holds those of the last 2^i rows.
fn scan(mut sums: Sums, decay: Tensor<3>, rows: usize) -> Sums {
    let mut span = 1;
    while span < rows {
        let (first, later) = (sums.map(|part| part.narrow(1, 0, span)), sums.map(|x| x.narrow(1, span, rows - span)));
        let before = sums.map(|part| part.narrow(1, 0, rows - span));
        let later = before.then(decay.clone() * span as f64, later);
        let join = |a: Tensor<3>, b: Tensor<3>| Tensor::cat(vec![a, b], 1);
        sums = Sums { a: join(first.a, later.a), b: join(first.b, later.b), p: join(first.p, later.p) };
        span *= 2;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients_agree, numbers, random};
    use super::*;
    use burn::tensor::Device;

    fn empty(batch: usize, channels: usize) -> Tensor<3> {
        Tensor::zeros([batch, 3, channels], (&Device::flex(), burn::tensor::DType::F64))
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for rows in [1, 6] {
            let dims = [2, rows, 3];
            gradients_agree(&[&dims, &dims, &[3], &[3, 1]], |t| {
                let [key, value] = [&t[0], &t[1]].map(|x| x.clone().reshape(dims) * 3.0);
                let state = empty(2, 3);
                let state = if key.is_autodiff() { state.autodiff() } else { state };
                wkv([key, value], [-t[2].clone().exp(), t[3].clone()], state).0
            });
        }
    }

    #[test]
    fn a_stream_goes_on_from_its_state() {
        let device = Device::flex();
        let [key, value] = [[1, 7, 2], [7, 2, 1]].map(|dims| random(&dims, &device).reshape([1, 7, 2]) * 200.0);
        let of_channels = || [random(&[2], &device) - 1.0, random(&[2, 1], &device)];
        let (whole, last) = wkv([key.clone(), value.clone()], of_channels(), empty(1, 2));
        let part = |from: usize, count: usize| [&key, &value].map(|x| x.clone().narrow(1, from, count));
        let (first, state) = wkv(part(0, 3), of_channels(), empty(1, 2));
        let (second, end) = wkv(part(3, 4), of_channels(), state);
        let together = numbers(Tensor::cat(vec![first, second], 1));
        for (a, b) in numbers(whole).into_iter().zip(together).chain(numbers(last).into_iter().zip(numbers(end))) {
            assert!((a - b).abs() < 1e-9 * a.abs().max(1.0), "{a} and {b}");
        }
    }
}
