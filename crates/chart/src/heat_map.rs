//! Heat maps: a table of values, darker where higher.

use super::Chart;
use super::canvas::{Anchor, Canvas, escape, fit, number, text_width};
use super::frame::{TEXT, empty, head};
use super::number::Unit;

const CELL_HEIGHT: f64 = 26.0;

/// A table of values. It is as high as its rows need.
///
/// ```
/// use percept_chart::{Chart, HeatMap};
/// let found = HeatMap {
///     title: "Needles found".into(),
///     row_label: "length".into(),
///     rows: vec!["1k".into(), "4k".into()],
///     column_label: "depth".into(),
///     columns: vec!["start".into(), "end".into()],
///     values: vec![vec![Some(0.875), Some(1.0)], vec![None, Some(0.5)]],
///     ..HeatMap::default()
/// };
/// let svg = found.to_svg();
/// assert!(svg.contains("87.5 %") && svg.contains("50 %"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Title; may be empty.
    pub title: String,
    /// A remark below the title, e.g. the chance level; may be empty.
    pub note: String,
    /// What the rows are.
    pub row_label: String,
    /// What the columns are.
    pub column_label: String,
    /// Names of the rows, top first.
    pub rows: Vec<String>,
    /// Names of the columns, left first.
    pub columns: Vec<String>,
    /// Values by row, then by column; `None` or not finite: not measured.
    pub values: Vec<Vec<Option<f64>>>,
    /// The values of the palest and of the darkest colour.
    pub range: (f64, f64),
    /// How values are written.
    pub unit: Unit,
    /// Width in pixels.
    pub width: f64,
}

impl Default for HeatMap {
    fn default() -> Self {
        Self {
            title: String::new(),
            note: String::new(),
            row_label: String::new(),
            column_label: String::new(),
            rows: Vec::new(),
            columns: Vec::new(),
            values: Vec::new(),
            range: (0.0, 1.0),
            unit: Unit::Percent,
            width: super::SIZE.0,
        }
    }
}

impl Chart for HeatMap {
    fn draw(&self) -> Canvas {
        if self.rows.is_empty() || self.columns.is_empty() {
            return empty((self.width, 120.0), &self.title, &self.note);
        }
        // The height is known once the head is drawn; it does not depend on it.
        let mut probe = Canvas::new((0.0, 0.0), "");
        let top = head(&mut probe, self.width, &self.title, &self.note) + 42.0;
        let height = top + self.rows.len() as f64 * CELL_HEIGHT + 8.0;
        let spoken = format!("{}. Table of {} by {}", self.title, self.row_label, self.column_label);
        let mut canvas = Canvas::new((self.width, height), &spoken);
        head(&mut canvas, self.width, &self.title, &self.note);
        let widest = self.rows.iter().chain([&self.row_label]).map(|name| text_width(name, TEXT)).fold(0.0, f64::max);
        let left = widest.min(self.width * 0.35) + 18.0;
        let cell = (self.width - left - 8.0) / self.columns.len() as f64;
        self.names(&mut canvas, (left, top), cell);
        for (row, name) in self.rows.iter().enumerate() {
            for (column, across) in self.columns.iter().enumerate() {
                let value = self.values.get(row).and_then(|values| values.get(column)).copied().flatten();
                let corner = (left + column as f64 * cell, top + row as f64 * CELL_HEIGHT);
                let place = format!("{} {name}, {} {across}", self.row_label, self.column_label);
                self.cell(&mut canvas, corner, cell, value.filter(|value| value.is_finite()), &place);
            }
        }
        canvas
    }
}

/// Digits of the value in a cell; the pointer shows more.
const FIGURES: i32 = 2;

impl HeatMap {
    /// Without the percent sign where one of the cells is too narrow for it.
    fn short(&self, width: f64) -> bool {
        let values = self.values.iter().flatten().flatten();
        let widest = values.map(|value| text_width(&self.unit.rounded(*value, FIGURES), TEXT)).fold(0.0, f64::max);
        self.unit == Unit::Percent && widest > width - 4.0
    }

    fn names(&self, canvas: &mut Canvas, (left, top): (f64, f64), cell: f64) {
        canvas.text((left - 8.0, top - 7.0), Anchor::End, "soft", &fit(&self.row_label, TEXT, left - 12.0));
        let across = fit(&self.column_label, TEXT, self.width - left - 8.0);
        canvas.text(((left + self.width - 8.0) / 2.0, top - 25.0), Anchor::Middle, "soft", &across);
        for (index, name) in self.columns.iter().enumerate() {
            let middle = left + (index as f64 + 0.5) * cell;
            canvas.text((middle, top - 7.0), Anchor::Middle, "tick", &fit(name, TEXT, cell - 2.0));
        }
        for (index, name) in self.rows.iter().enumerate() {
            let base = top + (index as f64 + 0.5) * CELL_HEIGHT + 4.0;
            canvas.text((left - 8.0, base), Anchor::End, "tick", &fit(name, TEXT, left - 12.0));
        }
    }

    fn cell(&self, canvas: &mut Canvas, (x, y): (f64, f64), width: f64, value: Option<f64>, place: &str) {
        let share = value.map_or(0.0, |value| ((value - self.range.0) / (self.range.1 - self.range.0)).clamp(0.0, 1.0));
        let text = value.map_or("–".into(), |value| self.unit.value(value));
        let class = if value.is_some() { "heat" } else { "heat none" };
        let place = escape(&format!("{place}: {text}"));
        canvas.push(format!(
            "<g><title>{place}</title><rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill-opacity=\"{share:.2}\"/>",
            number(x + 1.0),
            number(y + 1.0),
            number(width - 2.0),
            number(CELL_HEIGHT - 2.0)
        ));
        let written = value.map_or("–".into(), |value| self.unit.rounded(value, FIGURES));
        let written = if self.short(width) { written.trim_end_matches(" %") } else { &written };
        // The style sheet chooses, for each theme, which steps need the other ink.
        let ink = format!("cell{}", (share * 10.0).floor());
        let middle = (x + width / 2.0, y + CELL_HEIGHT / 2.0 + 4.0);
        canvas.text(middle, Anchor::Middle, &ink, written);
        canvas.push("</g>");
    }
}
