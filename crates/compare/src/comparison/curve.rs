//! Learning curves from the lines of metrics that a run leaves.

use percept_train::{Metrics, StepMetrics};

use super::clock::Clock;
use super::result::{BestPoint, CurvePoint, Phase};

/// The points of a curve: one per validation. `flops_per_token`: operations of training.
///
/// The decay begins where the learning rate falls below the highest so far.
pub(super) fn curve(lines: &[Metrics], flops_per_token: f64, clock: Clock) -> Vec<CurvePoint> {
    let mut points = Vec::new();
    let mut before: Option<&StepMetrics> = None;
    let (mut nll, mut targets) = (0.0, 0);
    let mut highest: f64 = 0.0;
    for line in lines {
        match line {
            Metrics::Train(metrics) => {
                let new = metrics.targets.saturating_sub(before.map_or(0, |before| before.targets));
                nll += metrics.loss * new as f64;
                targets += new;
                highest = highest.max(metrics.learning_rate);
                before = Some(metrics);
            }
            Metrics::Validation(validation) => {
                let Some(train) = before.filter(|train| train.step == validation.step) else { continue };
                let phase = if train.learning_rate < highest { Phase::Decay } else { Phase::Stable };
                let train_loss = nll / targets.max(1) as f64;
                let (flops, seconds) =
                    (train.tokens as f64 * flops_per_token, clock.seconds(train.step, train.seconds));
                points.push(CurvePoint {
                    step: train.step,
                    tokens: train.tokens,
                    targets: train.targets,
                    flops,
                    seconds,
                    train_loss,
                    validation_loss: validation.loss,
                    bits_per_byte: validation.bits_per_byte,
                    phase,
                });
                (nll, targets) = (0.0, 0);
            }
        }
    }
    points
}

/// The point of lowest validation loss.
pub(super) fn best(curve: &[CurvePoint]) -> Option<BestPoint> {
    let lowest = curve.iter().min_by(|a, b| a.validation_loss.total_cmp(&b.validation_loss))?;
    Some(BestPoint { step: lowest.step, loss: lowest.validation_loss, bits_per_byte: lowest.bits_per_byte })
}

#[cfg(test)]
mod tests {
    use percept_train::ValidationMetrics;

    use super::*;

    fn train(step: u64, loss: f64, learning_rate: f64) -> Metrics {
        Metrics::Train(StepMetrics {
            step,
            tokens: 100 * step,
            targets: 50 * step,
            loss,
            bits_per_byte: None,
            learning_rate,
            gradient_norm: 1.0,
            tokens_per_second: 1.0,
            seconds: step as f64,
            order_hash: String::new(),
        })
    }

    fn validation(step: u64, loss: f64) -> Metrics {
        Metrics::Validation(ValidationMetrics { step, targets: 9, loss, bits_per_byte: Some(loss), best: false })
    }

    #[test]
    fn a_point_holds_what_was_used_and_the_mean_since_the_point_before() {
        let lines = [
            train(1, 6.0, 0.5),
            train(2, 4.0, 1.0),
            validation(2, 3.0),
            train(4, 2.0, 1.0),
            validation(4, 1.0),
            train(6, 2.0, 0.3),
            validation(6, 2.0),
            validation(7, 0.0),
        ];
        let curve = curve(&lines, 10.0, Clock::Wall);
        assert_eq!(curve.len(), 3, "the validation without its step is left out");
        let CurvePoint { step, tokens, targets, flops, seconds, train_loss, phase, .. } = curve[0];
        assert_eq!((step, tokens, targets, flops, seconds), (2, 200, 100, 2000.0, 2.0));
        assert_eq!((train_loss, phase, curve[1].train_loss), (5.0, Phase::Stable, 2.0));
        assert_eq!((curve[1].phase, curve[2].phase), (Phase::Stable, Phase::Decay));
        let timed = super::curve(&lines, 10.0, Clock::Step(0.25));
        assert_eq!(timed.iter().map(|point| point.seconds).collect::<Vec<_>>(), [0.5, 1.0, 1.5]);
        assert_eq!(best(&curve).unwrap(), BestPoint { step: 4, loss: 1.0, bits_per_byte: Some(1.0) });
    }
}
