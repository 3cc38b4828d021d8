//! Figures of a comparison as every view of it shows them.

use std::collections::BTreeMap;

use crate::{Axis, Comparison, CurvePoint, ModelResult, RunResult, Spread, Usage};
use percept_chart::Unit;
use percept_score::suites::MeanLoss;

/// What stands where there is no value.
pub(crate) const MISSING: &str = "–";

/// What quality is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quality {
    BitsPerByte,
    /// Of a lossy tokenizer.
    NatsPerTarget,
}

impl Quality {
    pub(crate) fn of(comparison: &Comparison) -> Self {
        let runs = || comparison.models.iter().flat_map(|model| &model.runs);
        let lossy = runs().filter_map(|run| run.test.as_ref()).any(|test| test.bits_per_byte.is_none())
            || runs().flat_map(|run| &run.curve).any(|point| point.bits_per_byte.is_none());
        if lossy { Self::NatsPerTarget } else { Self::BitsPerByte }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BitsPerByte => "bits per byte",
            Self::NatsPerTarget => "nats per target",
        }
    }

    /// A loss in this unit; not a number where it has none.
    pub(crate) fn of_loss(self, loss: &MeanLoss) -> f64 {
        match self {
            Self::BitsPerByte => loss.bits_per_byte.unwrap_or(f64::NAN),
            Self::NatsPerTarget => loss.nll,
        }
    }
}

/// A loss with three decimals.
pub(crate) fn loss(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { MISSING.into() }
}

/// `2.281 to 2.310` over several seeds.
pub(crate) fn interval(spread: &Spread) -> Option<String> {
    spread.width().map(|_| format!("{} to {}", loss(spread.min), loss(spread.max)))
}

/// The figure that models are judged by: the test text; while none is scored, the validation text.
pub(crate) fn judged(model: &ModelResult) -> Option<Spread> {
    model.test.or(model.validation).filter(|spread| spread.mean.is_finite())
}

/// `1`, or `1=` where others share the place.
pub(crate) fn place(model: &ModelResult) -> String {
    match model.rank {
        Some(rank) => format!("{rank}{}", if model.ties.is_empty() { "" } else { "=" }),
        None => MISSING.into(),
    }
}

/// The model whose mean is lowest.
pub(crate) fn best(comparison: &Comparison) -> Option<(&ModelResult, Spread)> {
    let judged = comparison.models.iter().filter_map(|model| Some((model, judged(model)?)));
    judged.min_by(|a, b| a.1.mean.total_cmp(&b.1.mean))
}

/// What is equal in a reading or budget, e.g. `6M tokens`.
pub(crate) fn amount(axis: Axis, amount: f64) -> String {
    match axis {
        Axis::Seconds => seconds(amount),
        _ => format!("{} {}", count(amount), axis_name(axis)),
    }
}

/// `tokens`, `targets`, `FLOPs`, `seconds`.
pub(crate) fn axis_name(axis: Axis) -> &'static str {
    match axis {
        Axis::Tokens => "tokens",
        Axis::Targets => "targets",
        Axis::Flops => "FLOPs",
        Axis::Seconds => "seconds",
    }
}

/// How amounts on an axis are written.
pub(crate) fn unit(axis: Axis) -> Unit {
    match axis {
        Axis::Seconds => Unit::Seconds,
        Axis::Tokens | Axis::Targets | Axis::Flops => Unit::Count,
    }
}

/// A count in thousands, millions...
pub(crate) fn count(value: f64) -> String {
    Unit::Count.rounded(value, 3)
}

/// Sizes in KiB, MiB...
pub(crate) fn bytes(value: u64) -> String {
    Unit::Bytes.rounded(value as f64, 3)
}

/// A time in ms, s, min, h.
pub(crate) fn seconds(value: f64) -> String {
    Unit::Seconds.rounded(value, 3)
}

/// A share of so much more or less: `+2.0 %`.
pub(crate) fn percent_more(share: f64) -> String {
    let sign = if share < 0.0 { "−" } else { "+" };
    format!("{sign}{:.1} %", share.abs() * 100.0)
}

/// Peak memory of training: measured where it was, else estimated.
pub(crate) fn memory(model: &ModelResult) -> (u64, Source) {
    match model.usage.as_ref().and_then(|usage| usage.measured_peak_memory_bytes) {
        Some(bytes) => (bytes, Source::Measured),
        None => (model.cost.peak_memory_bytes, Source::Estimated),
    }
}

/// Where a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Measured,
    Estimated,
}

/// A figure of what the runs used; `None` before the first is finished.
pub(crate) fn used(model: &ModelResult, figure: impl Fn(&Usage) -> f64) -> Option<f64> {
    model.usage.as_ref().map(figure).filter(|value| value.is_finite())
}

/// The curve of a model over its seeds: x, then mean, lowest and highest value of the steps that every seed has.
pub(crate) fn curve(model: &ModelResult, axis: Axis) -> Vec<(f64, Spread)> {
    let runs: Vec<&RunResult> = model.runs.iter().filter(|run| !run.curve.is_empty()).collect();
    let mut steps: BTreeMap<u64, Vec<&CurvePoint>> = BTreeMap::new();
    for point in runs.iter().flat_map(|run| &run.curve).filter(|point| point.value().is_finite()) {
        steps.entry(point.step).or_default().push(point);
    }
    let whole = steps.into_values().filter(|points| points.len() == runs.len());
    whole
        .filter_map(|points| {
            let x = points.iter().map(|point| point.at(axis)).sum::<f64>() / points.len() as f64;
            let values: Vec<f64> = points.iter().map(|point| point.value()).collect();
            Some((x, Spread::of(&values)?))
        })
        .collect()
}

/// The widest spread over seeds: below it a difference says nothing. `None` where no model has several seeds.
pub(crate) fn widest_spread(comparison: &Comparison) -> Option<f64> {
    comparison.models.iter().filter_map(|model| judged(model)?.width()).reduce(f64::max)
}
