//! What surrounds the data: title, legend, axes, grid.

use super::axis::{Axis, Placed, Tick};
use super::canvas::{Anchor, Canvas, fit, text_width, wrap};
use super::palette;

/// Sizes of text, in pixels.
pub(crate) const TEXT: f64 = 12.0;
const TITLE: f64 = 14.0;
const LINE: f64 = 17.0;
/// The widest label beside a line.
const LABEL: f64 = 150.0;

/// Where series are named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Legend {
    /// Beside the end of each line; above the plot where there are too many.
    #[default]
    Beside,
    /// In rows above the plot.
    Above,
    /// Nowhere: the page around the chart names them.
    None,
}

/// A name and the style of its series.
pub(crate) type Entry<'a> = (&'a str, usize);

/// The rectangle of the data, with its axes.
pub(crate) struct Frame {
    pub(crate) x: Placed,
    pub(crate) y: Placed,
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
}

/// What a frame is made for.
pub(crate) struct Outline<'a> {
    pub(crate) size: (f64, f64),
    pub(crate) title: &'a str,
    pub(crate) note: &'a str,
    pub(crate) x: (&'a Axis, (f64, f64)),
    pub(crate) y: (&'a Axis, (f64, f64)),
    /// Named above the plot.
    pub(crate) above: &'a [Entry<'a>],
    /// Pixels that labels need right of the plot.
    pub(crate) beside: f64,
}

/// Draws title and note; returns the y below them.
pub(crate) fn head(canvas: &mut Canvas, width: f64, title: &str, note: &str) -> f64 {
    let mut y = 6.0;
    for line in wrap(title, TITLE * 1.06, width - 16.0) {
        y += LINE + 1.0;
        canvas.text((8.0, y - 3.0), Anchor::Start, "title", &line);
    }
    for line in wrap(note, TEXT, width - 16.0) {
        y += LINE - 1.0;
        canvas.text((8.0, y - 3.0), Anchor::Start, "soft", &line);
    }
    y
}

/// A chart without data says so.
pub(crate) fn empty(size: (f64, f64), title: &str, note: &str) -> Canvas {
    let mut canvas = Canvas::new(size, title);
    head(&mut canvas, size.0, title, note);
    canvas.text((size.0 / 2.0, size.1 / 2.0), Anchor::Middle, "soft", "no data");
    canvas
}

/// Pixels for labels of these names beside the plot.
pub(crate) fn room_beside<'a>(names: impl Iterator<Item = &'a str>) -> f64 {
    names.map(|name| text_width(name, TEXT).min(LABEL) + 14.0).fold(0.0, f64::max)
}

/// A name as it stands beside a line.
pub(crate) fn label(name: &str) -> String {
    fit(name, TEXT, LABEL)
}

impl Frame {
    /// Draws title, legend, grid and axes, and leaves the rest to the data.
    pub(crate) fn draw(canvas: &mut Canvas, outline: &Outline<'_>) -> Self {
        let (width, height) = outline.size;
        let mut top = head(canvas, width, outline.title, outline.note);
        if !outline.above.is_empty() {
            top = rows(canvas, width, top + 4.0, outline.above);
        }
        let (x, y) = (outline.x, outline.y);
        for line in wrap(&y.0.label, TEXT, width - 16.0) {
            top += LINE;
            canvas.text((8.0, top), Anchor::Start, "soft", &line);
        }
        top += 12.0;
        let bottom = height - if x.0.label.is_empty() { 26.0 } else { 44.0 };
        let rising = Placed::new(y.0, y.1, (bottom, top));
        let up = rising.ticks((((bottom - top) / 38.0) as usize).clamp(2, 8));
        let left = up.iter().map(|tick| text_width(&tick.label, TEXT)).fold(16.0, f64::max) + 16.0;
        let right = (width - outline.beside.max(16.0)).max(left + 40.0);
        let frame = Self { x: Placed::new(x.0, x.1, (left, right)), y: rising, left, right, top, bottom };
        frame.axes(canvas, &up, &x.0.label, width);
        frame
    }

    fn axes(&self, canvas: &mut Canvas, up: &[Tick], label: &str, width: f64) {
        for tick in up {
            let y = self.y.at(tick.value);
            canvas.line("grid", (self.left, y), (self.right, y));
            canvas.text((self.left - 8.0, y + 4.0), Anchor::End, "tick", &tick.label);
        }
        canvas.line("axis", (self.left, self.bottom), (self.right, self.bottom));
        for tick in across(&self.x, self.right - self.left) {
            let x = self.x.at(tick.value);
            canvas.line("axis", (x, self.bottom), (x, self.bottom + 5.0));
            // The outermost labels stay inside the picture.
            let half = text_width(&tick.label, TEXT) / 2.0;
            let middle = x.clamp(half + 2.0, (width - half - 2.0).max(half + 2.0));
            canvas.text((middle, self.bottom + 19.0), Anchor::Middle, "tick", &tick.label);
        }
        if !label.is_empty() {
            canvas.text(((self.left + self.right) / 2.0, self.bottom + 37.0), Anchor::Middle, "soft", label);
        }
    }

    /// Whether a point lies inside.
    pub(crate) fn holds(&self, (x, y): (f64, f64)) -> bool {
        self.x.holds(x) && self.y.holds(y)
    }

    /// The place of a point.
    pub(crate) fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x.at(x), self.y.at(y))
    }
}

/// As many ticks as have room side by side.
fn across(axis: &Placed, width: f64) -> Vec<Tick> {
    let fits = |ticks: &[Tick]| {
        ticks.windows(2).all(|pair| {
            let room = (axis.at(pair[1].value) - axis.at(pair[0].value)).abs();
            room >= (text_width(&pair[0].label, TEXT) + text_width(&pair[1].label, TEXT)) / 2.0 + 10.0
        })
    };
    let most = ((width / 45.0) as usize).clamp(2, 12);
    (2..=most).rev().map(|most| axis.ticks(most)).find(|ticks| fits(ticks)).unwrap_or_else(|| {
        // Two labels at least say how far the axis goes.
        let mut ticks = axis.ticks(2);
        let last = ticks.pop();
        ticks.truncate(1);
        ticks.extend(last);
        ticks
    })
}

/// Names in rows; returns the y below them.
fn rows(canvas: &mut Canvas, width: f64, top: f64, entries: &[Entry<'_>]) -> f64 {
    let (mut x, mut y) = (8.0, top + 12.0);
    for (name, style) in entries {
        let name = fit(name, TEXT, LABEL);
        let needs = 36.0 + text_width(&name, TEXT) + 14.0;
        if x > 8.0 && x + needs > width {
            (x, y) = (8.0, y + LINE);
        }
        canvas.push(palette::sample(*style, x, y - 4.0));
        canvas.text((x + 34.0, y), Anchor::Start, "", &name);
        x += needs;
    }
    y + 4.0
}

/// Moves places apart so that neighbours are `gap` away, within the ends, as little as needed.
///
/// Each group of touching labels stands around the mean of what its members wish for.
pub(crate) fn spread(wishes: &[f64], gap: f64, (low, high): (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wishes.len()).collect();
    order.sort_by(|a, b| wishes[*a].total_cmp(&wishes[*b]));
    // Groups of (first member, members, start of the first).
    let mut groups: Vec<(usize, usize, f64)> = Vec::new();
    let start = |first: usize, count: usize| {
        let wish = (0..count).map(|k| wishes[order[first + k]] - k as f64 * gap).sum::<f64>() / count as f64;
        wish.min(high - (count - 1) as f64 * gap).max(low)
    };
    for index in 0..order.len() {
        groups.push((index, 1, start(index, 1)));
        while let [.., before, last] = groups.as_slice()
            && before.2 + before.1 as f64 * gap > last.2
        {
            let merged = (before.0, before.1 + last.1);
            groups.truncate(groups.len() - 2);
            groups.push((merged.0, merged.1, start(merged.0, merged.1)));
        }
    }
    let mut places = vec![0.0; wishes.len()];
    for (first, count, start) in groups {
        for k in 0..count {
            places[order[first + k]] = start + k as f64 * gap;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_move_apart_as_little_as_needed() {
        assert_eq!(spread(&[50.0, 10.0], 14.0, (0.0, 100.0)), [50.0, 10.0]);
        assert_eq!(spread(&[50.0, 52.0], 14.0, (0.0, 100.0)), [44.0, 58.0]);
        assert_eq!(spread(&[99.0, 98.0, 97.0], 10.0, (0.0, 100.0)), [100.0, 90.0, 80.0]);
    }

    #[test]
    fn labels_below_an_axis_have_room() {
        let axis = Placed::new(&Axis::new("x"), (0.0001, 0.0009), (0.0, 180.0));
        let ticks = across(&axis, 180.0);
        assert!(ticks.len() >= 2, "{ticks:?}");
        for pair in ticks.windows(2) {
            let room = axis.at(pair[1].value) - axis.at(pair[0].value);
            assert!(room > text_width(&pair[0].label, TEXT) + 8.0, "{ticks:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn spread_labels_never_overlap(wishes in proptest::collection::vec(0.0f64..200.0, 0..12)) {
            let mut places = spread(&wishes, 15.0, (0.0, 200.0));
            places.sort_by(f64::total_cmp);
            proptest::prop_assert!(places.windows(2).all(|pair| pair[1] - pair[0] > 14.999), "{places:?}");
            proptest::prop_assert!(places.iter().all(|place| (-1e-9..=200.0 + 1e-9).contains(place)), "{places:?}");
        }
    }
}
