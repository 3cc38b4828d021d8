//! The recurrence of RWKV-4 (arXiv 2305.13048, equations 16 to 18), channel by channel.

use rayon::prelude::*;

use crate::columns::columns;
use crate::cost::{Cost, count_cost};
use crate::simd::{Arithmetic, add, exp, simd};

/// Channels per task.
const BLOCK: usize = 64;
/// The exponent of a sum that has no term yet.
const NOTHING: f32 = -1e38;
/// Decays w from here on to 0 are slow.
const SLOW: f32 = -0.5;
/// Below this, sums are scaled up.
const SMALL: f32 = 1.0 / (1 << 20) as f32;
/// Its logarithm.
const LN_SMALL: f32 = -13.862_944;

/// With A_t = e^w A_(t - 1) + e^(k_t) v_t and B_t = e^w B_(t - 1) + e^(k_t), both zero before the first row:
/// y_t = (A_(t - 1) + e^(u + k_t) v_t) / (B_(t - 1) + e^(u + k_t)).
///
/// Sums are carried as (a, b, p) with A = a e^p and B = b e^p, where p is at least about the largest exponent, so that no key is too
/// large. State: `[batch, 3, channels]`, a, b and p in turn; zeros are the empty one.
///
/// ```
/// use percept_kernels::{Wkv, WkvInputs};
/// let wkv = Wkv { batch: 1, rows: 3, channels: 1 };
/// // Keys of 0, no decay, no bonus: the mean of the values so far.
/// let inputs = WkvInputs { key: &[0.0; 3], value: &[1.0, 3.0, 8.0], decay: &[0.0], bonus: &[0.0] };
/// let (mut state, mut y) = ([0.0; 3], [0.0; 3]);
/// wkv.forward(&inputs, &mut state, &mut y);
/// assert_eq!((y, state), ([1.0, 2.0, 4.0], [12.0, 3.0, 0.0]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wkv {
    /// Sequences.
    pub batch: usize,
    /// Rows per sequence.
    pub rows: usize,
    /// Channels per row.
    pub channels: usize,
}

/// What the recurrence reads.
#[derive(Debug, Clone, Copy)]
pub struct WkvInputs<'a> {
    /// k, `[batch, rows, channels]`.
    pub key: &'a [f32],
    /// v, as k.
    pub value: &'a [f32],
    /// w, `[channels]`, at most 0.
    pub decay: &'a [f32],
    /// u, `[channels]`.
    pub bonus: &'a [f32],
}

/// The gradients of [`WkvInputs`], each of its shape.
#[derive(Debug)]
pub struct WkvGradients<'a> {
    /// Of the keys.
    pub key: &'a mut [f32],
    /// Of the values.
    pub value: &'a mut [f32],
    /// Of the decays.
    pub decay: &'a mut [f32],
    /// Of the bonuses.
    pub bonus: &'a mut [f32],
}

impl<'a> WkvInputs<'a> {
    /// The part of one row from element `at` on, of which the first channel is `channel`.
    fn part(&self, at: usize, channel: usize, count: usize) -> WkvInputs<'a> {
        WkvInputs {
            key: &self.key[at..][..count],
            value: &self.value[at..][..count],
            decay: &self.decay[channel..][..count],
            bonus: &self.bonus[channel..][..count],
        }
    }
}

impl Wkv {
    fn len(&self) -> usize {
        self.batch * self.rows * self.channels
    }

    fn check(&self, inputs: &WkvInputs<'_>, y: &[f32]) {
        assert_eq!([inputs.key.len(), inputs.value.len(), y.len()], [self.len(); 3], "sizes of the rows");
        assert_eq!([inputs.decay.len(), inputs.bonus.len()], [self.channels; 2], "sizes of decay and bonus");
    }

    /// What the forward pass executes: six multiplications per element, of which k and v are read and y is written.
    pub fn cost(&self) -> Cost {
        Cost { macs: 6 * self.len() as u64, elements: 3 * self.len() as u64 }
    }

    /// What the backward pass executes: the forward pass with the sensitivities to w, and the way back.
    pub fn backward_cost(&self) -> Cost {
        Cost { macs: 24 * self.len() as u64, elements: 12 * self.len() as u64 }
    }

    /// Writes `y`, from `state` on, which becomes that after the last row.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn forward(&self, inputs: &WkvInputs<'_>, state: &mut [f32], y: &mut [f32]) {
        self.check(inputs, y);
        assert_eq!(state.len(), 3 * self.batch * self.channels, "size of the state");
        let tasks = self.columns(y, self.rows).into_par_iter().zip(self.columns(state, 3)).enumerate();
        tasks.for_each(|(task, (y, mut state))| {
            let (first, channel) = self.place(task);
            for (row, y) in y.into_iter().enumerate() {
                let inputs = inputs.part(first + row * self.channels + channel, channel, y.len());
                if let [a, b, p] = state.as_mut_slice() {
                    wkv_row(&inputs, [a, b, p], y);
                }
            }
        });
        count_cost(self.cost());
    }

    /// Writes the gradients of the inputs from `grad`, that of `y`, which is what [`Wkv::forward`] wrote from the empty state.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn backward(&self, inputs: &WkvInputs<'_>, y: &[f32], grad: &[f32], gradients: WkvGradients<'_>) {
        self.check(inputs, y);
        let WkvGradients { key, value, decay, bonus } = gradients;
        assert_eq!([grad.len(), key.len(), value.len()], [self.len(); 3], "sizes of the rows' gradients");
        assert_eq!([decay.len(), bonus.len()], [self.channels; 2], "sizes of the gradients of decay and bonus");
        let tasks = self.columns(key, self.rows).into_par_iter().zip(self.columns(value, self.rows)).enumerate();
        let sums: Vec<[Vec<f32>; 2]> =
            tasks.map(|(task, (dk, dv))| self.backward_part(inputs, (y, grad), task, (dk, dv))).collect();
        decay.fill(0.0);
        bonus.fill(0.0);
        // Sequences are added in their order.
        for (task, [dw, du]) in sums.iter().enumerate() {
            let channel = self.place(task).1;
            add(&mut decay[channel..][..dw.len()], dw);
            add(&mut bonus[channel..][..du.len()], du);
        }
        count_cost(self.backward_cost());
    }

    /// Of some channels of one sequence; returns the gradients of their decays and bonuses.
    fn backward_part(
        &self,
        inputs: &WkvInputs<'_>,
        (y, grad): (&[f32], &[f32]),
        task: usize,
        (mut dk, mut dv): (Vec<&mut [f32]>, Vec<&mut [f32]>),
    ) -> [Vec<f32>; 2] {
        let (first, channel) = self.place(task);
        let count = dk.first().map_or(0, |row| row.len());
        let zeros = || vec![0.0; count];
        let (mut sensitive, mut sums) = (Sensitive::new(count), [zeros(), zeros()]);
        let mut kept = vec![0.0; 2 * count * self.rows];
        let at = |row: usize| first + row * self.channels + channel;
        for (row, kept) in kept.chunks_exact_mut(2 * count.max(1)).enumerate() {
            let (of_row, at) = (inputs.part(at(row), channel, count), at(row));
            let outer = [&y[at..][..count], &grad[at..][..count]];
            let (q, m) = kept.split_at_mut(count);
            there(&of_row, outer, &mut sensitive, &mut sums, [&mut *dk[row], &mut *dv[row]], [q, m]);
        }
        let mut carried = [zeros(), zeros(), vec![NOTHING; count]];
        for (row, kept) in kept.chunks_exact(2 * count.max(1)).enumerate().rev() {
            let y = &y[at(row)..][..count];
            let of_row = inputs.part(at(row), channel, count);
            let (q, m) = kept.split_at(count);
            back(&of_row, y, [q, m], &mut carried, [&mut *dk[row], &mut *dv[row]]);
        }
        sums
    }

    /// The rows of each task.
    fn columns<'a>(&self, data: &'a mut [f32], rows: usize) -> Vec<Vec<&'a mut [f32]>> {
        columns(data, (rows, self.channels), BLOCK)
    }

    /// Where the sequence of a task begins, and its first channel.
    fn place(&self, task: usize) -> (usize, usize) {
        let parts = self.channels.div_ceil(BLOCK).max(1);
        (task / parts * self.rows * self.channels, task % parts * BLOCK)
    }
}

/// (a, b, p), and da and db, which are dA / dw and dB / dw over e^p.
struct Sensitive {
    a: Vec<f32>,
    b: Vec<f32>,
    p: Vec<f32>,
    da: Vec<f32>,
    db: Vec<f32>,
}

impl Sensitive {
    fn new(count: usize) -> Self {
        let zeros = || vec![0.0; count];
        Self { a: zeros(), b: zeros(), p: vec![NOTHING; count], da: zeros(), db: zeros() }
    }
}

/// e^past and e^now over the larger of the two, and the exponent of that.
#[inline(always)]
fn weights<A: Arithmetic>(past: f32, now: f32) -> [f32; 3] {
    let smaller = exp::<A>(-(now - past).abs());
    if now > past { [smaller, 1.0, now] } else { [1.0, smaller, past] }
}

/// e^w - 1 by its series, for w from [`SLOW`] to 0.
#[inline(always)]
fn less_than_one<A: Arithmetic>(w: f32) -> f32 {
    let mut sum = 1.0;
    for n in [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0f32] {
        sum = A::fma(w / n, sum, 1.0);
    }
    w * sum
}

simd! {
    /// One row of [`Wkv::forward`] on the calling thread: `state` is a, b and p, each of `y`'s length as all others.
    pub fn wkv_row(inputs: &WkvInputs<'_>, state: [&mut [f32]; 3], y: &mut [f32]) {
        let count = y.len();
        let [k, v, w, u] = [inputs.key, inputs.value, inputs.decay, inputs.bonus].map(|part| &part[..count]);
        let [a, b, p] = state.map(|part| &mut part[..count]);
        for i in 0..count {
            let before = if b[i] == 0.0 { NOTHING } else { p[i] };
            let [past, now, _] = weights::<A>(before, u[i] + k[i]);
            y[i] = A::fma(past, a[i], now * v[i]) / A::fma(past, b[i], now);
            // What is slow would be lost where it is added to a large exponent: it decays the sums, by e^w - 1.
            let (fast, slow) = if w[i] < SLOW { (w[i], 0.0) } else { (0.0, less_than_one::<A>(w[i])) };
            let [past, now, m] = weights::<A>(before + fast, k[i]);
            let lost = past * slow;
            a[i] = A::fma(past, a[i], A::fma(lost, a[i], now * v[i]));
            b[i] = A::fma(past, b[i], A::fma(lost, b[i], now));
            let (up, down) = if b[i] < SMALL { (1.0 / SMALL, LN_SMALL) } else { (1.0, 0.0) };
            (a[i], b[i], p[i]) = (a[i] * up, b[i] * up, m + down);
        }
    }

    /// A row on the way there: what reaches k and v from their own row's output, and w and u; and for the way back q over
    /// e^-m, where q is the gradient over the denominator, and m.
    fn there(inputs: &WkvInputs<'_>, outer: [&[f32]; 2], state: &mut Sensitive, sums: &mut [Vec<f32>; 2], of_row: [&mut [f32]; 2], kept: [&mut [f32]; 2]) {
        let ([y, grad], [dw, du], [dk, dv], [q, ms]) = (outer, sums, of_row, kept);
        let count = y.len();
        let [k, v, w, u] = [inputs.key, inputs.value, inputs.decay, inputs.bonus].map(|part| &part[..count]);
        let Sensitive { a, b, p, da, db } = state;
        let [a, b, p, da, db, dw, du] = [a, b, p, da, db, dw, du].map(|part| &mut part[..count]);
        let [dk, dv, q, ms] = [dk, dv, q, ms].map(|part| &mut part[..count]);
        for i in 0..count {
            let bonus = u[i] + k[i];
            let m = p[i].max(bonus);
            let (past, now) = (exp::<A>(p[i] - m), exp::<A>(bonus - m));
            let own = grad[i] / A::fma(past, b[i], now);
            let (of_value, off) = (own * now, v[i] - y[i]);
            dv[i] = of_value;
            dk[i] = of_value * off;
            du[i] = A::fma(of_value, off, du[i]);
            dw[i] = A::fma(own * past, da[i] - y[i] * db[i], dw[i]);
            (q[i], ms[i]) = (own, m);
            let m = (p[i] + w[i]).max(k[i]);
            let (past, now) = (exp::<A>(p[i] + w[i] - m), exp::<A>(k[i] - m));
            da[i] = past * (a[i] + da[i]);
            db[i] = past * (b[i] + db[i]);
            a[i] = A::fma(past, a[i], now * v[i]);
            b[i] = A::fma(past, b[i], now);
            p[i] = m;
        }
    }

    /// A row on the way back: adds what reaches k and v from later rows. `carried` are P, Q and their exponent:
    /// P_(t - 1) = e^w P_t + q_t, Q_(t - 1) = e^w Q_t - q_t y_t.
    fn back(inputs: &WkvInputs<'_>, y: &[f32], kept: [&[f32]; 2], carried: &mut [Vec<f32>; 3], of_row: [&mut [f32]; 2]) {
        let ([q, ms], [dk, dv]) = (kept, of_row);
        let count = y.len();
        let [k, v, w, q, ms] = [inputs.key, inputs.value, inputs.decay, q, ms].map(|part| &part[..count]);
        let [p, s, o] = carried;
        let [p, s, o, dk, dv] = [&mut p[..], &mut s[..], &mut o[..], dk, dv].map(|part| &mut part[..count]);
        for i in 0..count {
            let now = exp::<A>(k[i] + o[i]);
            dk[i] = A::fma(now, A::fma(p[i], v[i], s[i]), dk[i]);
            dv[i] = A::fma(now, p[i], dv[i]);
            let next = (o[i] + w[i]).max(-ms[i]);
            let (past, own) = (exp::<A>(o[i] + w[i] - next), exp::<A>(-ms[i] - next) * q[i]);
            p[i] = A::fma(past, p[i], own);
            s[i] = A::fma(past, s[i], -own * y[i]);
            o[i] = next;
        }
    }
}

#[cfg(test)]
mod tests;
