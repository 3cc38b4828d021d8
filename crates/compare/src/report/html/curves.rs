//! Curves of the validation loss against tokens, operations and time.

use super::{SMALL, grid, legend, quality, section as framed, styled};
use crate::report::Report;
use crate::report::figures::{Quality, axis_name, curve, unit};
use crate::{Axis, ModelResult, Spread};
use percept_chart::{Axis as ChartAxis, Chart, Legend, Level, LineChart, Scale, Series};

/// Share of a curve after which its values decide what the chart shows: the fall from chance would squeeze the rest, where the
/// models differ by little.
const SETTLED: f64 = 0.25;

pub(super) fn section(report: &Report) -> String {
    let axes = [Axis::Tokens, Axis::Flops, Axis::Seconds];
    let charts: Vec<LineChart> = axes.into_iter().map(|axis| chart(report, axis)).collect();
    if charts[0].series.is_empty() {
        return String::new();
    }
    let charts: Vec<&dyn Chart> = charts.iter().map(|chart| chart as &dyn Chart).collect();
    let drawn = styled(&report.comparison).filter(|(_, model)| !curve(model, Axis::Tokens).is_empty());
    let note = "Lower is better. Means over seeds; a band spans the seeds. The fall from chance at the start is cut off: the charts show \
                what comes after the first quarter of every curve.";
    framed("curves", "Validation curves", note, &(legend(drawn) + &grid(&charts)))
}

/// Style, model, and its curve: x and the spread over seeds.
type Curve<'a> = (usize, &'a ModelResult, Vec<(f64, Spread)>);

fn chart(report: &Report, axis: Axis) -> LineChart {
    let comparison = &report.comparison;
    let curves: Vec<Curve<'_>> = styled(comparison)
        .map(|(style, model)| (style, model, curve(model, axis)))
        .filter(|(_, _, points)| !points.is_empty())
        .collect();
    let series = curves
        .iter()
        .map(|(style, model, points)| Series {
            name: model.name.clone(),
            points: points.iter().map(|(x, value)| (*x, value.mean)).collect(),
            band: points.iter().filter(|(_, value)| value.seeds > 1).map(|(x, v)| (*x, v.min, v.max)).collect(),
            style: Some(*style),
        })
        .collect();
    let range = range(curves.iter().map(|(_, _, points)| points.as_slice()));
    let shown = |value: f64| range.is_some_and(|(low, high)| value > low && value < high);
    let levels = comparison.baselines.iter().filter_map(|baseline| {
        let value = baseline.validation_bits_per_byte.filter(|value| shown(*value))?;
        Some(Level { name: baseline.name.clone(), value })
    });
    let levels = if Quality::of(comparison) == Quality::BitsPerByte { levels.collect() } else { Vec::new() };
    LineChart {
        title: format!("Against {}", axis_name(axis)),
        x: ChartAxis::new(axis_label(axis)).unit(unit(axis)).scale(Scale::FromZero),
        y: ChartAxis { range, ..ChartAxis::new(quality(report)) },
        series,
        levels,
        legend: Legend::None,
        size: SMALL,
        ..LineChart::default()
    }
}

fn axis_label(axis: Axis) -> &'static str {
    match axis {
        Axis::Tokens => "tokens read",
        Axis::Targets => "targets trained",
        Axis::Flops => "operations of training (FLOPs)",
        Axis::Seconds => "time of training",
    }
}

/// From a little below the lowest value to a little above the highest one after the first fall.
fn range<'a>(curves: impl Iterator<Item = &'a [(f64, Spread)]>) -> Option<(f64, f64)> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for points in curves {
        let from = points.last()?.0 * SETTLED;
        low = points.iter().map(|(_, value)| value.min).fold(low, f64::min);
        let settled = points.iter().filter(|(x, _)| *x >= from);
        high = settled.map(|(_, value)| value.max).fold(high, f64::max);
    }
    let margin = (high - low) * 0.06;
    (low < high).then_some((low - margin, high + margin))
}
