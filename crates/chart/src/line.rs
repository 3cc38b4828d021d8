//! Line charts.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, fit, number, text_width};
use super::frame::{Frame, Legend, Outline, TEXT, empty, label, room_beside, spread};
use super::{Chart, SIZE, palette};

/// Distance of labels beside the plot.
const GAP: f64 = 15.0;
/// Markers on a line with many points; every point keeps its hover value.
const MARKERS: usize = 10;

/// One line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its points (x, y), in the order in which they are joined.
    pub points: Vec<(f64, f64)>,
    /// Low and high around some x: a band behind the line.
    pub band: Vec<(f64, f64, f64)>,
    /// Colour, dash and marker; `None`: those of its place among the series.
    pub style: Option<usize>,
}

impl Series {
    /// A line without a band, in the style of its place.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, ..Self::default() }
    }
}

/// A horizontal line to compare with, e.g. a baseline or chance.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// Its name, written on it.
    pub name: String,
    /// Where it lies on the y axis.
    pub value: f64,
}

/// Lines over two axes.
///
/// ```
/// use percept_chart::{Axis, Chart, Level, LineChart, Series};
/// let mut loss = Series::new("llp", vec![(0.0, 5.5), (100.0, 2.4), (200.0, 2.1)]);
/// // The spread over seeds, drawn behind the line.
/// loss.band = vec![(0.0, 5.4, 5.6), (200.0, 2.0, 2.2)];
/// let chart = LineChart {
///     title: "Validation loss".into(),
///     x: Axis::new("step"),
///     y: Axis::new("nats per token"),
///     series: vec![loss],
///     levels: vec![Level { name: "5-gram".into(), value: 2.9 }],
///     ..LineChart::default()
/// };
/// let svg = chart.to_svg();
/// assert!(svg.contains("class=\"level\"") && svg.contains("5-gram"));
/// // Every point says what it is under the pointer.
/// assert!(svg.contains("llp") && svg.contains("2.1</title>"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// Title; may be empty.
    pub title: String,
    /// A remark below the title; may be empty.
    pub note: String,
    /// The x axis.
    pub x: Axis,
    /// The y axis.
    pub y: Axis,
    /// The lines.
    pub series: Vec<Series>,
    /// Lines to compare with.
    pub levels: Vec<Level>,
    /// Where the series are named.
    pub legend: Legend,
    /// Width and height in pixels.
    pub size: (f64, f64),
}

impl Default for LineChart {
    fn default() -> Self {
        Self {
            title: String::new(),
            note: String::new(),
            x: Axis::default(),
            y: Axis::default(),
            series: Vec::new(),
            levels: Vec::new(),
            legend: Legend::default(),
            size: SIZE,
        }
    }
}

impl Chart for LineChart {
    fn draw(&self) -> Canvas {
        let lines: Vec<Line<'_>> = self
            .series
            .iter()
            .enumerate()
            .map(|(index, series)| (series.style.unwrap_or(index), series, self.valid(series)))
            .filter(|(_, _, points)| !points.is_empty())
            .collect();
        let points = || lines.iter().flat_map(|(_, _, points)| points.iter().copied());
        let bands = self.series.iter().flat_map(|series| self.band(series)).flat_map(|(_, low, high)| [low, high]);
        let levels = self.levels.iter().map(|level| level.value);
        let spans = self
            .x
            .span(points().map(|point| point.0), 0.0)
            .zip(self.y.span(points().map(|point| point.1).chain(bands).chain(levels), 0.05));
        let Some((x, y)) = spans.filter(|_| !lines.is_empty()) else {
            return empty(self.size, &self.title, &self.note);
        };
        let names: Vec<(&str, usize)> = lines.iter().map(|(style, series, _)| (series.name.as_str(), *style)).collect();
        let beside = self.legend == Legend::Beside && names.len() as f64 * GAP < self.size.1 - 110.0;
        let outline = Outline {
            size: self.size,
            title: &self.title,
            note: &self.note,
            x: (&self.x, x),
            y: (&self.y, y),
            above: if beside || self.legend == Legend::None { &[] } else { &names },
            beside: if beside { room_beside(names.iter().map(|name| name.0)) } else { 0.0 },
        };
        let mut canvas = Canvas::new(self.size, &self.spoken(&names));
        let frame = Frame::draw(&mut canvas, &outline);
        self.inside(&mut canvas, &frame, &lines);
        if beside {
            name_ends(&mut canvas, &frame, &lines);
        }
        self.hints(&mut canvas, &frame, &lines);
        canvas
    }
}

/// Style, series and those of its points that have a place.
type Line<'a> = (usize, &'a Series, Vec<(f64, f64)>);

impl LineChart {
    fn valid(&self, series: &Series) -> Vec<(f64, f64)> {
        series.points.iter().copied().filter(|point| self.x.takes(point.0) && self.y.takes(point.1)).collect()
    }

    fn band(&self, series: &Series) -> Vec<(f64, f64, f64)> {
        let takes = |(x, low, high): &(f64, f64, f64)| self.x.takes(*x) && self.y.takes(*low) && self.y.takes(*high);
        series.band.iter().copied().filter(takes).collect()
    }

    fn spoken(&self, names: &[(&str, usize)]) -> String {
        let names: Vec<&str> = names.iter().map(|name| name.0).collect();
        let title = if self.title.is_empty() { &self.y.label } else { &self.title };
        format!("{title}. Lines of {} against {}: {}", self.y.label, self.x.label, names.join(", "))
    }

    fn inside(&self, canvas: &mut Canvas, frame: &Frame, lines: &[Line<'_>]) {
        // A nested picture cuts off what lies outside of it.
        let (width, height) = (number(frame.right - frame.left), number(frame.bottom - frame.top));
        let (left, top) = (number(frame.left), number(frame.top));
        canvas.push(format!(
            "<svg x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" viewBox=\"{left} {top} {width} {height}\" \
             overflow=\"hidden\">"
        ));
        for (style, series, points) in lines {
            let band = self.band(series);
            let there = band.iter().map(|(x, low, _)| (*x, *low));
            let back = band.iter().rev().map(|(x, _, high)| (*x, *high));
            if band.len() > 1 {
                let colour = palette::colour(*style);
                canvas.push(format!("<path class=\"band {colour}\" d=\"{}Z\"/>", path(frame, there.chain(back))));
            }
            canvas.push(format!(
                "<path class=\"line {}\" d=\"{}\" stroke-dasharray=\"{}\"/>",
                palette::colour(*style),
                path(frame, points.iter().copied()),
                palette::dash(*style)
            ));
        }
        canvas.push("</svg>");
        for level in self.levels.iter().filter(|level| self.y.takes(level.value) && frame.y.holds(level.value)) {
            let y = frame.y.at(level.value);
            canvas.line("level", (frame.left, y), (frame.right, y));
            let text =
                fit(&format!("{} {}", level.name, self.y.unit.value(level.value)), TEXT, frame.right - frame.left);
            canvas.text(
                (free_place(frame, lines, text_width(&text, TEXT), y), y - 4.0),
                Anchor::Start,
                "soft halo",
                &text,
            );
        }
    }

    fn hints(&self, canvas: &mut Canvas, frame: &Frame, lines: &[Line<'_>]) {
        for (style, series, points) in lines {
            let stride = points.len().div_ceil(MARKERS).max(1);
            for (index, point) in points.iter().enumerate().filter(|(_, point)| frame.holds(**point)) {
                let at = frame.at(*point);
                // Markers of neighbouring lines stand at different points.
                if (index + style) % stride == 0 || points.len() <= MARKERS {
                    let marker = palette::marker(*style, at.0, at.1, 3.6);
                    canvas.push(format!("<path class=\"mark {}\" d=\"{marker}\"/>", palette::colour(*style)));
                }
                let (x, y) = (self.x.unit.value(point.0), self.y.unit.value(point.1));
                canvas.hint(at, 6.0, &format!("{}\n{}: {x}\n{}: {y}", series.name, self.x.label, self.y.label));
            }
        }
    }
}

fn path(frame: &Frame, points: impl Iterator<Item = (f64, f64)>) -> String {
    let places: Vec<String> = points
        .map(|point| {
            let (x, y) = frame.at(point);
            format!("{} {}", number(x), number(y))
        })
        .collect();
    // A single point is a line of no length, so that it can be seen.
    format!("M{}{}", places.join("L"), if places.len() == 1 { "h0.1" } else { "" })
}

/// The left end of a text of some width above a level where the fewest lines run through it: at the right or left end.
fn free_place(frame: &Frame, lines: &[Line<'_>], width: f64, y: f64) -> f64 {
    let crossed = |left: &f64| {
        let inside =
            |(x, line): (f64, f64)| x > left - 4.0 && x < left + width + 4.0 && line > y - 18.0 && line < y + 4.0;
        let between = lines.iter().flat_map(|(_, _, points)| points.windows(2)).flat_map(|pair| {
            let (a, b) = (frame.at(pair[0]), frame.at(pair[1]));
            (0..8).map(move |step| f64::from(step) / 8.0).map(move |t| (a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t))
        });
        between.filter(|place| inside(*place)).count()
    };
    let ends = [frame.right - 4.0 - width, frame.left + 6.0];
    ends.into_iter().min_by_key(crossed).unwrap_or(frame.left)
}

/// Names the lines at their ends.
fn name_ends(canvas: &mut Canvas, frame: &Frame, lines: &[Line<'_>]) {
    let ends: Vec<(f64, f64)> = lines
        .iter()
        .map(|(_, _, points)| {
            let inside = points.iter().rev().find(|point| frame.holds(**point));
            let (x, y) = frame.at(inside.or(points.last()).copied().unwrap_or_default());
            (x.min(frame.right), y.clamp(frame.top, frame.bottom))
        })
        .collect();
    let wishes: Vec<f64> = ends.iter().map(|end| end.1).collect();
    let places = spread(&wishes, GAP, (frame.top, frame.bottom));
    for ((style, series, _), (end, place)) in lines.iter().zip(ends.iter().zip(places)) {
        if (place - end.1).abs() > 2.0 || frame.right - end.0 > 8.0 {
            canvas.line("leader", *end, (frame.right + 7.0, place));
        }
        let class = format!("name {}", palette::colour(*style));
        canvas.text((frame.right + 9.0, place + 4.0), Anchor::Start, &class, &label(&series.name));
    }
}
