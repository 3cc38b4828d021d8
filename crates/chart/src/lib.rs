//! Charts as SVG: lines, scatter, heat maps, bars, parallel coordinates.
//!
//! A chart is a plain value; [`Chart::to_svg`] gives a complete file, [`Chart::to_inline`] an element for an HTML page
//! that holds [`STYLE`] once. Both follow the reader's light or dark theme, ask the network for nothing, and show the
//! value under the pointer (`<title>`). Series differ in colour, dash and marker, so that they can be told apart without
//! seeing colours. A value that is not finite, or not positive on a logarithmic axis, is left out.
//!
//! ```
//! use percept_chart::{Axis, Chart, LineChart, Scale, Series, Unit};
//! let chart = LineChart {
//!     title: "Decoding against context".into(),
//!     x: Axis::new("context in tokens").scale(Scale::Log2).unit(Unit::Binary),
//!     y: Axis::new("time per token").scale(Scale::FromZero).unit(Unit::Seconds),
//!     series: vec![Series::new("llp", vec![(1024.0, 0.0011), (65536.0, 0.0011)])],
//!     ..LineChart::default()
//! };
//! assert!(chart.to_svg().contains(">64k</text>"));
//! ```

mod axis;
mod bars;
mod canvas;
mod frame;
mod heat_map;
mod line;
mod number;
mod palette;
mod parallel;
mod scatter;
#[cfg(test)]
mod tests;

pub use axis::{Axis, Scale};
pub use bars::{Bar, BarChart};
pub use canvas::{Canvas, escape};
pub use frame::Legend;
pub use heat_map::HeatMap;
pub use line::{Level, LineChart, Series};
pub use number::Unit;
pub use palette::{STYLES, swatch};
pub use parallel::{Coordinate, ParallelCoordinates, Trace};
pub use scatter::{Point, Scatter, pareto_front};

/// The style sheet of all charts, for a page that holds inline ones.
pub const STYLE: &str = include_str!("chart.css");

/// Width and height of a chart where nothing else is asked for, in pixels at its natural size.
pub const SIZE: (f64, f64) = (720.0, 420.0);

/// Something that can be drawn.
///
/// ```
/// use percept_chart::{Bar, BarChart, Chart, STYLE};
/// let bars = |title: &str, value| BarChart {
///     title: title.into(),
///     bars: vec![Bar { name: "llp".into(), value, ..Bar::default() }],
///     ..BarChart::default()
/// };
/// // A page carries the style once, a file on its own each time.
/// let (speed, memory) = (bars("Speed", 3.0), bars("Memory", 2.0));
/// let page = format!("<style>{STYLE}</style>{}{}", speed.to_inline(), memory.to_inline());
/// assert_eq!((page.matches("<style>").count(), page.matches("<svg").count()), (1, 2));
/// assert!(speed.to_svg().contains("<style>"));
/// ```
pub trait Chart {
    /// Draws it.
    fn draw(&self) -> Canvas;

    /// A complete SVG file.
    fn to_svg(&self) -> String {
        self.draw().document()
    }

    /// An `<svg>` element for a page that holds [`STYLE`].
    fn to_inline(&self) -> String {
        self.draw().element()
    }
}
