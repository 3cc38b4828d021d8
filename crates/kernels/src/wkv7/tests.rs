use super::*;
use crate::testing::{close, random};

fn mix(batch: usize, rows: usize, heads: usize, width: usize) -> TimeMix {
    TimeMix { batch, rows, heads, width, removal_scale: 1.0, eps: 64e-5 }
}

/// r, d, k, v, alpha and g, and the vectors, one after the other.
fn elements(mix: &TimeMix) -> Vec<f32> {
    let count = 6 * mix.len() + VECTORS * mix.channels();
    random(count, 3).into_iter().map(|x| 2.0 * x).collect()
}

/// The part of `all` that is r, d, k, v, alpha or g.
fn part(mix: &TimeMix, which: usize) -> Range<usize> {
    which * mix.len()..(which + 1) * mix.len()
}

fn inputs<'a>(mix: &TimeMix, all: &'a [f32]) -> TimeMixInputs<'a> {
    TimeMixInputs { rows: std::array::from_fn(|which| &all[part(mix, which)]), vectors: &all[6 * mix.len()..] }
}

fn wide(all: &[f32]) -> Vec<f64> {
    all.iter().map(|x| f64::from(*x)).collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The recurrence of a row of a head, by w, c, v, a and b.
fn advance(state: &mut [f64], [w, c, v, a, b]: [&[f64]; 5]) {
    for (state, v) in state.chunks_exact_mut(w.len()).zip(v) {
        let removed: f64 = state.iter().zip(a).map(|(s, a)| s * a).sum();
        for i in 0..w.len() {
            state[i] = state[i] * w[i].exp() + removed * b[i] + v * c[i];
        }
    }
}

fn read(state: &[f64], r: &[f64]) -> Vec<f64> {
    state.chunks_exact(r.len()).map(|state| state.iter().zip(r).map(|(s, r)| s * r).sum()).collect()
}

/// The definition of a row of a head; `state` becomes that after it.
fn row(mix: &TimeMix, [r, d, k, v, alpha, g]: [&[f64]; 6], vectors: [&[f64]; VECTORS], state: &mut [f64]) -> Vec<f64> {
    let [removal_key, rate_key, counts, gamma, beta] = vectors;
    let each = |value: &dyn Fn(usize) -> f64| (0..mix.width).map(value).collect::<Vec<f64>>();
    let w = each(&|i| -(-0.5f64).exp() * sigmoid(d[i]));
    let written = each(&|i| k[i] * (1.0 + (sigmoid(alpha[i]) - 1.0) * rate_key[i]));
    let length = (0..mix.width).map(|i| (k[i] * removal_key[i]).powi(2)).sum::<f64>().sqrt() + 1e-12;
    let a = each(&|i| -k[i] * removal_key[i] / length);
    let b = each(&|i| -f64::from(mix.removal_scale) * a[i] * sigmoid(alpha[i]));
    advance(state, [&w, &written, v, &a, &b]);
    let y = read(state, r);
    let mean = y.iter().sum::<f64>() / mix.width as f64;
    let variance = y.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / mix.width as f64;
    let deviation = (variance + f64::from(mix.eps)).sqrt();
    let bonus: f64 = (0..mix.width).map(|i| r[i] * written[i] * counts[i]).sum();
    each(&|i| ((y[i] - mean) / deviation * gamma[i] + beta[i] + bonus * v[i]) * g[i])
}

/// The definition, row by row, from `states` on, which become those after the last row.
fn plain_from(mix: &TimeMix, all: &[f64], states: &mut [f64]) -> Vec<f64> {
    let (width, len, channels) = (mix.width, mix.len(), mix.channels());
    let mut out = vec![0.0; len];
    for (index, state) in states.chunks_exact_mut(width * width).enumerate() {
        let (sequence, head) = (index / mix.heads, index % mix.heads);
        let vectors = std::array::from_fn(|which| &all[6 * len + which * channels + head * width..][..width]);
        for t in 0..mix.rows {
            let at = (sequence * mix.rows + t) * channels + head * width;
            let rows = std::array::from_fn(|which| &all[which * len + at..][..width]);
            out[at..at + width].copy_from_slice(&row(mix, rows, vectors, state));
        }
    }
    out
}

/// [`plain_from`] the empty state.
fn plain(mix: &TimeMix, all: &[f64]) -> Vec<f64> {
    plain_from(mix, all, &mut vec![0.0; mix.state_len()])
}

/// The output, and the gradients of all inputs.
fn gradients(mix: &TimeMix, all: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
    // No constants: a state whose rows are equal is normalised away.
    let (mut out, mut saved) = (vec![9.0; mix.len()], random(mix.saved_len(), 7));
    mix.forward_saving(&inputs(mix, all), &mut saved, &mut out);
    let (mut rows, mut vectors) = ([(); 6].map(|()| vec![9.0; mix.len()]), vec![9.0; VECTORS * mix.channels()]);
    let gradients = TimeMixGradients { rows: rows.each_mut().map(Vec::as_mut_slice), vectors: &mut vectors };
    mix.backward(&inputs(mix, all), &saved, grad, gradients);
    (out, [rows.concat(), vectors].concat())
}

#[test]
fn it_is_its_definition() {
    let shapes =
        [(1, 1, 1, 1), (2, 7, 3, 4), (1, CHUNK, 2, 5), (1, CHUNK + 1, 1, 3), (1, 3 * CHUNK - 5, 1, 2), (2, 3, 1, 35)];
    for ((batch, rows, heads, width), removal_scale) in shapes.into_iter().zip([1.0, 2.0, 1.0, 1.0, 1.0, 2.0]) {
        let mix = TimeMix { removal_scale, ..mix(batch, rows, heads, width) };
        let (all, grad) = (elements(&mix), random(mix.len(), 9));
        let (out, found) = gradients(&mix, &all, &grad);
        let mut moved = wide(&all);
        close("out", &out, &plain(&mix, &moved), 1e-5);
        let slope = |index: usize| {
            let at = moved[index];
            let [above, below] = [1e-5, -1e-5].map(|by| {
                moved[index] = at + by;
                plain(&mix, &moved).iter().zip(&grad).map(|(y, g)| y * f64::from(*g)).sum::<f64>()
            });
            moved[index] = at;
            (above - below) / 2e-5
        };
        let slopes: Vec<f64> = (0..all.len()).map(slope).collect();
        let ends = (0..6).map(|which| part(&mix, which)).chain((0..VECTORS).map(|which| {
            let first = 6 * mix.len() + which * mix.channels();
            first..first + mix.channels()
        }));
        for (which, part) in ends.enumerate() {
            close(&format!("{mix:?}: gradient {which}"), &found[part.clone()], &slopes[part], 2e-5);
        }
    }
}

#[test]
fn the_strongest_decay_stays_in_range() {
    let mix = mix(1, 3 * CHUNK + 5, 1, 64);
    let mut all = elements(&mix);
    all[part(&mix, 1)].fill(50.0);
    let (out, found) = gradients(&mix, &all, &random(mix.len(), 9));
    close("out", &out, &plain(&mix, &wide(&all)), 1e-5);
    assert!(found.iter().all(|x| x.is_finite()));
}

#[test]
fn a_stream_goes_on_from_its_state() {
    let whole = mix(1, CHUNK + 20, 2, 8);
    let all = elements(&whole);
    let mut states = vec![0.0; whole.state_len()];
    let expected = plain_from(&whole, &wide(&all), &mut states);
    let (mut state, mut at) = (vec![0.0; whole.state_len()], 0);
    for rows in [1, 5, CHUNK, 14] {
        let some = TimeMix { rows, ..whole };
        let here = at * whole.channels()..at * whole.channels() + some.len();
        let rows_of = (0..6).flat_map(|which| &all[part(&whole, which)][here.clone()]);
        let cut: Vec<f32> = rows_of.chain(&all[6 * whole.len()..]).copied().collect();
        let mut out = vec![9.0; some.len()];
        some.forward(&inputs(&some, &cut), &mut state, &mut out);
        close("out", &out, &expected[here], 1e-5);
        at += rows;
    }
    close("state", &state, &states, 1e-5);
}

#[test]
fn a_million_rows_do_not_drift() {
    let mix = mix(1, 10_000, 1, 4);
    let mut all = elements(&mix);
    // Two channels hardly forget, and half of what a key stands for is removed.
    all[part(&mix, 1)].chunks_exact_mut(4).for_each(|d| d[..2].fill(-9.0));
    all[part(&mix, 4)].fill(0.0);
    let exact = wide(&all);
    let (mut state, mut out, mut expected) = (vec![0.0; mix.state_len()], vec![0.0; mix.len()], vec![0.0; 16]);
    for _ in 0..100 {
        mix.forward(&inputs(&mix, &all), &mut state, &mut out);
        plain_from(&mix, &exact, &mut expected);
    }
    close("state", &state, &expected, 1e-4);
}

#[test]
fn single_rows_are_the_recurrence_too() {
    for width in [3, 16, 20] {
        let (mut state, mut expected) = (vec![0.0; width * width], vec![0.0; width * width]);
        for at in 0..9 {
            // r, w, c, v, a and b.
            let mut rows: [Vec<f32>; 6] = std::array::from_fn(|which| random(width, 6 * at + which as u64));
            rows[1].iter_mut().for_each(|w| *w = -0.303 * (*w + 1.0));
            rows[4..].iter_mut().flatten().for_each(|x| *x /= (width as f32).sqrt());
            let exact = rows.each_ref().map(|row| wide(row));
            let [_, w, c, v, a, b] = exact.each_ref().map(Vec::as_slice);
            advance(&mut expected, [w, c, v, a, b]);
            rows[1].iter_mut().for_each(|w| *w = w.exp());
            let mut y = vec![9.0; width];
            wkv7_row(rows.each_ref().map(Vec::as_slice), &mut state, &mut y);
            close("y", &y, &read(&expected, &exact[0]), 1e-5);
        }
        close("state", &state, &expected, 1e-5);
    }
}
