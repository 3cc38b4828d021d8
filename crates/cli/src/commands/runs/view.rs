//! How the figures and curves of a run are written.

use percept::train::{Metrics, Overview};

use crate::chart::chart;
use crate::human;

/// Steps of the whole run beside those done.
pub(super) fn steps(run: &Overview) -> String {
    match run.steps {
        Some(steps) => format!("{}/{steps}", run.step),
        None => run.step.to_string(),
    }
}

/// Bits per byte where there are any, else nats per target with a mark.
pub(super) fn loss(nats: Option<f64>, bits: Option<f64>) -> String {
    match (bits, nats) {
        (Some(bits), _) => format!("{bits:.3}"),
        (None, Some(nats)) => format!("{nats:.3} nats"),
        (None, None) => "-".to_string(),
    }
}

/// As [`loss`], with `bits/byte` where it is that.
pub(super) fn with_unit(nats: Option<f64>, bits: Option<f64>) -> String {
    nats.map_or("-".to_string(), |nats| human::quality(bits, nats))
}

/// How long ago the run last wrote.
pub(super) fn age(run: &Overview) -> String {
    run.age_seconds.map_or("-".to_string(), human::duration)
}

/// A curve of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Curve {
    steps: Vec<u64>,
    values: Vec<f64>,
    unit: &'static str,
}

impl Curve {
    /// The training losses, in bits per byte where all of them have that.
    pub(super) fn training(lines: &[Metrics]) -> Self {
        Self::of(lines.iter().filter_map(|line| match line {
            Metrics::Train(step) => Some((step.step, step.loss, step.bits_per_byte)),
            Metrics::Validation(_) => None,
        }))
    }

    /// The validation losses.
    pub(super) fn validation(lines: &[Metrics]) -> Self {
        Self::of(lines.iter().filter_map(|line| match line {
            Metrics::Validation(validation) => Some((validation.step, validation.loss, validation.bits_per_byte)),
            Metrics::Train(_) => None,
        }))
    }

    fn of(points: impl Iterator<Item = (u64, f64, Option<f64>)>) -> Self {
        let points: Vec<_> = points.filter(|(_, loss, _)| loss.is_finite()).collect();
        let bits: Option<Vec<f64>> = points.iter().map(|(_, _, bits)| *bits).collect();
        let (values, unit) = match bits {
            Some(bits) => (bits, "bits per byte"),
            None => (points.iter().map(|(_, loss, _)| *loss).collect(), "nats per target"),
        };
        Self { steps: points.iter().map(|(step, ..)| *step).collect(), values, unit }
    }

    /// A heading and the chart over `width` columns; nothing where a curve has fewer than two points.
    pub(super) fn lines(&self, name: &str, width: usize) -> Vec<String> {
        let (Some(first), Some(last), true) = (self.steps.first(), self.steps.last(), self.values.len() > 1) else {
            return Vec::new();
        };
        let heading = format!("{name} loss, {}", self.unit);
        let chart = chart(&self.values, (*first, *last), width);
        std::iter::once(heading).chain(chart.lines().map(str::to_string)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percept::train::ValidationMetrics;

    fn validations(bits: &[Option<f64>]) -> Vec<Metrics> {
        let line = |(step, bits): (u64, &Option<f64>)| {
            Metrics::Validation(ValidationMetrics { step, targets: 1, loss: 2.0, bits_per_byte: *bits, best: false })
        };
        (1..).zip(bits).map(line).collect()
    }

    #[test]
    fn a_curve_is_in_bits_where_all_of_its_points_are() {
        let curve = Curve::validation(&validations(&[Some(4.0), Some(3.0)]));
        assert_eq!((curve.values, curve.unit), (vec![4.0, 3.0], "bits per byte"));
        let curve = Curve::validation(&validations(&[Some(4.0), None]));
        assert_eq!((curve.values, curve.unit), (vec![2.0, 2.0], "nats per target"));
        assert_eq!(Curve::training(&validations(&[None])).lines("training", 40), Vec::<String>::new());
    }

    #[test]
    fn figures_say_their_unit() {
        assert_eq!((loss(Some(2.0), Some(3.0)), loss(Some(2.0), None)), ("3.000".into(), "2.000 nats".into()));
        assert_eq!(loss(None, None), "-");
    }
}
