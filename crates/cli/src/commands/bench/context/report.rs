//! What `percept bench context` prints.

use std::collections::BTreeMap;

use percept::train::Environment;
use percept::{Fault, Result};
use serde::{Deserialize, Serialize};

use super::super::child::Object;
use super::super::timing::Times;
use super::point::{Kind, Point, Setting};
use crate::human;
use crate::terminal::Terminal;

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct ContextReport {
    task: &'static str,
    config: String,
    changes: Vec<String>,
    /// Of training, or of all where nothing was trained.
    precision: String,
    tokens_per_step: usize,
    points: Vec<Row>,
    ratios: Vec<Ratio>,
    machine: Environment,
}

/// A model at a context length.
#[derive(Debug, Serialize)]
struct Row {
    model: String,
    context: usize,
    /// Milliseconds per token, by task.
    ms_per_token: BTreeMap<&'static str, f64>,
    /// Peak resident memory, by task.
    peak_rss_mib: BTreeMap<&'static str, f64>,
    /// A stream's state after decoding.
    state_bytes: Option<u64>,
    /// What was left out, and why.
    skipped: BTreeMap<&'static str, String>,
}

/// The longest context that was measured against the shortest.
#[derive(Debug, Serialize)]
struct Ratio {
    model: String,
    /// The task and what of it: `train`, `prefill`, `decode` for time per token, `state` for bytes.
    of: &'static str,
    from: usize,
    to: usize,
    ratio: f64,
    /// Least and most of the rounds.
    min: f64,
    max: f64,
}

impl ContextReport {
    pub(super) fn new(preset: Option<&str>, setting: &Setting, points: &[Point]) -> Result<Self> {
        let machine = machine(points)?;
        Ok(Self {
            task: "context",
            config: preset.unwrap_or("S with the default options").to_owned(),
            changes: setting.set.clone(),
            precision: machine.precision.to_string(),
            tokens_per_step: setting.tokens_per_step,
            points: rows(points),
            ratios: ratios(points),
            machine,
        })
    }

    pub(super) fn print(&self, terminal: &Terminal) -> Result<()> {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        let header =
            ["model", "context", "train ms/token", "prefill ms/token", "decode ms/token", "train MiB", "state"];
        table.set_header(header);
        for row in &self.points {
            let time = |kind: Kind| cell(row, kind, &row.ms_per_token, |time| format!("{time:.4}"));
            table.add_row([
                row.model.clone(),
                human::grouped(row.context as u64),
                time(Kind::Train),
                time(Kind::Prefill),
                time(Kind::Decode),
                cell(row, Kind::Train, &row.peak_rss_mib, |peak| format!("{peak:.0}")),
                row.state_bytes.map_or(String::new(), human::bytes),
            ]);
        }
        for column in 1..header.len() {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(comfy_table::CellAlignment::Right);
            }
        }
        terminal.text(table.to_string())?;
        for Ratio { model, of, from, to, ratio, min, max } in &self.ratios {
            let (from, to) = (human::grouped(*from as u64), human::grouped(*to as u64));
            terminal.text(format!("{model}, {of}: {to} over {from} tokens {ratio:.3} ({min:.3} to {max:.3})"))?;
        }
        Ok(())
    }
}

/// What the first training step says of where it ran; without one, what the first point says.
fn machine(points: &[Point]) -> Result<Environment> {
    let of = |train: bool| points.iter().filter(move |point| (point.kind == Kind::Train) == train);
    let mut runs = of(true).chain(of(false)).flat_map(|point| &point.runs);
    let machine = runs.find_map(|run| Environment::deserialize(run.get("machine")?).ok());
    machine.ok_or_else(|| Fault::internal("no measurement says where it ran"))
}

fn cell(row: &Row, kind: Kind, values: &BTreeMap<&str, f64>, show: impl Fn(f64) -> String) -> String {
    match (values.get(kind.name()), row.skipped.contains_key(kind.name())) {
        (Some(value), _) => show(*value),
        (None, true) => "left out".into(),
        (None, false) => String::new(),
    }
}

/// Points of one model and length side by side.
fn rows(points: &[Point]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for point in points {
        let known = rows.iter().position(|row| (&row.model, row.context) == (&point.model, point.context));
        let at = known.unwrap_or_else(|| {
            rows.push(Row {
                model: point.model.clone(),
                context: point.context,
                ms_per_token: BTreeMap::new(),
                peak_rss_mib: BTreeMap::new(),
                state_bytes: None,
                skipped: BTreeMap::new(),
            });
            rows.len() - 1
        });
        let (row, name) = (&mut rows[at], point.kind.name());
        row.ms_per_token.extend(point.median("ms_per_token").map(|time| (name, time)));
        row.peak_rss_mib.extend(point.median("peak_rss_mib").map(|peak| (name, peak)));
        row.skipped.extend(point.skipped.clone().map(|reason| (name, reason)));
        if point.kind == Kind::Decode {
            row.state_bytes = point.median("state_bytes").map(|bytes| bytes as u64);
        }
    }
    rows
}

/// The ratios of every model and task with two lengths at least.
fn ratios(points: &[Point]) -> Vec<Ratio> {
    let mut models: Vec<&str> = points.iter().map(|point| point.model.as_str()).collect();
    models.dedup();
    let mut ratios = Vec::new();
    for model in models {
        for kind in Kind::ALL {
            let measured = |point: &&Point| point.model == model && point.kind == kind && !point.runs.is_empty();
            let mut of_kind = points.iter().filter(measured);
            let (Some(first), Some(last)) = (of_kind.next(), of_kind.next_back()) else { continue };
            ratios.extend(ratio(first, last, kind.name(), "ms_per_token"));
            if kind == Kind::Decode {
                ratios.extend(ratio(first, last, "state", "state_bytes"));
            }
        }
    }
    ratios
}

fn ratio(first: &Point, last: &Point, of: &'static str, key: &str) -> Option<Ratio> {
    let value = |run: &Object| run.get(key)?.as_f64();
    let pairs = first.runs.iter().zip(&last.runs);
    let rounds: Vec<f64> = pairs.filter_map(|(first, last)| Some(value(last)? / value(first)?)).collect();
    let ratio = last.median(key)? / first.median(key)?;
    let times = Times::new(rounds);
    Some(Ratio {
        model: first.model.clone(),
        of,
        from: first.context,
        to: last.context,
        ratio,
        min: times.min(),
        max: times.max(),
    })
}

#[cfg(test)]
mod tests {
    use percept::train::PrecisionChoice;

    use super::*;

    fn point(context: usize, kind: Kind, times: &[f64]) -> Point {
        let run =
            |time: &f64| serde_json::from_str(&format!("{{\"ms_per_token\": {time}, \"state_bytes\": 8}}")).unwrap();
        Point { runs: times.iter().map(run).collect(), ..Point::new("llp", context, kind) }
    }

    #[test]
    fn ratios_are_of_medians_with_the_spread_of_rounds() {
        let points = [
            point(1, Kind::Train, &[1.0, 2.0, 4.0]),
            point(2, Kind::Train, &[5.0, 5.0, 5.0]),
            point(4, Kind::Train, &[4.0, 6.0, 4.0]),
        ];
        let ratios = ratios(&points);
        assert_eq!(ratios.len(), 1);
        let Ratio { from, to, ratio, min, max, of, .. } = ratios[0];
        assert_eq!((of, from, to, ratio, min, max), ("train", 1, 4, 2.0, 1.0, 4.0));
    }

    #[test]
    fn the_machine_is_that_of_training() {
        let on = |kind: Kind, precision: PrecisionChoice| {
            let machine = Environment::current("vulkan", precision);
            let run = serde_json::json!({ "machine": machine }).as_object().cloned().unwrap();
            Point { runs: vec![run], ..Point::new("llp", 1, kind) }
        };
        let points = [on(Kind::Decode, PrecisionChoice::F32), on(Kind::Train, PrecisionChoice::Bf16)];
        let found = machine(&points).unwrap();
        assert_eq!((found.precision, found.device.as_str()), (PrecisionChoice::Bf16, "vulkan"));
        assert_eq!(machine(&points[..1]).unwrap().precision, PrecisionChoice::F32);
        assert!(machine(&[]).is_err());
    }

    #[test]
    fn tasks_of_one_length_share_a_row() {
        let mut left_out = Point::new("llp", 2, Kind::Train);
        left_out.skipped = Some("too long".into());
        let rows = rows(&[point(1, Kind::Train, &[1.0]), point(1, Kind::Decode, &[3.0]), left_out]);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].ms_per_token["train"], rows[0].ms_per_token["decode"]), (1.0, 3.0));
        assert_eq!((rows[0].state_bytes, rows[1].skipped["train"].as_str()), (Some(8), "too long"));
    }
}
