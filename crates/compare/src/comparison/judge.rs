//! Places, ties and readings: what the figures say about each other.

use super::result::{Axis, CurvePoint, ModelResult, Phase, Reading, ReadingValue, Spread};

const AXES: [Axis; 4] = [Axis::Tokens, Axis::Targets, Axis::Flops, Axis::Seconds];

/// Sorts the models, best first, and fills in their places and ties.
///
/// Two models tie where their means differ by less than the spread: the wider of their two ranges over seeds; where
/// neither has several seeds, the widest range of the comparison. Without any, nothing ties: then no place is certain.
/// A model that ties with the best one of a group shares its place.
pub(super) fn rank(models: &mut [ModelResult]) {
    models.sort_by(|a, b| sort_key(a).total_cmp(&sort_key(b)));
    let widest = models.iter().filter_map(|model| judged(model)?.width()).reduce(f64::max);
    let mut leader: Option<(usize, Spread)> = None;
    for (index, model) in models.iter_mut().enumerate() {
        let Some(own) = judged(model) else { continue };
        let place = match leader {
            Some((place, best)) if ties(&best, &own, widest) => place,
            _ => index + 1,
        };
        if leader.is_none_or(|(before, _)| before != place) {
            leader = Some((place, own));
        }
        model.rank = Some(place);
    }
    let places: Vec<(String, Option<usize>)> = models.iter().map(|model| (model.name.clone(), model.rank)).collect();
    for model in models {
        let same = places.iter().filter(|(name, place)| place.is_some() && *place == model.rank && *name != model.name);
        model.ties = same.map(|(name, _)| name.clone()).collect();
    }
}

/// The figure that models are judged by: the test text; while none is scored, the validation text.
fn judged(model: &ModelResult) -> Option<Spread> {
    model.test.or(model.validation)
}

fn sort_key(model: &ModelResult) -> f64 {
    judged(model).map_or(f64::INFINITY, |spread| spread.mean)
}

fn ties(a: &Spread, b: &Spread, widest: Option<f64>) -> bool {
    let own = [a, b].into_iter().filter_map(Spread::width).reduce(f64::max);
    let difference = (a.mean - b.mean).abs();
    difference == 0.0 || own.or(widest).is_some_and(|spread| difference < spread)
}

/// The validation curves read at equal tokens, targets, operations and seconds; only models with a curve take part, and none of which a run
/// failed: it would end the curves of all others where it did.
pub(super) fn readings(models: &[ModelResult]) -> Vec<Reading> {
    let whole: Vec<&ModelResult> = models.iter().filter(|model| model.failure.is_none()).collect();
    AXES.into_iter().filter_map(|axis| reading(&whole, axis)).collect()
}

fn reading(models: &[&ModelResult], axis: Axis) -> Option<Reading> {
    let runs = || models.iter().flat_map(|model| &model.runs).filter(|run| !run.curve.is_empty());
    let stable = |curve: &[CurvePoint]| -> Option<f64> {
        Some(curve.iter().rfind(|point| point.phase == Phase::Stable)?.at(axis))
    };
    // A run that decays from its first point on bounds the others by nothing: there is no equal place to read at.
    let ends: Option<Vec<f64>> = runs().map(|run| stable(&run.curve)).collect();
    let at = ends?.into_iter().reduce(f64::min)?;
    let mut values: Vec<ReadingValue> = models
        .iter()
        .filter_map(|model| {
            let of_seeds: Vec<f64> = model.runs.iter().filter_map(|run| read(&run.curve, axis, at)).collect();
            Some(ReadingValue { model: model.name.clone(), value: Spread::of(&of_seeds)?.mean })
        })
        .collect();
    values.sort_by(|a, b| a.value.total_cmp(&b.value));
    Some(Reading { axis, at, values })
}

/// The curve at a place, on the straight line between its neighbours; `None` before its first and after its last point.
fn read(curve: &[CurvePoint], axis: Axis, at: f64) -> Option<f64> {
    let after = curve.iter().position(|point| point.at(axis) >= at)?;
    let right = &curve[after];
    let (x, y) = (right.at(axis), right.value());
    if x == at {
        return Some(y);
    }
    let left = &curve[after.checked_sub(1)?];
    let share = (at - left.at(axis)) / (x - left.at(axis));
    Some(left.value() + share * (y - left.value()))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{model, run};
    use super::super::result::{Failure, FailureKind};
    use super::*;

    fn spread(mean: f64, width: f64, seeds: usize) -> Option<Spread> {
        Some(Spread { mean, min: mean - width / 2.0, max: mean + width / 2.0, seeds })
    }

    fn ranked(figures: &[(&str, Option<Spread>)]) -> Vec<(String, Option<usize>, Vec<String>)> {
        let mut models: Vec<ModelResult> =
            figures.iter().map(|(name, test)| ModelResult { test: *test, ..model(name, Vec::new()) }).collect();
        rank(&mut models);
        models.into_iter().map(|model| (model.name, model.rank, model.ties)).collect()
    }

    #[test]
    fn a_difference_below_the_spread_is_a_tie() {
        let figures =
            [("c", spread(2.40, 0.0, 1)), ("b", spread(2.05, 0.02, 3)), ("a", spread(2.00, 0.10, 3)), ("none", None)];
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(
            ranked(&figures),
            [
                ("a".into(), Some(1), names(&["b"])),
                ("b".into(), Some(1), names(&["a"])),
                ("c".into(), Some(3), vec![]),
                ("none".into(), None, vec![]),
            ]
        );
    }

    #[test]
    fn the_spread_itself_is_a_difference_and_one_seed_borrows_the_widest() {
        let at_the_spread = ranked(&[("a", spread(2.0, 0.125, 2)), ("b", spread(2.125, 0.0625, 2))]);
        assert_eq!(at_the_spread[1].1, Some(2));
        let single = ranked(&[("a", spread(2.0, 0.0, 1)), ("b", spread(2.1, 0.0, 1)), ("c", spread(3.0, 0.2, 2))]);
        assert_eq!(single[1].1, Some(1), "the range of c is all that is known");
        let unknown = ranked(&[("a", spread(2.0, 0.0, 1)), ("b", spread(2.001, 0.0, 1))]);
        assert_eq!(unknown[1].1, Some(2), "nothing is known");
    }

    #[test]
    fn ties_do_not_chain() {
        let all = ranked(&[("a", spread(2.00, 0.1, 2)), ("b", spread(2.08, 0.1, 2)), ("c", spread(2.16, 0.1, 2))]);
        assert_eq!(all.iter().map(|one| one.1).collect::<Vec<_>>(), [Some(1), Some(1), Some(3)]);
    }

    #[test]
    fn curves_are_read_where_no_model_decays() {
        use Phase::{Decay, Stable};
        // Per step, `fast` takes 1 second and `slow` 2; a step is 10 tokens.
        let fast = run(1, &[(1, 1.0, 5.0, Stable), (2, 2.0, 4.0, Stable), (4, 4.0, 3.0, Stable), (5, 5.0, 1.0, Decay)]);
        let slow = run(1, &[(1, 2.0, 5.0, Stable), (3, 6.0, 2.0, Stable), (4, 8.0, 1.5, Decay)]);
        let models = [model("fast", vec![fast]), model("slow", vec![slow])];
        let all = readings(&models);
        let find = |axis| all.iter().find(|reading| reading.axis == axis).unwrap();
        let values = |axis| find(axis).values.iter().map(|one| (one.model.as_str(), one.value)).collect::<Vec<_>>();
        assert_eq!((find(Axis::Tokens).at, values(Axis::Tokens)), (30.0, vec![("slow", 2.0), ("fast", 3.5)]));
        assert_eq!((find(Axis::Seconds).at, values(Axis::Seconds)), (4.0, vec![("fast", 3.0), ("slow", 3.5)]));
    }

    #[test]
    fn a_model_that_failed_has_no_place_and_ends_no_curve() {
        use Phase::Stable;
        let failure = Failure { kind: FailureKind::Diverged, step: Some(2), message: String::new() };
        let long = || run(1, &[(1, 1.0, 3.0, Stable), (4, 4.0, 2.0, Stable)]);
        let short = run(1, &[(1, 1.0, 1.0, Stable)]);
        let mut models = [
            ModelResult { failure: Some(failure), ..model("wild", vec![short]) },
            ModelResult { test: spread(2.0, 0.0, 1), ..model("llp", vec![long()]) },
            ModelResult { test: spread(1.0, 0.0, 1), ..model("transformer", vec![long()]) },
        ];
        let tokens = readings(&models).into_iter().find(|reading| reading.axis == Axis::Tokens).unwrap();
        assert_eq!((tokens.at, tokens.values.len()), (40.0, 2));
        rank(&mut models);
        let places = models.each_ref().map(|model| (model.name.as_str(), model.rank, model.ties.len()));
        assert_eq!(places, [("transformer", Some(1), 0), ("llp", Some(2), 0), ("wild", None, 0)]);
    }

    #[test]
    fn nothing_is_read_where_a_model_only_decays() {
        let decays = run(1, &[(1, 1.0, 2.0, Phase::Decay)]);
        let stable = run(1, &[(1, 1.0, 2.0, Phase::Stable)]);
        assert!(readings(&[model("a", vec![decays]), model("b", vec![stable])]).is_empty());
        assert!(readings(&[]).is_empty());
    }
}
