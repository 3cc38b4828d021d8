//! Scatter charts with labels and a Pareto front.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, fit, number, text_width};
use super::frame::{Frame, Outline, TEXT, empty};
use super::{Chart, SIZE, palette};

/// A labelled point.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// Its place.
    pub at: (f64, f64),
    /// Lowest and highest y, e.g. over seeds.
    pub interval: Option<(f64, f64)>,
    /// Colour and marker; `None`: those of its place among the points.
    pub style: Option<usize>,
}

/// Points over two axes, of both of which less is better.
///
/// ```
/// use percept_chart::{Axis, Chart, Point, Scale, Scatter, Unit};
/// let model = |name: &str, at| Point { name: name.into(), at, ..Point::default() };
/// let chart = Scatter {
///     title: "Loss against cost".into(),
///     x: Axis::new("FLOP per token").scale(Scale::Log10).unit(Unit::Count),
///     y: Axis::new("bits per byte"),
///     points: vec![model("llp", (2e6, 2.1)), model("transformer", (9e6, 2.0))],
///     ..Scatter::default()
/// };
/// let svg = chart.to_svg();
/// assert!(svg.contains("transformer") && svg.contains("class=\"front\""));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Scatter {
    /// Title; may be empty.
    pub title: String,
    /// A remark below the title; may be empty.
    pub note: String,
    /// The x axis.
    pub x: Axis,
    /// The y axis.
    pub y: Axis,
    /// The points.
    pub points: Vec<Point>,
    /// Width and height in pixels.
    pub size: (f64, f64),
}

impl Default for Scatter {
    fn default() -> Self {
        let (title, note) = (String::new(), String::new());
        Self { title, note, x: Axis::default(), y: Axis::default(), points: Vec::new(), size: SIZE }
    }
}

/// The indices of the points that no other point beats in one value without losing in the other (less is better),
/// by rising x.
///
/// ```
/// use percept_chart::pareto_front;
/// // Seconds and loss of four models: the third is beaten in both by the first.
/// let models = [(10.0, 2.2), (30.0, 2.0), (20.0, 2.3), (5.0, 2.9)];
/// assert_eq!(pareto_front(&models), [3, 0, 1]);
/// ```
pub fn pareto_front(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> =
        (0..points.len()).filter(|i| points[*i].0.is_finite() && points[*i].1.is_finite()).collect();
    order.sort_by(|a, b| points[*a].0.total_cmp(&points[*b].0).then(points[*a].1.total_cmp(&points[*b].1)));
    let mut front: Vec<usize> = Vec::new();
    for index in order {
        // Equal points stand on the front together.
        let beaten =
            front.last().is_some_and(|last| points[*last].1 <= points[index].1 && points[*last] != points[index]);
        if !beaten {
            front.push(index);
        }
    }
    front
}

impl Chart for Scatter {
    fn draw(&self) -> Canvas {
        let points: Vec<(usize, &Point)> = self
            .points
            .iter()
            .enumerate()
            .filter(|(_, point)| self.x.takes(point.at.0) && self.y.takes(point.at.1))
            .map(|(index, point)| (point.style.unwrap_or(index), point))
            .collect();
        let heights = points.iter().flat_map(|(_, point)| {
            let (low, high) = point.interval.unwrap_or((point.at.1, point.at.1));
            [point.at.1, low, high]
        });
        let spans = self.x.span(points.iter().map(|point| point.1.at.0), 0.12).zip(self.y.span(heights, 0.12));
        let Some((x, y)) = spans else {
            return empty(self.size, &self.title, &self.note);
        };
        let names: Vec<&str> = points.iter().map(|(_, point)| point.name.as_str()).collect();
        let spoken = format!("{}. {} against {}: {}", self.title, self.y.label, self.x.label, names.join(", "));
        let mut canvas = Canvas::new(self.size, &spoken);
        let outline = Outline {
            size: self.size,
            title: &self.title,
            note: &self.note,
            x: (&self.x, x),
            y: (&self.y, y),
            above: &[],
            beside: 0.0,
        };
        let frame = Frame::draw(&mut canvas, &outline);
        draw_front(&mut canvas, &frame, &points);
        self.marks(&mut canvas, &frame, &points);
        draw_names(&mut canvas, &frame, &points, self.size.0);
        canvas
    }
}

impl Scatter {
    fn marks(&self, canvas: &mut Canvas, frame: &Frame, points: &[(usize, &Point)]) {
        for (style, point) in points.iter().filter(|(_, point)| frame.holds(point.at)) {
            let colour = palette::colour(*style);
            let (x, y) = frame.at(point.at);
            let ends = point.interval.filter(|(low, high)| low < high && frame.y.holds(*low) && frame.y.holds(*high));
            if let Some((low, high)) = ends {
                let (low, high) = (frame.y.at(low), frame.y.at(high));
                canvas.line(&format!("whisker {colour}"), (x, low), (x, high));
                for end in [low, high] {
                    canvas.line(&format!("whisker {colour}"), (x - 4.0, end), (x + 4.0, end));
                }
            }
            canvas.push(format!("<path class=\"mark {colour}\" d=\"{}\"/>", palette::marker(*style, x, y, 5.5)));
            let text = [self.x.unit.value(point.at.0), self.y.unit.value(point.at.1)];
            let text = format!("{}\n{}: {}\n{}: {}", point.name, self.x.label, text[0], self.y.label, text[1]);
            canvas.hint((x, y), 10.0, &text);
        }
    }
}

/// The front as steps: what is reached at which cost.
fn draw_front(canvas: &mut Canvas, frame: &Frame, points: &[(usize, &Point)]) {
    let places: Vec<(f64, f64)> = points.iter().map(|(_, point)| point.at).collect();
    let front = pareto_front(&places);
    let Some(first) = front.first() else { return };
    let (x, y) = frame.at(places[*first]);
    let mut path = format!("M{} {}V{}", number(x), number(frame.top), number(y));
    for index in &front[1..] {
        let (x, y) = frame.at(places[*index]);
        path.push_str(&format!("H{}V{}", number(x), number(y)));
    }
    path.push_str(&format!("H{}", number(frame.right)));
    canvas.push(format!("<path class=\"front\" d=\"{path}\"/>"));
}

/// A rectangle: left, top, right, bottom.
type Box = (f64, f64, f64, f64);

fn overlap(a: Box, b: Box) -> f64 {
    ((a.2.min(b.2) - a.0.max(b.0)).max(0.0)) * ((a.3.min(b.3) - a.1.max(b.1)).max(0.0))
}

/// Names every point where its name covers least: other points, other names, the edge.
fn draw_names(canvas: &mut Canvas, frame: &Frame, points: &[(usize, &Point)], width: f64) {
    let marks: Vec<Box> =
        points.iter().map(|(_, point)| frame.at(point.at)).map(|(x, y)| (x - 6.0, y - 6.0, x + 6.0, y + 6.0)).collect();
    let mut taken = marks.clone();
    for ((style, point), mark) in points.iter().zip(&marks) {
        let (x, y) = (mark.0 + 6.0, mark.1 + 6.0);
        let name = fit(&point.name, TEXT, 170.0);
        let (wide, high) = (text_width(&name, TEXT), TEXT);
        let candidates = [
            (x + 9.0, y + 4.0),
            (x - 9.0 - wide, y + 4.0),
            (x - wide / 2.0, y - 10.0),
            (x - wide / 2.0, y + 19.0),
            (x + 7.0, y - 7.0),
            (x + 7.0, y + 15.0),
            (x - 7.0 - wide, y - 7.0),
            (x - 7.0 - wide, y + 15.0),
        ];
        let boxed = |(left, base): (f64, f64)| (left, base - high + 2.0, left + wide, base + 3.0);
        let cost = |place: &(f64, f64)| {
            let own = boxed(*place);
            let outside = wide * (high + 1.0) - overlap(own, (frame.left, frame.top - 10.0, width - 4.0, frame.bottom));
            4.0 * outside + taken.iter().map(|other| overlap(own, *other)).sum::<f64>()
        };
        let best = candidates.into_iter().min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or((x, y));
        taken.push(boxed(best));
        canvas.text(best, Anchor::Start, &format!("name halo {}", palette::colour(*style)), &name);
    }
}
