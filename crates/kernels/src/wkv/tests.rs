use super::*;
use crate::testing::{close, random};
use proptest::prelude::*;

/// k, v, w and u, as one list of numbers.
fn inputs(shape: &Wkv, largest: f32) -> Vec<f32> {
    let (len, channels) = (shape.len(), shape.channels);
    let keys = random(len, 1).into_iter().map(|x| x * largest);
    let decays = random(channels, 3).into_iter().map(|x| -(3.0 * x).exp());
    keys.chain(random(len, 2)).chain(decays).chain(random(channels, 4)).collect()
}

fn of<'a>(shape: &Wkv, all: &'a [f32]) -> WkvInputs<'a> {
    let (key, rest) = all.split_at(shape.len());
    let (value, rest) = rest.split_at(shape.len());
    let (decay, bonus) = rest.split_at(shape.channels);
    WkvInputs { key, value, decay, bonus }
}

/// The definition in f64: each output from all rows before it, with the largest exponent taken out.
fn plain(shape: &Wkv, all: &[f64]) -> Vec<f64> {
    let Wkv { batch, rows, channels } = *shape;
    let len = shape.len();
    let mut y = Vec::with_capacity(len);
    for (sequence, t, c) in (0..batch).flat_map(|b| (0..rows).flat_map(move |t| (0..channels).map(move |c| (b, t, c))))
    {
        let at = |t: usize| (sequence * rows + t) * channels + c;
        let (w, u) = (all[2 * len + c], all[2 * len + channels + c]);
        let exponent = |s: usize| if s == t { u + all[at(s)] } else { (t - 1 - s) as f64 * w + all[at(s)] };
        let largest = (0..=t).map(exponent).fold(f64::NEG_INFINITY, f64::max);
        let (above, below) = (0..=t).fold((0.0, 0.0), |(above, below), s| {
            let weight = (exponent(s) - largest).exp();
            (above + weight * all[len + at(s)], below + weight)
        });
        y.push(above / below);
    }
    y
}

/// Outputs and gradients of the kernel: y, then dk, dv, dw, du.
fn run(shape: &Wkv, all: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (mut y, mut state) = (vec![9.0; shape.len()], vec![0.0; 3 * shape.batch * shape.channels]);
    shape.forward(&of(shape, all), &mut state, &mut y);
    let mut gradients = vec![9.0; all.len()];
    let (key, rest) = gradients.split_at_mut(shape.len());
    let (value, rest) = rest.split_at_mut(shape.len());
    let (decay, bonus) = rest.split_at_mut(shape.channels);
    shape.backward(&of(shape, all), &y, grad, WkvGradients { key, value, decay, bonus });
    (y, gradients)
}

fn slopes(shape: &Wkv, all: &[f32], grad: &[f32]) -> Vec<f64> {
    let mut all: Vec<f64> = all.iter().map(|x| f64::from(*x)).collect();
    let loss = |all: &[f64]| plain(shape, all).iter().zip(grad).map(|(y, g)| y * f64::from(*g)).sum::<f64>();
    (0..all.len())
        .map(|i| {
            let at = all[i];
            let sides = [at + 1e-5, at - 1e-5].map(|moved| {
                all[i] = moved;
                loss(&all)
            });
            all[i] = at;
            (sides[0] - sides[1]) / 2e-5
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_its_definition(batch in 1..3usize, rows in 1..12usize, channels in 1..5usize, largest in 0.0f32..5.0) {
        let shape = Wkv { batch, rows, channels };
        let (all, grad) = (inputs(&shape, largest), random(shape.len(), 5));
        let (y, gradients) = run(&shape, &all, &grad);
        let wide: Vec<f64> = all.iter().map(|x| f64::from(*x)).collect();
        close("y", &y, &plain(&shape, &wide), 2e-6);
        close("gradients", &gradients, &slopes(&shape, &all, &grad), 1e-5);
    }
}

#[test]
fn many_channels_are_cut_into_tasks() {
    let shape = Wkv { batch: 2, rows: 3, channels: 2 * BLOCK + 5 };
    let (all, grad) = (inputs(&shape, 3.0), random(shape.len(), 5));
    let (y, gradients) = run(&shape, &all, &grad);
    let wide: Vec<f64> = all.iter().map(|x| f64::from(*x)).collect();
    close("y", &y, &plain(&shape, &wide), 2e-6);
    close("gradients", &gradients, &slopes(&shape, &all, &grad), 1e-5);
}

#[test]
fn large_keys_and_decays_stay_numbers() {
    let shape = Wkv { batch: 1, rows: 200, channels: 3 };
    let (mut all, grad) = (inputs(&shape, 150.0), random(shape.len(), 5));
    let decays = 2 * shape.len();
    all[decays..decays + 3].copy_from_slice(&[-60.0, -1.0, -1e-4]);
    let (y, gradients) = run(&shape, &all, &grad);
    let wide: Vec<f64> = all.iter().map(|x| f64::from(*x)).collect();
    close("y", &y, &plain(&shape, &wide), 1e-4);
    assert!(gradients.iter().all(|g| g.is_finite()));
}

/// Sums that decay slowly are scaled up long before they vanish.
#[test]
fn an_old_large_key_is_forgotten() {
    let shape = Wkv { batch: 1, rows: 1500, channels: 2 };
    let mut all = vec![0.0; 2 * shape.len()];
    all[..2].fill(100.0);
    all[shape.len()..].fill(-1.0);
    all[shape.len()..][..2].fill(1.0);
    all.extend([-0.1, -0.4, 0.0, 0.0]);
    let (mut y, mut state) = (vec![9.0; shape.len()], vec![0.0; 6]);
    shape.forward(&of(&shape, &all), &mut state, &mut y);
    let wide: Vec<f64> = all.iter().map(|x| f64::from(*x)).collect();
    close("y", &y, &plain(&shape, &wide), 1e-4);
    assert!(y[0] == 1.0 && (y[2 * 900] - 1.0).abs() < 1e-3 && y[2 * 1400] < -0.99, "{:?}", &state);
}

/// After a million rows the sums are those of the recurrence in f64, however slowly a channel forgets.
#[test]
fn a_long_stream_does_not_drift() {
    const ROWS: usize = 1_000_000;
    let decays = [-1e-5, -1e-4, -1e-3, -1e-2, -0.49, -0.51, -1.0, -20.0, -70.0f32];
    let shape = Wkv { batch: 1, rows: ROWS / 1000, channels: decays.len() };
    let (mut state, mut y, bonus) = (vec![0.0; 3 * shape.channels], vec![0.0; shape.len()], random(shape.channels, 4));
    // a, b and p in f64.
    let mut wide = vec![(0.0f64, 0.0f64, f64::NEG_INFINITY); shape.channels];
    for part in 0..1000 {
        let key: Vec<f32> = random(shape.len(), 2 * part).into_iter().map(|x| 3.0 * x).collect();
        let value: Vec<f32> = random(shape.len(), 2 * part + 1).into_iter().map(|x| x + 0.5).collect();
        shape.forward(&WkvInputs { key: &key, value: &value, decay: &decays, bonus: &bonus }, &mut state, &mut y);
        for (at, (k, v)) in key.iter().zip(&value).map(|(k, v)| (f64::from(*k), f64::from(*v))).enumerate() {
            let (a, b, p) = &mut wide[at % shape.channels];
            let past = *p + f64::from(decays[at % shape.channels]);
            let m = past.max(k);
            (*a, *b) = ((past - m).exp() * *a + (k - m).exp() * v, (past - m).exp() * *b + (k - m).exp());
            *p = m;
        }
    }
    let (sums, p) = state.split_at(2 * shape.channels);
    let (a, b) = sums.split_at(shape.channels);
    for (c, (wide_a, wide_b, wide_p)) in wide.into_iter().enumerate() {
        let (mean, expected) = (f64::from(a[c]) / f64::from(b[c]), wide_a / wide_b);
        assert!((mean - expected).abs() < 1e-4 * expected.abs().max(1e-1), "{c}: {mean} {expected}");
        let (weight, expected) = (f64::from(p[c]) + f64::from(b[c]).ln(), wide_p + wide_b.ln());
        assert!((weight - expected).abs() < 1e-4, "{c}: {weight} {expected}");
    }
}

#[test]
fn a_stream_goes_on_from_its_state() {
    let shape = Wkv { batch: 1, rows: 7, channels: BLOCK + 3 };
    let all = inputs(&shape, 3.0);
    let (mut whole, mut state) = (vec![0.0; shape.len()], vec![0.0; 3 * shape.channels]);
    shape.forward(&of(&shape, &all), &mut state, &mut whole);
    let (mut by_row, mut carried) = (vec![0.0; shape.len()], vec![0.0; 3 * shape.channels]);
    for (row, y) in by_row.chunks_exact_mut(shape.channels).enumerate() {
        let of_row = of(&shape, &all).part(row * shape.channels, 0, shape.channels);
        let (a, rest) = carried.split_at_mut(shape.channels);
        let (b, p) = rest.split_at_mut(shape.channels);
        wkv_row(&of_row, [a, b, p], y);
    }
    assert_eq!((by_row, carried), (whole, state));
}
