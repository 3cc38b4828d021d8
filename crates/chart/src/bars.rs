//! Bar charts: one horizontal bar per name.

use super::axis::{Axis, Placed, Scale};
use super::canvas::{Anchor, Canvas, escape, fit, number, text_width};
use super::frame::{TEXT, empty, head};
use super::{Chart, SIZE, palette};

const ROW: f64 = 28.0;

/// One bar.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bar {
    /// Its name.
    pub name: String,
    /// Its length.
    pub value: f64,
    /// Lowest and highest value, e.g. over seeds.
    pub interval: Option<(f64, f64)>,
    /// Colour; `None`: that of its place among the bars.
    pub style: Option<usize>,
}

/// Horizontal bars from zero. It is as high as its bars need.
///
/// ```
/// use percept_chart::{Axis, Bar, BarChart, Chart, Unit};
/// let bar = |name: &str, value| Bar { name: name.into(), value, ..Bar::default() };
/// let chart = BarChart {
///     title: "Weights".into(),
///     axis: Axis::new("bytes").unit(Unit::Bytes),
///     bars: vec![bar("llp", 6_000_000.0), bar("transformer", 5_800_000.0)],
///     ..BarChart::default()
/// };
/// // A bar's length means something only from zero on, so the axis begins there.
/// assert!(chart.to_svg().contains(">0 B</text>"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct BarChart {
    /// Title; may be empty.
    pub title: String,
    /// A remark below the title; may be empty.
    pub note: String,
    /// The axis along the bars; a linear one starts at zero.
    pub axis: Axis,
    /// The bars, top first.
    pub bars: Vec<Bar>,
    /// Width in pixels.
    pub width: f64,
}

impl Default for BarChart {
    fn default() -> Self {
        Self { title: String::new(), note: String::new(), axis: Axis::default(), bars: Vec::new(), width: SIZE.0 }
    }
}

impl Chart for BarChart {
    fn draw(&self) -> Canvas {
        let axis = match self.axis.scale {
            // The length of a bar means something only from zero on.
            Scale::Linear => self.axis.clone().scale(Scale::FromZero),
            _ => self.axis.clone(),
        };
        let ends = self.bars.iter().flat_map(|bar| {
            let (low, high) = bar.interval.unwrap_or((bar.value, bar.value));
            [bar.value, low, high]
        });
        let Some(span) = axis.span(ends, 0.0) else {
            return empty((self.width, 120.0), &self.title, &self.note);
        };
        let mut probe = Canvas::new((0.0, 0.0), "");
        let top = head(&mut probe, self.width, &self.title, &self.note) + 8.0;
        let bottom = top + self.bars.len() as f64 * ROW;
        let names: Vec<&str> = self.bars.iter().map(|bar| bar.name.as_str()).collect();
        let spoken = format!("{}. Bars of {}: {}", self.title, self.axis.label, names.join(", "));
        let mut canvas = Canvas::new((self.width, bottom + 44.0), &spoken);
        head(&mut canvas, self.width, &self.title, &self.note);
        let widest = names.iter().map(|name| text_width(name, TEXT)).fold(0.0, f64::max);
        let left = widest.min(self.width * 0.35) + 18.0;
        let values = self.bars.iter().map(|bar| text_width(&axis.unit.value(bar.value), TEXT)).fold(0.0, f64::max);
        let across = Placed::new(&axis, span, (left, self.width - values - 20.0));
        self.scale(&mut canvas, &across, top, bottom);
        for (index, bar) in self.bars.iter().enumerate() {
            self.bar(&mut canvas, &across, (left, top + index as f64 * ROW), bar, bar.style.unwrap_or(index));
        }
        canvas.line("axis", (left, top), (left, bottom));
        canvas
    }
}

impl BarChart {
    fn scale(&self, canvas: &mut Canvas, across: &Placed, top: f64, bottom: f64) {
        let mut free = 0.0;
        for tick in across.ticks((self.width / 90.0) as usize) {
            let x = across.at(tick.value);
            canvas.line("grid", (x, top), (x, bottom));
            let half = text_width(&tick.label, TEXT) / 2.0;
            if x - half >= free {
                canvas.text((x, bottom + 17.0), Anchor::Middle, "tick", &tick.label);
                free = x + half + 8.0;
            }
        }
        canvas.text((self.width / 2.0, bottom + 35.0), Anchor::Middle, "soft", &self.axis.label);
    }

    fn bar(&self, canvas: &mut Canvas, across: &Placed, (left, top): (f64, f64), bar: &Bar, style: usize) {
        let base = top + ROW / 2.0 + 4.0;
        canvas.text((left - 8.0, base), Anchor::End, "tick", &fit(&bar.name, TEXT, left - 12.0));
        if !self.axis.takes(bar.value) {
            canvas.text((left + 6.0, base), Anchor::Start, "soft", "–");
            return;
        }
        let (colour, end) = (palette::colour(style), across.at(bar.value));
        let zero = if across.holds(0.0) { across.at(0.0) } else { left };
        let title = escape(&format!("{}: {}", bar.name, self.axis.unit.value(bar.value)));
        canvas.push(format!(
            "<rect class=\"bar {colour}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{title}</title></rect>",
            number(zero.min(end)),
            number(top + 5.0),
            number((end - zero).abs().max(1.0)),
            number(ROW - 10.0)
        ));
        let mut label = end.max(zero);
        if let Some((low, high)) = bar.interval.filter(|(low, high)| self.axis.takes(*low) && self.axis.takes(*high)) {
            let (low, high, y) = (across.at(low), across.at(high), top + ROW / 2.0);
            canvas.line("error", (low, y), (high, y));
            for x in [low, high] {
                canvas.line("error", (x, y - 4.0), (x, y + 4.0));
            }
            label = label.max(high);
        }
        canvas.text((label + 7.0, base), Anchor::Start, "", &self.axis.unit.value(bar.value));
    }
}
