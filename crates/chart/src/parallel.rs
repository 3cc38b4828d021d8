//! Parallel coordinates: many configurations over several keys, and what came of each.

use super::axis::{Axis, Placed};
use super::canvas::{Anchor, Canvas, escape, fit, number, text_width};
use super::frame::{TEXT, empty, head};
use super::{Chart, SIZE, palette};

/// Traces of one value are drawn side by side within so many pixels.
const FAN: f64 = 14.0;
/// Least distance of the names on a coordinate.
const LINE: f64 = 14.0;
/// Opacity of the highest and of the lowest trace.
const OPACITY: (f64, f64) = (0.12, 0.85);

/// A key with the values that it may have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Coordinate {
    /// The key.
    pub label: String,
    /// Names of its values, the lowest first.
    pub values: Vec<String>,
}

/// One configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    /// Its name.
    pub name: String,
    /// For each coordinate the index of its value.
    pub choices: Vec<usize>,
    /// What came of it.
    pub value: f64,
}

/// Configurations as lines across their keys, which end in what came of them: less is better. The lower, the darker; the lowest has a
/// colour of its own.
///
/// ```
/// use percept_chart::{Axis, Chart, Coordinate, ParallelCoordinates, Trace};
/// let coordinate = |label: &str, values: &[&str]| Coordinate {
///     label: label.into(),
///     values: values.iter().map(|value| value.to_string()).collect(),
/// };
/// let trial = |name: &str, choices: &[usize], value| Trace { name: name.into(), choices: choices.to_vec(), value };
/// let chart = ParallelCoordinates {
///     title: "Trials".into(),
///     coordinates: vec![coordinate("depth", &["2", "4"]), coordinate("learning_rate", &["0.001", "0.01"])],
///     value: Axis::new("bits per byte"),
///     traces: vec![trial("trial 1", &[0, 1], 2.5), trial("trial 2", &[1, 0], 2.1)],
///     ..ParallelCoordinates::default()
/// };
/// let svg = chart.to_svg();
/// assert!(svg.contains("<title>trial 2\ndepth: 4\nlearning_rate: 0.001\nbits per byte: 2.1</title>"));
/// assert!(svg.contains(">0.01</text>"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ParallelCoordinates {
    /// Title; may be empty.
    pub title: String,
    /// A remark below the title; may be empty.
    pub note: String,
    /// The keys, from left to right.
    pub coordinates: Vec<Coordinate>,
    /// The axis behind the last key.
    pub value: Axis,
    /// The configurations; one whose choices are not on the coordinates, or whose value has no place, is left out.
    pub traces: Vec<Trace>,
    /// Width and height in pixels.
    pub size: (f64, f64),
}

impl Default for ParallelCoordinates {
    fn default() -> Self {
        let (title, note) = (String::new(), String::new());
        Self { title, note, coordinates: Vec::new(), value: Axis::default(), traces: Vec::new(), size: SIZE }
    }
}

/// Where the lines stand.
struct Lines {
    /// Of each coordinate, then of the value.
    across: Vec<f64>,
    top: f64,
    bottom: f64,
    value: Placed,
}

impl Chart for ParallelCoordinates {
    fn draw(&self) -> Canvas {
        let traces = self.sorted();
        let Some(span) = self.value.span(traces.iter().map(|trace| trace.value), 0.05) else {
            return empty(self.size, &self.title, &self.note);
        };
        let names: Vec<&str> = self.coordinates.iter().map(|coordinate| coordinate.label.as_str()).collect();
        let spoken =
            format!("{}. {} of {} trials over {}", self.title, self.value.label, traces.len(), names.join(", "));
        let mut canvas = Canvas::new(self.size, &spoken);
        let top = head(&mut canvas, self.size.0, &self.title, &self.note) + 34.0;
        let bottom = self.size.1 - 16.0;
        let value = Placed::new(&self.value, span, (bottom, top));
        let ticks = value.ticks((((bottom - top) / 38.0) as usize).clamp(2, 8));
        let right = ticks.iter().map(|tick| text_width(&tick.label, TEXT)).fold(0.0, f64::max) + 16.0;
        let lines = Lines { across: self.across(right), top, bottom, value };
        self.traces(&mut canvas, &lines, &traces);
        for (coordinate, x) in self.coordinates.iter().zip(&lines.across) {
            self.coordinate(&mut canvas, &lines, coordinate, *x);
        }
        if let Some(x) = lines.across.last() {
            self.heading(&mut canvas, &lines, &self.value.label, *x);
            canvas.line("axis", (*x, top), (*x, bottom));
            for tick in ticks {
                let y = lines.value.at(tick.value);
                canvas.line("axis", (*x, y), (*x + 5.0, y));
                canvas.text((*x + 8.0, y + 4.0), Anchor::Start, "tick", &tick.label);
            }
        }
        canvas
    }
}

impl ParallelCoordinates {
    /// The traces that have a place, the lowest last: it is drawn over the others.
    fn sorted(&self) -> Vec<&Trace> {
        let fits = |trace: &&Trace| {
            let within = trace.choices.iter().zip(&self.coordinates).all(|(choice, of)| *choice < of.values.len());
            within && trace.choices.len() == self.coordinates.len() && self.value.takes(trace.value)
        };
        let mut traces: Vec<&Trace> = self.traces.iter().filter(fits).collect();
        traces.sort_by(|a, b| b.value.total_cmp(&a.value));
        traces
    }

    /// The places of the lines: as much room for each, and for the names left of the first.
    fn across(&self, right: f64) -> Vec<f64> {
        let first = self.coordinates.first();
        let names = first.map(|first| first.values.iter().map(|name| text_width(name, TEXT)).fold(0.0, f64::max));
        let count = self.coordinates.len();
        let left = names.unwrap_or(0.0).min(self.size.0 / (count + 2) as f64).max(24.0) + 16.0;
        let step = (self.size.0 - left - right).max(0.0) / count.max(1) as f64;
        (0..=count).map(|index| left + index as f64 * step).collect()
    }

    /// Room for a text beside a line.
    fn room(&self, lines: &Lines) -> f64 {
        match lines.across.as_slice() {
            [first, second, ..] => (second - first).max(24.0),
            _ => self.size.0,
        }
    }

    fn heading(&self, canvas: &mut Canvas, lines: &Lines, label: &str, x: f64) {
        let label = fit(label, TEXT, self.room(lines) - 8.0);
        let half = text_width(&label, TEXT) / 2.0;
        let middle = x.clamp(half + 2.0, (self.size.0 - half - 2.0).max(half + 2.0));
        canvas.text((middle, lines.top - 14.0), Anchor::Middle, "soft", &label);
    }

    /// The line of a key with as many names of values as have room.
    fn coordinate(&self, canvas: &mut Canvas, lines: &Lines, coordinate: &Coordinate, x: f64) {
        self.heading(canvas, lines, &coordinate.label, x);
        canvas.line("axis", (x, lines.top), (x, lines.bottom));
        let most = ((lines.bottom - lines.top) / LINE).max(1.0) as usize;
        let every = coordinate.values.len().div_ceil(most).max(1);
        for (index, name) in coordinate.values.iter().enumerate().step_by(every) {
            let y = lines.height(index, coordinate.values.len());
            canvas.line("axis", (x - 4.0, y), (x, y));
            let name = fit(name, TEXT, self.room(lines) - 14.0);
            canvas.text((x - 7.0, y + 4.0), Anchor::End, "tick halo", &name);
        }
    }

    fn traces(&self, canvas: &mut Canvas, lines: &Lines, traces: &[&Trace]) {
        let last = traces.len().saturating_sub(1);
        for (rank, trace) in traces.iter().enumerate() {
            let share = if last == 0 { 1.0 } else { rank as f64 / last as f64 };
            let mut path = String::new();
            let choices = trace.choices.iter().zip(&self.coordinates).zip(&lines.across);
            for ((choice, coordinate), x) in choices {
                let fan = FAN.min(0.6 * lines.gap(coordinate.values.len()));
                let y = lines.height(*choice, coordinate.values.len()) + fan * (0.5 - share);
                path.push_str(&format!("{}{} {}", if path.is_empty() { "M" } else { "L" }, number(*x), number(y)));
            }
            if let Some(x) = lines.across.last() {
                let start = if path.is_empty() { "M" } else { "L" };
                path.push_str(&format!("{start}{} {}", number(*x), number(lines.value.at(trace.value))));
            }
            let (style, opacity) = match rank == last {
                true => (palette::colour(1), 1.0),
                false => (palette::colour(0), OPACITY.0 + (OPACITY.1 - OPACITY.0) * share * share),
            };
            let title = escape(&self.text(trace));
            canvas.push(format!(
                "<path class=\"trace {style}\" stroke-opacity=\"{opacity:.2}\" d=\"{path}\"><title>{title}</title></path>"
            ));
        }
    }

    /// What a trace says under the pointer.
    fn text(&self, trace: &Trace) -> String {
        let choices = trace.choices.iter().zip(&self.coordinates);
        let choices = choices.map(|(choice, of)| format!("{}: {}\n", of.label, of.values[*choice]));
        let value = self.value.unit.value(trace.value);
        format!("{}\n{}{}: {value}", trace.name, choices.collect::<String>(), self.value.label)
    }
}

impl Lines {
    /// Distance of neighbouring values.
    fn gap(&self, values: usize) -> f64 {
        (self.bottom - self.top) / values.max(1) as f64
    }

    /// The place of a value: each has as much room as the others.
    fn height(&self, index: usize, values: usize) -> f64 {
        self.bottom - (index as f64 + 0.5) * self.gap(values)
    }
}
