//! How the learning rate of a run that is lengthened goes on.
//!
//! Under `cosine` and `wsd` the learning rate depends on the number of steps. Where that changes after the decay, the same
//! schedule over more steps would jump back up; a [`Continuation`] goes on from where the rate stands instead.

use crate::config::TrainConfig;
use crate::config::continuation::{Continuation, ScheduleChoice};
use crate::config::layering::Override;
use crate::config::learning_rate::{Decay, Schedule};
use crate::run::progress::Progress;

/// What to tell about the learning rate of the steps to come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    /// All is as it was.
    Nothing,
    /// What was asked for, in figures.
    Note(String),
    /// What nobody asked for by name.
    Warning(String),
}

/// The keys that say what the learning rate is.
const KEYS: [&str; 7] = [
    "train.learning_rate",
    "train.warmup",
    "train.warmup_shape",
    "train.schedule",
    "train.final_fraction",
    "train.cooldown",
    "train.halve_every",
];

/// Whether a run may end elsewhere under another configuration.
pub(crate) fn ends_elsewhere(before: &TrainConfig, after: &TrainConfig) -> bool {
    let end = |train: &TrainConfig| (train.steps, train.seconds, train.schedule, train.cooldown);
    end(before) != end(after)
}

/// Puts into `after` how the learning rate goes on from a checkpoint of a run that had the configuration `before`.
///
/// Without a choice the configuration's schedule holds, except where it has ended and would begin to rise again: then the
/// rate stays.
pub(crate) fn go_on(
    before: &TrainConfig,
    after: &mut TrainConfig,
    at: &Progress,
    overrides: &[Override],
    choice: Option<ScheduleChoice>,
) -> Told {
    let end = at.planned.unwrap_or(before.steps);
    let new_end = if ends_elsewhere(before, after) { after.steps } else { end };
    if at.step == 0 || new_end <= at.step {
        return Told::Nothing;
    }
    let was = Schedule { steps: end, ..before.schedule() };
    let here = was.learning_rate(at.step);
    let expected = was.learning_rate(at.step + 1);
    let is_set = overrides.iter().any(|change| KEYS.contains(&change.key()));
    if is_set {
        // What was set now is what holds.
        after.continuation.clear();
    }
    let next = |train: &TrainConfig| Schedule { steps: new_end, ..train.schedule() }.learning_rate(at.step + 1);
    let kept = next(after);
    let would_rise = at.step >= end.max(before.warmup) && kept > here * (1.0 + 1e-9);
    let chosen = match choice {
        None if would_rise && !is_set => ScheduleChoice::Constant,
        choice => choice.unwrap_or(ScheduleChoice::Keep),
    };
    match chosen {
        ScheduleChoice::Keep => {}
        ScheduleChoice::Constant => from_here(after, at.step, (end, here), Decay::Constant),
        ScheduleChoice::Decay => from_here(after, at.step, (end, here), Decay::Cosine),
    }
    let lowest = here * after.final_fraction;
    Rates { step: at.step, end: new_end, here, kept, expected, lowest }.told(chosen, choice)
}

/// Lets the steps after `step` follow another schedule. Another choice for the same steps is taken back.
fn from_here(train: &mut TrainConfig, step: u64, (end, learning_rate): (u64, f64), schedule: Decay) {
    let replaced = train.continuation.iter().find(|continuation| continuation.step == step);
    let steps = replaced.map_or(end, |replaced| replaced.steps);
    train.continuation.retain(|continuation| continuation.step < step);
    train.continuation.push(Continuation { step, steps, learning_rate, schedule });
}

/// Learning rates around a checkpoint.
struct Rates {
    /// The checkpoint's step.
    step: u64,
    /// The last step.
    end: u64,
    /// Of the checkpoint's step.
    here: f64,
    /// Of the next step, under the schedule of the configuration.
    kept: f64,
    /// Of the next step, as it was planned.
    expected: f64,
    /// Of the last step, where the rate decays from here.
    lowest: f64,
}

impl Rates {
    fn told(&self, chosen: ScheduleChoice, asked: Option<ScheduleChoice>) -> Told {
        let Self { step, end, .. } = self;
        let [here, kept, lowest] = [self.here, self.kept, self.lowest].map(figure);
        let told = match chosen {
            ScheduleChoice::Keep => {
                let next = step + 1;
                format!(
                    "learning rate: {here} in step {step}, {kept} in step {next}; the schedule counts on {end} steps"
                )
            }
            ScheduleChoice::Constant => format!("learning rate: {here} as in step {step}, up to the end"),
            ScheduleChoice::Decay => {
                format!("learning rate: from {here} in step {step} down to {lowest} in step {end}")
            }
        };
        match asked {
            Some(_) => Told::Note(told),
            None if chosen == ScheduleChoice::Constant => Told::Warning(format!(
                "the schedule has ended with step {step}. {told}; `--schedule decay` lowers it to {lowest}, \
                 `--schedule keep` stretches the schedule over {end} steps and raises it to {kept}"
            )),
            None if (self.kept - self.expected).abs() > 1e-6 * self.expected => Told::Warning(format!(
                "{told}; `--schedule constant` stays at {here}, `--schedule decay` goes down from it"
            )),
            None => Told::Nothing,
        }
    }
}

/// A learning rate in few digits.
fn figure(rate: f64) -> String {
    format!("{rate:.3e}").parse::<f64>().unwrap_or(rate).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cosine of 40 steps, from 0.01 to 0.001.
    fn cosine() -> TrainConfig {
        TrainConfig { steps: 40, learning_rate: 0.01, warmup: 4, ..TrainConfig::default() }
    }

    fn at(step: u64) -> Progress {
        Progress { step, planned: None, ..crate::run::progress::tests::example() }
    }

    /// What is told, and the learning rates of some steps.
    fn gone_on<const N: usize>(
        before: &TrainConfig,
        changes: &[&str],
        at: &Progress,
        choice: Option<ScheduleChoice>,
        steps: [u64; N],
    ) -> (Told, [f64; N]) {
        let overrides: Vec<Override> = changes.iter().map(|change| Override::set(change).unwrap()).collect();
        let mut after = before.clone();
        for change in changes {
            match change.split_once('=').unwrap() {
                ("train.steps", value) => after.steps = value.parse().unwrap(),
                ("train.seconds", value) => after.seconds = value.parse().unwrap(),
                ("train.learning_rate", value) => after.learning_rate = value.parse().unwrap(),
                other => panic!("{other:?}"),
            }
        }
        let told = go_on(before, &mut after, at, &overrides, choice);
        (told, steps.map(|step| after.schedule().learning_rate(step)))
    }

    fn close(found: &[f64], expected: &[f64]) {
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9;
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(near), "{found:?} is not {expected:?}");
    }

    #[test]
    fn a_finished_cosine_does_not_rise_unless_it_is_asked_to() {
        let before = cosine();
        let peak_again = Schedule { steps: 80, ..before.schedule() }.learning_rate(41);
        assert!(peak_again > 0.005, "{peak_again}");
        let (told, rates) = gone_on(&before, &["train.steps=80"], &at(40), None, [40, 41, 80]);
        close(&rates, &[0.001, 0.001, 0.001]);
        let Told::Warning(text) = told else { panic!("{told:?}") };
        assert!(text.contains("learning rate: 0.001 as in step 40") && text.contains("lowers it to 0.0001"), "{text}");
        let (told, rates) =
            gone_on(&before, &["train.steps=80"], &at(40), Some(ScheduleChoice::Decay), [20, 40, 60, 80]);
        close(&rates, &[before.schedule().learning_rate(20), 0.001, 0.00055, 0.0001]);
        assert_eq!(told, Told::Note("learning rate: from 0.001 in step 40 down to 0.0001 in step 80".into()));
        let (told, rates) = gone_on(&before, &["train.steps=80"], &at(40), Some(ScheduleChoice::Keep), [41, 80]);
        close(&rates, &[peak_again, 0.001]);
        assert!(matches!(told, Told::Note(text) if text.contains("counts on 80 steps")));
    }

    #[test]
    fn an_unfinished_schedule_stretches_and_says_so() {
        let (told, rates) = gone_on(&cosine(), &["train.steps=80"], &at(22), None, [23, 80]);
        close(&rates, &[Schedule { steps: 80, ..cosine().schedule() }.learning_rate(23), 0.001]);
        let Told::Warning(text) = told else { panic!("{told:?}") };
        assert!(text.starts_with("learning rate: 0.0055 in step 22, 0.008682 in step 23;"), "{text}");
        let (_, rates) =
            gone_on(&cosine(), &["train.steps=80"], &at(22), Some(ScheduleChoice::Constant), [10, 22, 23, 80]);
        close(&rates, &[cosine().schedule().learning_rate(10), 0.0055, 0.0055, 0.0055]);
    }

    #[test]
    fn what_does_not_change_needs_no_word() {
        let rates = [5, 30, 40].map(|step| cosine().schedule().learning_rate(step));
        for step in [0, 7, 40] {
            assert_eq!(gone_on(&cosine(), &[], &at(step), None, [5, 30, 40]), (Told::Nothing, rates));
        }
        for schedule in [Decay::Constant, Decay::Halving] {
            let before = TrainConfig { schedule, ..cosine() };
            assert_eq!(gone_on(&before, &["train.steps=80"], &at(40), None, []).0, Told::Nothing);
        }
        // Still warming up: the rate rises as planned.
        let before = TrainConfig { warmup: 60, ..cosine() };
        assert_eq!(gone_on(&before, &["train.steps=80"], &at(40), None, []).0, Told::Nothing);
        // Before its decay, a wsd schedule does not depend on the steps.
        let before = TrainConfig { schedule: Decay::Wsd, ..cosine() };
        assert_eq!(gone_on(&before, &["train.steps=80"], &at(20), None, []).0, Told::Nothing);
    }

    #[test]
    fn a_time_limit_ends_a_schedule_too() {
        let before = TrainConfig { schedule: Decay::Wsd, steps: 1000, seconds: 9.0, ..cosine() };
        let finished = Progress { planned: Some(50), ..at(50) };
        assert_eq!(gone_on(&before, &[], &finished, None, []).0, Told::Nothing);
        let decaying = Progress { planned: Some(50), ..at(45) };
        assert_eq!(gone_on(&before, &[], &decaying, None, []).0, Told::Nothing);
        let (told, rates) = gone_on(&before, &["train.seconds=18"], &finished, None, [51, 1000]);
        close(&rates, &[0.001, 0.001]);
        assert!(matches!(told, Told::Warning(_)), "{told:?}");
    }

    #[test]
    fn a_learning_rate_that_is_set_holds() {
        let (told, rates) = gone_on(&cosine(), &["train.steps=80", "train.learning_rate=0.02"], &at(40), None, [80]);
        close(&rates, &[0.002]);
        assert!(matches!(told, Told::Warning(text) if text.starts_with("learning rate: 0.001 in step 40")));
    }

    #[test]
    fn a_continued_run_is_continued_again() {
        let mut before = cosine();
        go_on(
            &cosine(),
            {
                before.steps = 80;
                &mut before
            },
            &at(40),
            &[],
            Some(ScheduleChoice::Decay),
        );
        let (told, rates) = gone_on(&before, &["train.steps=120"], &at(80), None, [81, 120]);
        close(&rates, &[0.0001, 0.0001]);
        assert!(matches!(told, Told::Warning(_)), "{told:?}");
        let (_, rates) = gone_on(&before, &["train.steps=120"], &at(80), Some(ScheduleChoice::Keep), [40, 80, 120]);
        close(&rates, &[0.001, 0.00055, 0.0001]);
        // Each part keeps the schedule that it had.
        let (_, rates) =
            gone_on(&before, &["train.steps=120"], &at(80), Some(ScheduleChoice::Constant), [20, 60, 80, 120]);
        close(&rates, &[before.schedule().learning_rate(20), before.schedule().learning_rate(60), 0.0001, 0.0001]);
    }
}
