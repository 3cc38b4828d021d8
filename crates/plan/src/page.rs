//! The costs over context lengths as charts on one printed page.

use std::fmt::Write;

use percept_files::CHART_MARK;

use super::contexts::{ContextCost, ContextPlan};
use percept_chart::{Axis, Chart, Legend, LineChart, STYLE, Scale, Series, Unit, escape, swatch};

/// Width and height in units of 1/96 inch: fits A4 and Letter.
const PAGE: (f64, f64) = (740.0, 1010.0);
/// Charts side by side, their height, and where the first begins.
const COLUMNS: usize = 2;
const ROW: f64 = 310.0;
const TOP: f64 = 64.0;
/// Distance of the lines of the key.
const LINE: f64 = 15.0;

/// What a chart shows of a cost.
struct Panel {
    title: &'static str,
    unit: Unit,
    of: fn(&ContextCost) -> Option<f64>,
}

const PANELS: [Panel; 5] = [
    Panel { title: "Forward pass, FLOP per token", unit: Unit::Count, of: |cost| Some(cost.flops_per_token) },
    Panel { title: "Attention scores of a window", unit: Unit::Count, of: |cost| Some(cost.score_entries as f64) },
    Panel { title: "Training memory, one window", unit: Unit::Bytes, of: |cost| Some(cost.memory_bytes as f64) },
    Panel { title: "State of a session", unit: Unit::Bytes, of: |cost| Some(cost.state_bytes as f64) },
    Panel { title: "Training time per token", unit: Unit::Seconds, of: |cost| cost.seconds_per_token },
];

/// An SVG file: a chart per cost over logarithmic axes, and a key that gives the figures at the longest context.
pub fn page(plans: &[ContextPlan]) -> String {
    let (width, height) = PAGE;
    let mut body = String::new();
    text(&mut body, (16.0, 30.0), "title", "What a longer context costs");
    text(&mut body, (16.0, 50.0), "soft", &remark(plans));
    let size = (width / COLUMNS as f64, ROW);
    for (index, panel) in PANELS.iter().enumerate() {
        let at = place(index, size);
        match plans.iter().flat_map(|plan| &plan.costs).any(|cost| (panel.of)(cost).is_some()) {
            true => put(&mut body, &chart(panel, plans, size).to_inline(), at, size),
            false => text(&mut body, (at.0 + 16.0, at.1 + 40.0), "soft", "no speed is known, so no time"),
        }
    }
    key(&mut body, plans, place(PANELS.len(), size));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{CHART_MARK}\n<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" \
         width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"What a longer context costs\"><style>{}</style>\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>{body}</svg>\n",
        STYLE.replace(['<', '&'], "")
    )
}

fn place(index: usize, size: (f64, f64)) -> (f64, f64) {
    ((index % COLUMNS) as f64 * size.0, TOP + (index / COLUMNS) as f64 * size.1)
}

fn remark(plans: &[ContextPlan]) -> String {
    let speeds: Vec<f64> = plans.iter().filter_map(|plan| plan.flops_per_second).collect();
    let low = speeds.iter().copied().fold(f64::INFINITY, f64::min);
    let high = speeds.iter().copied().fold(0.0, f64::max);
    let count = |value| Unit::Count.value(value);
    match speeds.is_empty() {
        true => "from the formulas of each configuration".to_string(),
        false if low == high => format!("from the formulas of each configuration; time at {} FLOP/s", count(low)),
        false => {
            format!("from the formulas of each configuration; time at {} to {} FLOP/s", count(low), count(high))
        }
    }
}

fn chart(panel: &Panel, plans: &[ContextPlan], size: (f64, f64)) -> LineChart {
    let line = |plan: &ContextPlan| {
        let points = plan.costs.iter().filter_map(|cost| Some((cost.context as f64, (panel.of)(cost)?)));
        Series::new(plan.model.as_str(), points.collect())
    };
    // Bytes are counted in powers of 1024.
    let scale = if panel.unit == Unit::Bytes { Scale::Log2 } else { Scale::Log10 };
    LineChart {
        title: panel.title.to_string(),
        x: Axis::new("context in tokens").scale(Scale::Log2).unit(Unit::Binary),
        y: Axis::new("").scale(scale).unit(panel.unit),
        series: plans.iter().map(line).collect(),
        legend: Legend::None,
        size,
        ..LineChart::default()
    }
}

/// Names the lines, with the figures at the longest context.
fn key(body: &mut String, plans: &[ContextPlan], (left, top): (f64, f64)) {
    let longest = plans.iter().filter_map(|plan| plan.costs.last()).map(|cost| cost.context).max().unwrap_or(0);
    let heading = format!("At {} tokens", Unit::Binary.value(longest as f64));
    text(body, (left + 16.0, top + 24.0), "title", &heading);
    let mut y = top + 44.0;
    for (style, plan) in plans.iter().enumerate() {
        let Some(cost) = plan.costs.last() else { continue };
        put(body, &swatch(style), (left + 14.0, y - 10.0), SWATCH);
        text(body, (left + 50.0, y), "name", &format!("{}: {}", plan.model, work(cost)));
        text(body, (left + 50.0, y + LINE), "soft", &room(cost));
        y += 2.0 * LINE + 3.0;
    }
}

/// Size of the sample of a line in the key.
const SWATCH: (f64, f64) = (30.0, 12.0);

fn work(cost: &ContextCost) -> String {
    let time = cost.seconds_per_token.map(|seconds| format!(", {}", Unit::Seconds.value(seconds)));
    format!("{} FLOP{}", Unit::Count.value(cost.flops_per_token), time.unwrap_or_default())
}

fn room(cost: &ContextCost) -> String {
    let [memory, state] = [cost.memory_bytes, cost.state_bytes].map(|bytes| Unit::Bytes.value(bytes as f64));
    format!("{memory} to train, {state} of state")
}

/// Places a picture in the page; as a part of one it takes no size from the page's style.
fn put(body: &mut String, picture: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
    let placed = format!("<svg x=\"{x}\" y=\"{y}\" style=\"width:{width}px;height:{height}px;max-width:none\"");
    body.push_str(&picture.replacen("<svg", &placed, 1));
}

fn text(body: &mut String, (x, y): (f64, f64), class: &str, content: &str) {
    // Writing into a String cannot fail.
    let _ = write!(body, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escape(content));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(model: &str, seconds: Option<f64>) -> ContextPlan {
        let cost = |context: usize| ContextCost {
            context,
            parameters: 10,
            targets: context,
            flops_per_token: 2e6,
            training_flops_per_token: 6e6,
            score_entries: 1000,
            memory_bytes: 3 << 20,
            state_bytes: 1 << 10,
            seconds_per_token: seconds,
        };
        ContextPlan {
            model: model.into(),
            layers: "llp".into(),
            flops_per_second: seconds.map(|seconds| 6e6 / seconds),
            costs: vec![cost(1024), cost(1 << 20)],
        }
    }

    #[test]
    fn the_page_names_every_model_and_its_figures_at_the_longest_context() {
        let page = page(&[plan("one <model>", Some(1e-3)), plan("two", Some(2e-3))]);
        for part in ["one &lt;model&gt;: 2M FLOP, 1 ms", "At 1M tokens", "3 MiB to train, 1 KiB of state"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert!(page.contains("time at 3G to 6G FLOP/s") && !page.contains("no time"));
    }

    #[test]
    fn without_a_speed_there_is_no_chart_of_time() {
        assert!(page(&[plan("one", None)]).contains("no speed is known"));
    }
}
