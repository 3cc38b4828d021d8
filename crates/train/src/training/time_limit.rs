//! A limit on the time of training: when the run ends, and when its decay must begin.

use crate::config::TrainConfig;
use crate::config::learning_rate::Decay;

/// The steps of the run after `step` steps in `seconds`, where the time limit sets them; `planned`: what it set before.
///
/// A run whose time is up ends with the step that it has done. Under `wsd`, the decay takes its share of the time: once the rest
/// is used up, the number of steps is set from the speed so far, so that the decay ends in time.
pub(crate) fn planned_steps(train: &TrainConfig, step: u64, seconds: f64, planned: Option<u64>) -> Option<u64> {
    let left = train.seconds - seconds;
    if train.seconds == 0.0 || step == 0 {
        return None;
    }
    if left <= 0.0 {
        return Some(planned.unwrap_or(step).min(step));
    }
    let schedule = train.continuation.last().map_or(train.schedule, |continuation| continuation.schedule);
    let decays = schedule == Decay::Wsd && train.cooldown > 0.0;
    if planned.is_some() || !decays || left > train.cooldown * train.seconds {
        return planned;
    }
    let more = (left * step as f64 / seconds) as u64;
    Some((step + more.max(1)).min(train.steps))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(schedule: Decay) -> TrainConfig {
        TrainConfig { steps: 1_000_000, seconds: 100.0, cooldown: 0.2, schedule, ..TrainConfig::default() }
    }

    #[test]
    fn without_a_limit_nothing_is_set() {
        assert_eq!(planned_steps(&TrainConfig::default(), 10, 1e9, None), None);
    }

    #[test]
    fn the_run_ends_with_the_step_in_which_time_is_up() {
        for schedule in [Decay::Constant, Decay::Wsd] {
            assert_eq!(planned_steps(&limited(schedule), 10, 100.0, None), Some(10));
            assert_eq!(planned_steps(&limited(schedule), 10, 101.0, Some(12)), Some(10));
        }
        assert_eq!(planned_steps(&limited(Decay::Constant), 10, 99.9, None), None);
    }

    #[test]
    fn the_decay_is_planned_once_at_the_speed_so_far() {
        let train = limited(Decay::Wsd);
        assert_eq!(planned_steps(&train, 79, 79.0, None), None);
        assert_eq!(planned_steps(&train, 160, 80.0, None), Some(200));
        assert_eq!(planned_steps(&train, 170, 89.0, Some(200)), Some(200));
        let short = TrainConfig { steps: 165, ..train };
        assert_eq!(planned_steps(&short, 160, 80.0, None), Some(165));
    }
}
