//! Quality against cost.

use super::{SMALL, grid, quality, section as framed, styled};
use crate::ModelResult;
use crate::report::Report;
use crate::report::figures::{judged, used};
use percept_chart::{Axis, Chart, Point, Scale, Scatter, Unit};

pub(super) fn section(report: &Report) -> String {
    let compute = Axis::new("forward operations per token").unit(Unit::Count);
    let time = Axis::new("time of training").unit(Unit::Seconds);
    let state = Axis::new("state after a million tokens").unit(Unit::Bytes).scale(Scale::Log2);
    let charts: Vec<Scatter> = [
        scatter(report, "Against computation", compute, |model| Some(model.cost.flops_per_token)),
        scatter(report, "Against training time", time, |model| used(model, |usage| usage.seconds)),
        scatter(report, "Against state", state, |model| Some(model.cost.state_bytes_1m as f64)),
    ]
    .into_iter()
    .filter(differs)
    .collect();
    if charts.is_empty() {
        return String::new();
    }
    let charts: Vec<&dyn Chart> = charts.iter().map(|chart| chart as &dyn Chart).collect();
    let note = "Down and left is better. The dashed line is the Pareto front: what stands on it is beaten by nothing that costs less. \
                Whiskers span the seeds.";
    framed("cost", "Quality against cost", note, &grid(&charts))
}

fn scatter(report: &Report, title: &str, axis: Axis, cost: impl Fn(&ModelResult) -> Option<f64>) -> Scatter {
    let models = styled(&report.comparison);
    let points = models.filter_map(|(style, model)| {
        let value = judged(model)?;
        let interval = value.width().map(|_| (value.min, value.max));
        Some(Point { name: model.name.clone(), at: (cost(model)?, value.mean), interval, style: Some(style) })
    });
    Scatter {
        title: title.into(),
        x: axis,
        y: Axis::new(quality(report)),
        points: points.collect(),
        size: (SMALL.0, SMALL.1 + 20.0),
        ..Scatter::default()
    }
}

/// Whether the cost tells the models apart.
fn differs(chart: &Scatter) -> bool {
    chart.points.windows(2).any(|pair| pair[0].at.0 != pair[1].at.0)
}
