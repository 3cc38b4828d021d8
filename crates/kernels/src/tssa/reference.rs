//! The definition in f64, and the kernels against it.

use super::*;
use crate::testing::{close, random};
use proptest::prelude::*;

/// y, and the sums after the last row: energy, numerator and mass.
fn plain(tssa: &Tssa, u: &[f64], temperature: &[f64], offsets: &[f64]) -> (Vec<f64>, [Vec<f64>; 3]) {
    let Tssa { batch, rows, heads, width, decay, start, .. } = *tssa;
    let channels = heads * width;
    let (mut y, mut last) = (vec![0.0; u.len()], [vec![], vec![], vec![]]);
    for sequence in 0..batch {
        let (mut energy, mut numerator, mut mass) = (vec![0.0; channels], vec![0.0; channels], vec![0.0; heads]);
        for t in 0..rows {
            let at = (sequence * rows + t) * channels;
            let mut logits = vec![0.0; heads];
            for (c, energy) in energy.iter_mut().enumerate() {
                *energy = decay * *energy + u[at + c].powi(2);
                logits[c / width] += tssa.scale(start + t) * u[at + c].powi(2) / energy.max(1e-12);
            }
            for (h, logit) in logits.iter_mut().enumerate() {
                *logit = temperature[h] * (*logit + offsets[t * heads + h]);
            }
            let most = logits.iter().fold(f64::MIN, |most, z| most.max(*z));
            let sum: f64 = logits.iter().map(|z| (z - most).exp()).sum();
            for (h, logit) in logits.iter().enumerate() {
                let weight = (logit - most).exp() / sum;
                mass[h] = decay * mass[h] + weight;
                for c in h * width..(h + 1) * width {
                    numerator[c] = decay * numerator[c] + weight * u[at + c].powi(2);
                    y[at + c] = -weight * u[at + c] / (1.0 + numerator[c] / (mass[h] + 1e-8));
                }
            }
        }
        for (last, sums) in last.iter_mut().zip([energy, numerator, mass]) {
            last.extend(sums);
        }
    }
    (y, last)
}

fn f64s(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// Central differences of the sum of y times grad, over `step` to both sides.
fn differences(inputs: [&[f32]; 3], which: usize, step: f64, value: impl Fn([&[f64]; 3]) -> f64) -> Vec<f64> {
    let inputs = inputs.map(f64s);
    (0..inputs[which].len())
        .map(|index| {
            let at = |by: f64| {
                let mut moved = inputs.clone();
                moved[which][index] += by;
                value([&moved[0], &moved[1], &moved[2]])
            };
            (at(step) - at(-step)) / (2.0 * step)
        })
        .collect()
}

fn sizes() -> impl Strategy<Value = Tssa> {
    let decay = prop_oneof![Just(1.0), 0.5..1.0f64];
    let routing = prop_oneof![Just(Routing::Share), Just(Routing::LengthScaled)];
    (1..3usize, 1..150usize, 1..4usize, 1..20usize, decay, routing, 0..50usize).prop_map(
        |(batch, rows, heads, width, decay, routing, start)| Tssa { batch, rows, heads, width, decay, routing, start },
    )
}

/// u, temperature and offsets.
fn inputs(tssa: &Tssa) -> [Vec<f32>; 3] {
    let temperature = random(tssa.heads, 2).iter().map(|x| 1.0 + 0.3 * x).collect();
    let offsets = random(tssa.rows * tssa.heads, 3);
    [random(tssa.len(), 1), temperature, offsets]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_its_definition(tssa in sizes()) {
        let [u, temperature, offsets] = inputs(&tssa);
        let of = TssaInputs { u: &u, temperature: &temperature, offsets: &offsets };
        let (mut sums, mut y) = (TssaSums::zero(&tssa), vec![9.0; u.len()]);
        tssa.forward(&of, &mut sums, &mut y);
        let (plain_y, last) = plain(&tssa, &f64s(&u), &f64s(&temperature), &f64s(&offsets));
        close("y", &y, &plain_y, 1e-5);
        for (ours, plain) in [&sums.energy, &sums.numerator, &sums.mass].into_iter().zip(&last) {
            let ours: Vec<f32> = ours.iter().map(|x| *x as f32).collect();
            close("sums", &ours, plain, 1e-5);
        }
    }

    #[test]
    fn windows_and_single_rows_go_on_from_sums(tssa in sizes(), cut in 0.0..1.0f64) {
        let tssa = Tssa { batch: 1, ..tssa };
        let [u, temperature, offsets] = inputs(&tssa);
        let first = (cut * tssa.rows as f64) as usize;
        let (plain_y, _) = plain(&tssa, &f64s(&u), &f64s(&temperature), &f64s(&offsets));
        let (mut sums, mut y) = (TssaSums::zero(&tssa), vec![9.0; u.len()]);
        let (channels, heads) = (tssa.channels(), tssa.heads);
        let (u_of, y_of) = u.split_at(first * channels);
        let window = Tssa { rows: first, ..tssa };
        let of = TssaInputs { u: u_of, temperature: &temperature, offsets: &offsets[..first * heads] };
        let (before, after) = y.split_at_mut(first * channels);
        window.forward(&of, &mut sums, before);
        let mut pairs = sums.pairs();
        let mut scratch = vec![9.0; tssa.step_scratch()];
        for (row, (u, y)) in y_of.chunks_exact(channels).zip(after.chunks_exact_mut(channels)).enumerate() {
            let one = Tssa { rows: 1, start: tssa.start + first + row, ..tssa };
            let of = TssaInputs { u, temperature: &temperature, offsets: &offsets[(first + row) * heads..][..heads] };
            one.step(&of, pairs.each_mut().map(|pair| &mut pair[..]), &mut scratch, y);
        }
        close("y", &y, &plain_y, 1e-5);
    }

    #[test]
    fn gradients_are_those_of_the_definition(tssa in sizes()) {
        gradients_hold(&Tssa { rows: tssa.rows.min(70), width: tssa.width.min(5), ..tssa });
    }
}

/// Holds the gradients to central differences of the definition.
fn gradients_hold(tssa: &Tssa) {
    let [u, temperature, offsets] = inputs(tssa);
    let of = TssaInputs { u: &u, temperature: &temperature, offsets: &offsets };
    let grad = random(u.len(), 4);
    let mut y = vec![0.0; u.len()];
    let saved = tssa.forward(&of, &mut TssaSums::zero(tssa), &mut y);
    let [mut du, mut dtemperature, mut doffsets] = [&u, &temperature, &offsets].map(|x| vec![9.0; x.len()]);
    let gradients = TssaGradients { u: &mut du, temperature: &mut dtemperature, offsets: &mut doffsets };
    tssa.backward(&of, &saved, &mut grad.clone(), gradients);
    let value = |[u, temperature, offsets]: [&[f64]; 3]| {
        plain(tssa, u, temperature, offsets).0.iter().zip(&grad).map(|(y, grad)| y * f64::from(*grad)).sum()
    };
    // Logits grow with the scale, and f32 rounds them in proportion; the temperature's gradient multiplies by them once more.
    let rounding = 0.5 * f64::from(f32::EPSILON) * tssa.scale(tssa.start + tssa.rows).powi(2);
    for (which, (ours, tolerance)) in
        [(du, 1e-4), (dtemperature, rounding.max(1e-4)), (doffsets, 1e-4)].iter().enumerate()
    {
        close("gradient", ours, &differences([&u, &temperature, &offsets], which, 1e-5, value), *tolerance);
    }
}

/// The largest rounding of the temperature's gradient among 8,200 shapes without decay: 1.9e-4.
#[test]
fn long_scales_round_the_gradient_of_the_temperature() {
    let routing = Routing::LengthScaled;
    gradients_hold(&Tssa { batch: 2, rows: 33, heads: 2, width: 5, decay: 1.0, routing, start: 33 });
}

/// Below the floor a ratio is a square over a constant, so that no gradient goes through the energy, and zeros divide nothing.
#[test]
fn rows_of_almost_nothing_have_values_and_gradients() {
    let tssa = Tssa { batch: 1, rows: 3, heads: 2, width: 2, decay: 0.9, routing: Routing::Share, start: 0 };
    let u = [0.0, 3e-7, -4e-7, 2e-7, 5e-7, 0.0, 1e-7, -6e-7, 2e-7, 0.0, 3e-7, 4e-7];
    let (temperature, offsets, grad) = ([1.0, 0.7], [0.0; 6], random(12, 4));
    let of = TssaInputs { u: &u, temperature: &temperature, offsets: &offsets };
    let mut y = vec![9.0; 12];
    let saved = tssa.forward(&of, &mut TssaSums::zero(&tssa), &mut y);
    let (plain_y, _) = plain(&tssa, &f64s(&u), &f64s(&temperature), &f64s(&offsets));
    for (y, plain) in y.iter().zip(&plain_y) {
        assert!((f64::from(*y) - plain).abs() <= 1e-5 * plain.abs(), "{y} instead of {plain}");
    }
    let [mut du, mut dtemperature, mut doffsets] = [vec![9.0; 12], vec![9.0; 2], vec![9.0; 6]];
    let gradients = TssaGradients { u: &mut du, temperature: &mut dtemperature, offsets: &mut doffsets };
    tssa.backward(&of, &saved, &mut grad.clone(), gradients);
    let value = |[u, temperature, offsets]: [&[f64]; 3]| {
        plain(&tssa, u, temperature, offsets).0.iter().zip(&grad).map(|(y, grad)| y * f64::from(*grad)).sum()
    };
    close("gradient", &du, &differences([&u, &temperature, &offsets], 0, 1e-10, value), 1e-4);
}

#[test]
fn pairs_hold_what_the_sums_hold() {
    let tssa = Tssa { batch: 1, rows: 1, heads: 1, width: 2, decay: 1.0, routing: Routing::Share, start: 0 };
    let sums = TssaSums { energy: vec![1e6 + 1e-4, 0.1], numerator: vec![1.0 / 3.0, 0.0], mass: vec![12_345.678_901] };
    let pairs = sums.pairs();
    let back = TssaSums::of_pairs(pairs.each_ref().map(Vec::as_slice));
    for (sum, back) in [(&sums.energy, &back.energy), (&sums.numerator, &back.numerator), (&sums.mass, &back.mass)] {
        assert!(
            sum.iter().zip(back).all(|(sum, back)| (sum - back).abs() <= 1e-13 * sum),
            "{back:?} instead of {sum:?}"
        );
    }
    assert_eq!(TssaSums::zero(&tssa).pairs()[0], [0.0; 4]);
}

#[test]
fn routing_by_length_counts_the_tokens_that_are_remembered() {
    let tssa = Tssa { batch: 1, rows: 1, heads: 1, width: 1, decay: 0.5, routing: Routing::LengthScaled, start: 0 };
    assert_eq!([0, 1, 2].map(|position| tssa.scale(position)), [1.0, 1.5, 1.75]);
    assert_eq!(Tssa { decay: 1.0, ..tssa }.scale(2), 3.0);
    assert_eq!(Tssa { routing: Routing::Share, ..tssa }.scale(2), 1.0);
}

/// In f32 alone, a sum near a million no longer takes up what a small square adds.
#[test]
fn a_million_rows_lose_nothing() {
    let tssa = Tssa { batch: 1, rows: 1000, heads: 2, width: 2, decay: 1.0, routing: Routing::LengthScaled, start: 0 };
    let (temperature, offsets) = ([1.0, 0.8], vec![0.0; 2000]);
    let (mut sums, mut exact) = (TssaSums::zero(&tssa), [0.0f64; 4]);
    let mut by_rows = TssaSums::zero(&tssa).pairs();
    let mut scratch = vec![0.0; tssa.step_scratch()];
    for window in 0..1000u64 {
        let u = random(4000, window);
        let mut y = vec![0.0; 4000];
        let tssa = Tssa { start: window as usize * 1000, ..tssa };
        let of = TssaInputs { u: &u, temperature: &temperature, offsets: &offsets };
        tssa.forward(&of, &mut sums, &mut y);
        for (at, u) in u.chunks_exact(4).enumerate() {
            exact.iter_mut().zip(u).for_each(|(sum, u)| *sum += f64::from(*u).powi(2));
            let of = TssaInputs { u, temperature: &temperature, offsets: &[0.0; 2] };
            let (one, mut single) = (Tssa { rows: 1, start: tssa.start + at, ..tssa }, [0.0; 4]);
            one.step(&of, by_rows.each_mut().map(|pair| &mut pair[..]), &mut scratch, &mut single);
            for (single, y) in single.iter().zip(&y[at * 4..]) {
                assert!((single - y).abs() < 1e-5, "row {at} of window {window}: {single} instead of {y}");
            }
        }
    }
    let [energy, numerator, mass] = &by_rows;
    let by_rows = TssaSums::of_pairs([energy, numerator, mass]);
    for sums in [sums, by_rows] {
        for (sum, exact) in sums.energy.iter().zip(exact) {
            assert!((sum / exact - 1.0).abs() < 1e-6, "{sum} instead of {exact}");
        }
        assert!((sums.mass.iter().sum::<f64>() / 1e6 - 1.0).abs() < 1e-6, "{:?}", sums.mass);
    }
}
