//! The plot: time per token above, memory below, both logarithmic.

use percept::chart::{Axis, Chart, LineChart, SIZE, STYLE, Scale, Series, Unit};
use percept::files::CHART_MARK;

use super::point::{Kind, Point};

const MIB: f64 = (1 << 20) as f64;

/// A complete SVG file.
pub(super) fn svg(points: &[Point]) -> String {
    let x = || Axis::new("context in tokens").scale(Scale::Log2).unit(Unit::Binary);
    let time = LineChart {
        title: "Time per token".into(),
        x: x(),
        y: Axis::new("time per token").scale(Scale::Log10).unit(Unit::Seconds),
        series: Kind::ALL.iter().flat_map(|&kind| series(points, kind, kind.name(), "ms_per_token", 1e-3)).collect(),
        ..LineChart::default()
    };
    let memory = LineChart {
        title: "Memory".into(),
        x: x(),
        y: Axis::new("peak resident memory of training and decoding, and the state")
            .scale(Scale::Log2)
            .unit(Unit::Bytes),
        series: [
            series(points, Kind::Train, "train", "peak_rss_mib", MIB),
            series(points, Kind::Decode, "decode", "peak_rss_mib", MIB),
            series(points, Kind::Decode, "state", "state_bytes", 1.0),
        ]
        .concat(),
        ..LineChart::default()
    };
    stacked(&[time.to_inline(), memory.to_inline()])
}

/// One line per model with a number, times `factor`, of the points of this kind.
fn series(points: &[Point], kind: Kind, what: &str, key: &str, factor: f64) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for point in points.iter().filter(|point| point.kind == kind) {
        let Some(value) = point.median(key) else { continue };
        let name = format!("{} {what}", point.model);
        let place = (point.context as f64, value * factor);
        match all.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push(place),
            None => all.push(Series::new(name, vec![place])),
        }
    }
    all
}

/// Charts one below the other in one file.
fn stacked(charts: &[String]) -> String {
    let (width, height) = SIZE;
    let total = height * charts.len() as f64;
    let panels: String = (0..)
        .zip(charts)
        .map(|(index, chart)| format!("<g transform=\"translate(0 {})\">{chart}</g>", f64::from(index) * height))
        .collect();
    // Inside another drawing a chart keeps its natural size.
    let style = format!("{STYLE} g > .chart {{ width: {width}px; height: {height}px; max-width: none; }}");
    let style = style.replace(['<', '&'], "");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{CHART_MARK}\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" \
         height=\"{total}\" viewBox=\"0 0 {width} {total}\"><style>{style}</style>{panels}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_and_task_is_a_line_in_one_file() {
        let run = |time: f64| {
            let json = format!("{{\"ms_per_token\": {time}, \"peak_rss_mib\": 10, \"state_bytes\": 8}}");
            serde_json::from_str(&json).unwrap()
        };
        let point =
            |model: &str, context, kind, time| Point { runs: vec![run(time)], ..Point::new(model, context, kind) };
        let points = [
            point("llp", 1024, Kind::Train, 0.1),
            point("llp", 2048, Kind::Train, 0.1),
            point("transformer", 1024, Kind::Decode, 1.0),
            Point::new("transformer", 2048, Kind::Decode),
        ];
        let times = series(&points, Kind::Train, "train", "ms_per_token", 1e-3);
        assert_eq!(times, [Series::new("llp train", vec![(1024.0, 1e-4), (2048.0, 1e-4)])]);
        let svg = svg(&points);
        for text in ["llp train", "transformer decode", "transformer state", "Memory"] {
            assert!(svg.contains(text), "{text}");
        }
        assert_eq!((svg.matches("class=\"chart\"").count(), svg.matches("xmlns").count()), (2, 1));
    }
}
