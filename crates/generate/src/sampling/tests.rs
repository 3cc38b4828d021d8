use super::*;
use proptest::prelude::*;

fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|l| (l - max).exp()).sum();
    logits.iter().map(|l| l - max - sum.ln()).collect()
}

fn kept(config: SamplingConfig, log_probabilities: &[f32]) -> Vec<u32> {
    let mut sampler = Sampler::new(config, &[]).unwrap();
    sampler.candidates(log_probabilities).unwrap().iter().map(|candidate| candidate.token).collect()
}

fn distribution() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-8.0f32..8.0, 1..40).prop_map(|logits| log_softmax(&logits))
}

proptest! {
    #[test]
    fn the_same_seed_draws_the_same_tokens(p in distribution(), seed in any::<u64>()) {
        let config = SamplingConfig { seed, repetition_penalty: 1.2, ..Default::default() };
        let mut a = Sampler::new(config.clone(), &[]).unwrap();
        let mut b = Sampler::new(config, &[]).unwrap();
        for _ in 0..20 {
            prop_assert_eq!(a.next(&p).unwrap(), b.next(&p).unwrap());
        }
    }

    #[test]
    fn a_draw_looks_no_further_than_it_must_and_misses_nothing(
        p in distribution(), seed in any::<u64>(), t in 0.2f32..2.0, k in 1usize..60, limit in 0.01f32..1.0, used in 0..8u32,
    ) {
        let config = SamplingConfig {
            temperature: t,
            top_k: (used & 1 == 1).then_some(k),
            top_p: (used & 2 == 2).then_some(limit),
            min_p: (used & 4 == 4).then_some(limit / 4.0),
            repetition_penalty: 1.1,
            seed,
            ..Default::default()
        };
        let mut sampler = Sampler::new(config, &[2]).unwrap();
        prop_assume!(p.len() > 3);
        for draw in 0..20 {
            let all = sampler.candidates(&p).unwrap();
            prop_assert!(all.iter().all(|candidate| candidate.token != 2));
            let at = uniform(seed, draw);
            // A hair around a border, rounding may decide either way.
            let mut sum = 0.0;
            let near = all.iter().any(|c| { sum += c.probability; (sum - at).abs() < 1e-6 });
            let expected = pick(&all, at);
            let token = sampler.next(&p).unwrap();
            prop_assert!(near || token == expected, "{token} instead of {expected}");
        }
    }

    #[test]
    fn top_k_keeps_the_k_most_probable(p in distribution(), k in 1usize..50) {
        let mut order: Vec<u32> = (0..p.len() as u32).collect();
        order.sort_by(|a, b| p[*b as usize].total_cmp(&p[*a as usize]).then(a.cmp(b)));
        order.truncate(k);
        prop_assert_eq!(kept(SamplingConfig { top_k: Some(k), ..Default::default() }, &p), order);
    }

    #[test]
    fn top_p_keeps_the_smallest_sufficient_set(p in distribution(), limit in 0.01f32..1.0) {
        let kept = kept(SamplingConfig { top_p: Some(limit), ..Default::default() }, &p);
        let mass = |tokens: &[u32]| tokens.iter().map(|t| f64::from(p[*t as usize]).exp()).sum::<f64>();
        prop_assert!(mass(&kept) >= f64::from(limit) - 1e-5);
        prop_assert!(mass(&kept[..kept.len() - 1]) < f64::from(limit) + 1e-5);
    }

    #[test]
    fn min_p_keeps_what_is_probable_enough(p in distribution(), fraction in 0.0f32..1.0) {
        let kept = kept(SamplingConfig { min_p: Some(fraction), ..Default::default() }, &p);
        let best = p.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for (token, value) in p.iter().enumerate() {
            let ratio = (value - best).exp();
            // A hair around the border, rounding may decide either way.
            if (ratio - fraction).abs() > 1e-5 {
                prop_assert_eq!(kept.contains(&(token as u32)), ratio > fraction);
            }
        }
    }

    #[test]
    fn candidates_are_a_distribution_and_hold_the_best(p in distribution(), t in 0.1f32..3.0, k in 1usize..9) {
        let config = SamplingConfig { temperature: t, top_k: Some(k), top_p: Some(0.9), min_p: Some(0.05), ..Default::default() };
        let candidates = Sampler::new(config, &[]).unwrap().candidates(&p).unwrap();
        prop_assert!((candidates.iter().map(|c| c.probability).sum::<f64>() - 1.0).abs() < 1e-9);
        prop_assert!(p.iter().all(|value| *value <= p[candidates[0].token as usize]));
    }
}

#[test]
fn draws_follow_the_distribution() {
    let p = log_softmax(&[0.0, 1.0, 2.0]);
    let mut sampler = Sampler::new(SamplingConfig { seed: 7, ..Default::default() }, &[]).unwrap();
    let mut counts = [0u32; 3];
    for _ in 0..30_000 {
        counts[sampler.next(&p).unwrap() as usize] += 1;
    }
    for (count, value) in counts.iter().zip(&p) {
        assert!((f64::from(*count) / 30_000.0 - f64::from(value.exp())).abs() < 0.01, "{counts:?}");
    }
}

#[test]
fn temperatures_and_penalties_near_the_ends_of_their_range_draw() {
    let p = log_softmax(&[1.0, 3.0, 2.0]);
    // Sharper than can be said, and so flat that all are alike.
    for (temperature, drawn) in [(f32::from_bits(1), 1), (1e-40, 1), (f32::MIN_POSITIVE, 1), (f32::MAX, 3)] {
        let config = SamplingConfig { temperature, ..Default::default() };
        let candidates = Sampler::new(config, &[]).unwrap().candidates(&p).unwrap();
        let likely = candidates.iter().filter(|candidate| candidate.probability > 0.1).count();
        assert!(likely == drawn && candidates.iter().any(|candidate| candidate.token == 1), "{temperature:e}");
        assert!((candidates.iter().map(|c| c.probability).sum::<f64>() - 1.0).abs() < 1e-9, "{temperature:e}");
    }
    let config = SamplingConfig { repetition_penalty: f32::MAX, ..Default::default() };
    let mut sampler = Sampler::new(config, &[]).unwrap();
    // When every token was seen, none is likelier than the others, and all can be drawn.
    (0..4).for_each(|token| sampler.observe(token));
    assert_eq!(sampler.candidates(&log_softmax(&[0.0; 4])).unwrap().len(), 4);
}

#[test]
fn temperature_zero_is_greedy_and_excluded_tokens_never_come() {
    let p = log_softmax(&[3.0, 2.0, 1.0]);
    let config = SamplingConfig { temperature: 0.0, ..Default::default() };
    assert_eq!(Sampler::new(config.clone(), &[]).unwrap().next(&p).unwrap(), 0);
    assert_eq!(Sampler::new(config, &[0]).unwrap().next(&p).unwrap(), 1);
}

#[test]
fn the_penalty_reaches_the_window_and_no_further() {
    let p = log_softmax(&[1.0, 0.9, -5.0]);
    let config =
        SamplingConfig { temperature: 0.0, repetition_penalty: 2.0, repetition_window: 2, ..Default::default() };
    let next = |seen: &[u32]| {
        let mut sampler = Sampler::new(config.clone(), &[]).unwrap();
        seen.iter().for_each(|&token| sampler.observe(token));
        sampler.next(&p).unwrap()
    };
    assert_eq!(next(&[]), 0);
    assert_eq!(next(&[0, 2]), 1, "0 was seen lately");
    assert_eq!(next(&[0, 2, 2]), 0, "the window has moved on");
}

#[test]
fn a_bias_moves_what_is_drawn_but_makes_nothing_possible_that_is_not() {
    let p = log_softmax(&[1.0, 0.9, -5.0]);
    let next = |bias: &[(u32, f32)]| {
        let config = SamplingConfig { temperature: 0.0, bias: bias.to_vec(), ..Default::default() };
        Sampler::new(config, &[2]).unwrap().next(&p).unwrap()
    };
    assert_eq!(next(&[(0, -0.2)]), 1);
    assert_eq!(next(&[(1, 0.2)]), 1);
    assert_eq!(next(&[(1, 0.05), (2, 100.0), (99, 100.0)]), 0, "2 is excluded, 99 is no token");
    let config = SamplingConfig { bias: vec![(0, -100.0)], ..Default::default() };
    let left = Sampler::new(config, &[]).unwrap().candidates(&p).unwrap();
    let (best, expected) = (left[0], 1.0 / (1.0 + (-5.9f64).exp()));
    assert!(best.token == 1 && (best.probability - expected).abs() < 1e-6, "{left:?}");
}

#[test]
fn broken_distributions_and_values_are_refused() {
    let mut sampler = Sampler::new(SamplingConfig::default(), &[]).unwrap();
    assert!(sampler.next(&[f32::NAN, f32::NEG_INFINITY]).unwrap_err().is_check());
    let wrong = [
        SamplingConfig { temperature: -1.0, ..Default::default() },
        SamplingConfig { temperature: f32::NAN, ..Default::default() },
        SamplingConfig { top_k: Some(0), ..Default::default() },
        SamplingConfig { top_p: Some(0.0), ..Default::default() },
        SamplingConfig { min_p: Some(1.5), ..Default::default() },
        SamplingConfig { repetition_penalty: 0.5, ..Default::default() },
        SamplingConfig { bias: vec![(3, f32::NAN)], ..Default::default() },
    ];
    assert!(wrong.iter().all(|config| config.validate().unwrap_err().is_usage()));
}
