//! Seconds that can be compared.

use super::result::Timing;

/// Whose seconds count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Clock {
    /// Those that passed while a run trained.
    Wall,
    /// So many for every step.
    Step(f64),
}

impl Clock {
    /// The clock of a model.
    pub(super) fn of(timing: Option<&Timing>, model: &str) -> Self {
        timing.and_then(|timing| timing.of(model)).map_or(Self::Wall, |step| Self::Step(step.seconds))
    }

    /// Seconds of `steps` steps that took `wall` seconds.
    pub(super) fn seconds(self, steps: u64, wall: f64) -> f64 {
        match self {
            Self::Wall => wall,
            Self::Step(seconds) => steps as f64 * seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::result::StepTime;
    use super::*;

    #[test]
    fn steps_count_where_they_are_timed() {
        let step = |model: &str, seconds| StepTime { model: model.into(), seconds, min: seconds, max: seconds };
        let timing = Timing { rounds: 1, steps: 1, models: vec![step("a", 0.5), step("b", 2.0)] };
        let seconds = |timing, model| Clock::of(timing, model).seconds(10, 7.0);
        assert_eq!((seconds(Some(&timing), "a"), seconds(Some(&timing), "b")), (5.0, 20.0));
        assert_eq!((seconds(Some(&timing), "c"), seconds(None, "a")), (7.0, 7.0));
    }
}
