//! The learning rate over the steps of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::continuation::Continuation;

/// What follows the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// Half a cosine from the peak to `final_fraction` of it (arXiv 1608.03983).
    Cosine,
    /// Warm-up, stable, decay: constant, then linear over the last `cooldown` share of the steps (arXiv 2404.06395).
    Wsd,
    /// Constant at the peak.
    Constant,
    /// Halved every `halve_every` steps (the authors of the LLP).
    Halving,
}

/// How the learning rate rises in the warm-up, from 0 to the peak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Warmup {
    /// In equal steps.
    #[default]
    Linear,
    /// With the square root of the step: fast at first (GroupBERT, arXiv 2106.05822).
    SquareRoot,
}

/// Learning rate as a function of the step.
///
/// ```
/// let train = percept_train::TrainConfig { steps: 100, warmup: 10, learning_rate: 1e-3, ..Default::default() };
/// let schedule = train.schedule();
/// assert_eq!((schedule.learning_rate(5), schedule.learning_rate(10)), (5e-4, 1e-3));
/// assert!(schedule.learning_rate(100) < 1.1e-4);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// What follows the warm-up.
    pub decay: Decay,
    /// Highest learning rate.
    pub peak: f64,
    /// Steps of warm-up from 0; step `warmup` (counted from 1) is the first at the peak.
    pub warmup: u64,
    /// How it rises meanwhile.
    pub warmup_shape: Warmup,
    /// Steps of the run.
    pub steps: u64,
    /// Learning rate of the last step as a share of the peak (cosine, wsd).
    pub final_fraction: f64,
    /// Share of the steps that decay (wsd).
    pub cooldown: f64,
    /// Steps between two halvings (halving).
    pub halve_every: u64,
    /// What the steps after some follow instead, in the order of the steps.
    pub continuation: Vec<Continuation>,
}

impl Schedule {
    /// The learning rate of step `step`, counted from 1 to `steps`.
    ///
    /// Warm-up rises as `peak * step / warmup`, or the root of that share; the last step has exactly `peak * final_fraction`
    /// under `cosine` and `wsd`. After a continuation's step, its own schedule counts from there, up to the end that was planned then.
    pub fn learning_rate(&self, step: u64) -> f64 {
        // A run that ends before a continuation has nothing to do with it.
        let reached = self.continuation.iter().filter(|continuation| continuation.step < self.steps);
        let (mut last, mut end) = (None, self.steps);
        for continuation in reached {
            if step <= continuation.step {
                end = continuation.steps;
                break;
            }
            last = Some(continuation);
        }
        let whole = Self { steps: end, continuation: Vec::new(), ..self.clone() };
        match last {
            None => whole.own_rate(step),
            Some(&Continuation { step: from, learning_rate, schedule, .. }) => {
                let steps = end.saturating_sub(from);
                Self { decay: schedule, peak: learning_rate, warmup: 0, steps, ..whole }.own_rate(step - from)
            }
        }
    }

    /// The learning rate without continuations.
    fn own_rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return match self.warmup_shape {
                Warmup::Linear => self.peak * step as f64 / self.warmup as f64,
                Warmup::SquareRoot => self.peak * (step as f64 / self.warmup as f64).sqrt(),
            };
        }
        match self.decay {
            Decay::Constant => self.peak,
            Decay::Halving => self.peak * 0.5f64.powi((step / self.halve_every.max(1)).min(1000) as i32),
            Decay::Cosine => {
                let cosine = (std::f64::consts::PI * progress(step, self.warmup, self.steps)).cos();
                self.between(0.5 * (1.0 + cosine))
            }
            Decay::Wsd => {
                let stable = self.steps.saturating_sub((self.steps as f64 * self.cooldown).round() as u64);
                self.between(1.0 - progress(step, stable.max(self.warmup), self.steps))
            }
        }
    }

    /// `share` = 1 gives the peak, 0 the final learning rate.
    fn between(&self, share: f64) -> f64 {
        self.peak * (self.final_fraction + (1.0 - self.final_fraction) * share)
    }
}

/// Share of the way from `start` to `end`, in [0, 1].
fn progress(step: u64, start: u64, end: u64) -> f64 {
    if step <= start {
        return 0.0;
    }
    ((step - start) as f64 / (end.saturating_sub(start)).max(1) as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule(decay: Decay) -> Schedule {
        let continuation = Vec::new();
        let (warmup, warmup_shape, steps) = (10, Warmup::Linear, 110);
        let (peak, final_fraction, cooldown, halve_every) = (1e-3, 0.1, 0.2, 50);
        Schedule { decay, peak, warmup, warmup_shape, steps, final_fraction, cooldown, halve_every, continuation }
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-15, "{a} is not {b}");
    }

    #[test]
    fn warm_up_is_linear_and_the_same_for_all() {
        for decay in [Decay::Cosine, Decay::Wsd, Decay::Constant, Decay::Halving] {
            let schedule = schedule(decay);
            close(schedule.learning_rate(1), 1e-4);
            close(schedule.learning_rate(5), 5e-4);
            close(schedule.learning_rate(10), 1e-3);
        }
    }

    #[test]
    fn a_warm_up_may_rise_with_the_root() {
        let schedule = Schedule { warmup_shape: Warmup::SquareRoot, ..schedule(Decay::Constant) };
        close(schedule.learning_rate(1), 1e-3 * 0.1f64.sqrt());
        close(schedule.learning_rate(4), 1e-3 * 0.4f64.sqrt());
        close(schedule.learning_rate(10), 1e-3);
        close(schedule.learning_rate(11), 1e-3);
    }

    #[test]
    fn cosine_values_by_hand() {
        let schedule = schedule(Decay::Cosine);
        close(schedule.learning_rate(60), 1e-3 * (0.1 + 0.9 * 0.5));
        close(schedule.learning_rate(35), 1e-3 * (0.1 + 0.9 * 0.5 * (1.0 + 0.5f64.sqrt())));
        close(schedule.learning_rate(110), 1e-4);
    }

    #[test]
    fn wsd_is_flat_then_linear() {
        let schedule = schedule(Decay::Wsd);
        close(schedule.learning_rate(88), 1e-3);
        close(schedule.learning_rate(99), 1e-3 * (0.1 + 0.9 * 0.5));
        close(schedule.learning_rate(110), 1e-4);
    }

    #[test]
    fn halving_and_constant() {
        close(schedule(Decay::Constant).learning_rate(110), 1e-3);
        close(schedule(Decay::Halving).learning_rate(49), 1e-3);
        close(schedule(Decay::Halving).learning_rate(50), 5e-4);
        close(schedule(Decay::Halving).learning_rate(100), 2.5e-4);
    }

    #[test]
    fn a_continuation_counts_from_its_step() {
        let continuation = Continuation { step: 110, steps: 110, learning_rate: 1e-4, schedule: Decay::Cosine };
        let whole = Schedule { steps: 210, continuation: vec![continuation], ..schedule(Decay::Cosine) };
        for (step, rate) in [(5, 5e-4), (60, 5.5e-4), (110, 1e-4), (160, 5.5e-5), (210, 1e-5)] {
            close(whole.learning_rate(step), rate);
        }
        // A shorter run never gets there.
        let short = Schedule { steps: 60, ..whole.clone() };
        close(short.learning_rate(60), 1e-4);
        // Lengthened again: what was before stays as it was.
        let again = Continuation { step: 210, steps: 210, learning_rate: 1e-5, schedule: Decay::Constant };
        let twice = Schedule { steps: 300, continuation: vec![continuation, again], ..whole.clone() };
        for (step, rate) in [(60, 5.5e-4), (160, 5.5e-5), (210, 1e-5), (211, 1e-5), (300, 1e-5)] {
            close(twice.learning_rate(step), rate);
        }
    }

    proptest! {
        #[test]
        fn rates_stay_between_zero_and_the_peak(warmup in 0u64..50, steps in 1u64..200, step in 1u64..250, c in 0.0f64..1.0) {
            for decay in [Decay::Cosine, Decay::Wsd, Decay::Constant, Decay::Halving] {
                let schedule = Schedule { decay, warmup, steps, cooldown: c, ..schedule(decay) };
                let rate = schedule.learning_rate(step);
                prop_assert!(rate > 0.0 && rate <= 1e-3 * (1.0 + 1e-12), "{decay:?} {rate}");
            }
        }
    }
}
