//! How series are told apart: colour, dash and marker.

use super::canvas::number;

/// Number of styles; further series repeat the colours with another dash and marker.
pub const STYLES: usize = 8;

const DASHES: [&str; 5] = ["", "7 3", "2 3", "9 3 2 3", "14 4"];

/// The class of a style's colour.
pub(crate) fn colour(style: usize) -> String {
    format!("s{}", style % STYLES)
}

/// Its dash pattern, in pixels; empty: solid.
pub(crate) fn dash(style: usize) -> &'static str {
    // 5 and 8 have no common factor: the first 40 styles differ in colour or dash.
    DASHES[style % DASHES.len()]
}

/// The path of its marker around a point.
pub(crate) fn marker(style: usize, x: f64, y: f64, radius: f64) -> String {
    let at = |dx: f64, dy: f64| format!("{} {}", number(x + dx * radius), number(y + dy * radius));
    let polygon = |corners: &[(f64, f64)]| {
        let corners: Vec<String> = corners.iter().map(|(dx, dy)| at(*dx, *dy)).collect();
        format!("M{}Z", corners.join("L"))
    };
    match style % STYLES {
        0 => {
            let r = number(radius);
            format!("M{}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0Z", at(-1.0, 0.0), d = number(2.0 * radius))
        }
        1 => polygon(&[(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]),
        2 => polygon(&[(0.0, -1.1), (1.05, 0.8), (-1.05, 0.8)]),
        3 => polygon(&[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)]),
        4 => polygon(&[(0.0, 1.1), (1.05, -0.8), (-1.05, -0.8)]),
        5 => polygon(&[
            (-0.35, -1.1),
            (0.35, -1.1),
            (0.35, -0.35),
            (1.1, -0.35),
            (1.1, 0.35),
            (0.35, 0.35),
            (0.35, 1.1),
            (-0.35, 1.1),
            (-0.35, 0.35),
            (-1.1, 0.35),
            (-1.1, -0.35),
            (-0.35, -0.35),
        ]),
        6 => polygon(&[
            (0.54, -1.2),
            (1.2, -0.54),
            (0.67, 0.0),
            (1.2, 0.54),
            (0.54, 1.2),
            (0.0, 0.67),
            (-0.54, 1.2),
            (-1.2, 0.54),
            (-0.67, 0.0),
            (-1.2, -0.54),
            (-0.54, -1.2),
            (0.0, -0.67),
        ]),
        _ => polygon(&[(-1.15, 0.0), (-0.55, -1.0), (0.55, -1.0), (1.15, 0.0), (0.55, 1.0), (-0.55, 1.0)]),
    }
}

/// A small inline picture of a style, line and marker, for legends in HTML.
pub fn swatch(style: usize) -> String {
    format!(
        "<svg class=\"chart swatch\" width=\"30\" height=\"12\" viewBox=\"0 0 30 12\" aria-hidden=\"true\">{}</svg>",
        sample(style, 1.0, 6.0)
    )
}

/// Line and marker of a style, 28 pixels wide from `x`.
pub(crate) fn sample(style: usize, x: f64, y: f64) -> String {
    format!(
        "<g class=\"{}\"><path class=\"line\" d=\"M{} {y}h28\" stroke-dasharray=\"{}\"/><path class=\"mark\" d=\"{}\"/></g>",
        colour(style),
        number(x),
        dash(style),
        marker(style, x + 14.0, y, 4.0),
        y = number(y),
    )
}
