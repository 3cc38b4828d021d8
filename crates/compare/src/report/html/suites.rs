//! What the suites found: loss by position, gain of context, recall, copying, needles.

use super::{SMALL, grid, legend, section as framed, styled};
use crate::ModelResult;
use crate::report::Report;
use crate::report::figures::Quality;
use percept_chart::{Axis, Chart, HeatMap, Legend, Level, LineChart, Scale, Series, Unit};
use percept_score::suites::{
    Context, Copying, Findings, Needle, Position, PositionBucket, Recall, TaskCell, TaskTable,
};

/// Targets below which a mean says too little to be drawn.
const MANY: u64 = 64;

/// Picks the findings of one suite.
type Pick<T> = fn(&Findings) -> Option<&T>;

/// The findings of one suite for those models that have them, in the order of the models.
struct Found<'a, T> {
    models: Vec<(usize, &'a ModelResult, &'a T)>,
    protocol: &'a str,
}

impl<'a, T> Found<'a, T> {
    fn of(report: &'a Report, pick: Pick<T>) -> Option<Self> {
        let own = |model: &ModelResult| {
            let results = report.suites.iter().filter(|result| result.model == model.name);
            results.filter_map(|result| Some((pick(&result.findings)?, result.protocol.as_str()))).next()
        };
        let models = styled(&report.comparison);
        let found: Vec<_> = models.filter_map(|(style, model)| Some((style, model, own(model)?))).collect();
        let protocol = found.first()?.2.1;
        Some(Self {
            models: found.into_iter().map(|(style, model, (found, _))| (style, model, found)).collect(),
            protocol,
        })
    }

    /// A line per model.
    fn series(&self, points: impl Fn(&T) -> Vec<(f64, f64)>) -> Vec<Series> {
        let series = self.models.iter().map(|(style, model, found)| Series {
            style: Some(*style),
            ..Series::new(model.name.clone(), points(found))
        });
        series.collect()
    }

    fn legend(&self) -> String {
        legend(self.models.iter().map(|(style, model, _)| (*style, *model)))
    }

    /// A section whose note ends with the protocol.
    fn section(&self, id: &str, title: &str, note: &str, body: &str) -> String {
        let protocol = if self.protocol.is_empty() { String::new() } else { format!(" Protocol: {}.", self.protocol) };
        framed(id, title, &format!("{note}{protocol}"), body)
    }
}

pub(super) fn position(report: &Report) -> String {
    let pick: Pick<Position> = |findings| match findings {
        Findings::Position(position) => Some(position),
        _ => None,
    };
    let Some(found) = Found::of(report, pick) else { return String::new() };
    let quality = Quality::of(&report.comparison);
    let points = |buckets: &[PositionBucket], x: fn(&PositionBucket) -> f64| -> Vec<(f64, f64)> {
        let many = buckets.iter().filter(|bucket| bucket.loss.targets >= MANY);
        many.map(|bucket| (x(bucket), quality.of_loss(&bucket.loss))).collect()
    };
    let doubling = found.series(|found| points(&found.logarithmic, |bucket| bucket.to as f64));
    let even = found.series(|found| points(&found.linear, |bucket| (bucket.from + bucket.to) as f64 / 2.0));
    let even_axis = Axis::new("tokens before the target").unit(Unit::Binary).scale(Scale::FromZero);
    let y = || Axis::new(quality.name());
    let doubling = lines("In steps that double", tokens("tokens before the target, fewer than"), y(), doubling);
    let even = lines("In even steps", even_axis, y(), even);
    let note = "The loss by the place of the target in its document. Places with fewer than 64 targets are left out.";
    found.section("position", "Loss by position", note, &(found.legend() + &grid(&[&doubling, &even])))
}

pub(super) fn context(report: &Report) -> String {
    let pick: Pick<Context> = |findings| match findings {
        Findings::Context(context) => Some(context),
        _ => None,
    };
    let Some(found) = Found::of(report, pick) else { return String::new() };
    let quality = Quality::of(&report.comparison);
    let losses = found.series(|found| {
        let points = found.given().iter().map(|point| (point.context as f64, quality.of_loss(&point.loss)));
        points.collect()
    });
    let gains = found.series(|found| {
        let Some(first) = found.given().first().map(|first| quality.of_loss(&first.loss)) else { return Vec::new() };
        let points = found.given().iter().map(|point| (point.context as f64, first - quality.of_loss(&point.loss)));
        points.collect()
    });
    let gains = lines("Gain over the least context", tokens("tokens of context"), Axis::new(quality.name()), gains);
    let losses = lines("Loss of the same targets", tokens("tokens of context"), Axis::new(quality.name()), losses);
    let note = "The loss of the same targets given more and more of the text before them, and how much lower it is than with the \
                least context (higher is better). A line that turns flat uses no more context. Targets without any context \
                are in suites.json.";
    found.section("context", "Gain from context", note, &(found.legend() + &grid(&[&gains, &losses])))
}

pub(super) fn recall(report: &Report) -> String {
    let pick: Pick<Recall> = |findings| match findings {
        Findings::Recall(recall) => Some(recall),
        _ => None,
    };
    let Some(found) = Found::of(report, pick) else { return String::new() };
    let maps: Vec<HeatMap> = found
        .models
        .iter()
        .map(|(_, model, found)| task_map(&model.name, "pairs", &found.table, found.chance))
        .collect();
    let note = "How often the right value of a key is the likeliest one, by number of pairs and distance in tokens.";
    found.section("recall", "Recall", note, &heat_maps(&maps))
}

pub(super) fn copying(report: &Report) -> String {
    let pick: Pick<Copying> = |findings| match findings {
        Findings::Copy(copying) => Some(copying),
        _ => None,
    };
    let Some(found) = Found::of(report, pick) else { return String::new() };
    let points = |table: &TaskTable| -> Vec<(f64, f64)> {
        let points = table.by_distance.iter().map(|cell| (middle(cell), cell.accuracy.accuracy));
        points.collect()
    };
    let chance = found.models[0].2.chance;
    let chart = |title: &str, series: Vec<Series>| LineChart {
        levels: vec![Level { name: "chance".into(), value: chance }],
        ..lines(
            title,
            tokens("distance in tokens"),
            Axis::new("right symbols").unit(Unit::Percent).range(0.0, 1.02),
            series,
        )
    };
    let straight = chart("Straight", found.series(|found| points(&found.copy)));
    let reverse = chart("Reversed", found.series(|found| points(&found.reverse)));
    let note = "How often the right symbol is the likeliest one, by the distance to where it stood first.";
    found.section("copy", "Copying", note, &(found.legend() + &grid(&[&straight, &reverse])))
}

pub(super) fn needle(report: &Report) -> String {
    let pick: Pick<Needle> = |findings| match findings {
        Findings::Needle(needle) => Some(needle),
        _ => None,
    };
    let Some(found) = Found::of(report, pick) else { return String::new() };
    let maps: Vec<HeatMap> = found.models.iter().map(|(_, model, found)| needle_map(&model.name, found)).collect();
    let note = "How often the true value is likelier than all distractors, by the length of the text and the depth of the needle in it.";
    found.section("needle", "Needle in a haystack", note, &heat_maps(&maps))
}

fn lines(title: &str, x: Axis, y: Axis, series: Vec<Series>) -> LineChart {
    LineChart { title: title.into(), x, y, series, legend: Legend::None, size: SMALL, ..LineChart::default() }
}

fn tokens(label: &str) -> Axis {
    Axis::new(label).scale(Scale::Log2).unit(Unit::Binary)
}

fn heat_maps(maps: &[HeatMap]) -> String {
    let maps: Vec<&dyn Chart> = maps.iter().map(|map| map as &dyn Chart).collect();
    grid(&maps)
}

/// The middle of the distances of a cell: they double, so the geometric one.
fn middle(cell: &TaskCell) -> f64 {
    let last = (cell.distance_to.max(cell.distance_from + 1) - 1) as f64;
    (cell.distance_from as f64 * last).sqrt()
}

fn chance_note(chance: f64) -> String {
    format!("chance {}", Unit::Percent.value(chance))
}

/// Sizes down, distances across.
fn task_map(name: &str, size: &str, table: &TaskTable, chance: f64) -> HeatMap {
    let sizes = sorted(table.cells.iter().map(|cell| cell.size));
    let distances = sorted(table.cells.iter().map(|cell| (cell.distance_from, cell.distance_to)));
    let value = |size: &u64, distance: &(u64, u64)| {
        let here = |cell: &&TaskCell| cell.size == *size && (cell.distance_from, cell.distance_to) == *distance;
        table.cells.iter().find(here).filter(|cell| cell.accuracy.trials > 0).map(|cell| cell.accuracy.accuracy)
    };
    HeatMap {
        title: name.into(),
        note: chance_note(chance),
        row_label: size.into(),
        column_label: "distance in tokens, from".into(),
        values: sizes.iter().map(|size| distances.iter().map(|distance| value(size, distance)).collect()).collect(),
        rows: sizes.iter().map(u64::to_string).collect(),
        columns: distances.iter().map(|(from, _)| Unit::Binary.value(*from as f64)).collect(),
        width: SMALL.0,
        ..HeatMap::default()
    }
}

/// Depths down, lengths across.
fn needle_map(name: &str, needle: &Needle) -> HeatMap {
    let lengths = sorted(needle.cells.iter().map(|cell| cell.length));
    // Depths are shares: per mille tells them apart.
    let mille = |depth: f64| (depth * 1000.0).round() as u64;
    let depths = sorted(needle.cells.iter().map(|cell| mille(cell.depth)));
    let value = |depth: u64, length: u64| {
        let cell = needle.cells.iter().find(|cell| mille(cell.depth) == depth && cell.length == length);
        cell.filter(|cell| cell.accuracy.trials > 0).map(|cell| cell.accuracy.accuracy)
    };
    HeatMap {
        title: name.into(),
        note: format!("{}; in all {}", chance_note(needle.chance), Unit::Percent.value(needle.total.accuracy)),
        row_label: "depth".into(),
        column_label: "length in tokens".into(),
        values: depths.iter().map(|depth| lengths.iter().map(|length| value(*depth, *length)).collect()).collect(),
        rows: depths.iter().map(|depth| Unit::Percent.value(*depth as f64 / 1000.0)).collect(),
        columns: lengths.iter().map(|length| Unit::Binary.value(*length as f64)).collect(),
        width: SMALL.0,
        ..HeatMap::default()
    }
}

fn sorted<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.collect::<std::collections::BTreeSet<T>>().into_iter().collect()
}
