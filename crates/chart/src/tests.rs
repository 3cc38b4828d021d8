use std::collections::HashMap;

use super::palette::{colour, dash, marker};
use super::*;

fn lines(series: Vec<Series>) -> LineChart {
    LineChart {
        title: "Loss".into(),
        x: Axis::new("tokens").unit(Unit::Count),
        y: Axis::new("bits"),
        series,
        ..Default::default()
    }
}

/// Every opened element is closed in order (comments have no end tag), and nothing but known characters of markup is left in the text.
fn assert_well_formed(svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("an open tag in {part}"));
        if tag.starts_with(['?', '!']) || tag.ends_with('/') {
            continue;
        }
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{svg}"),
            None => open.push(tag.split([' ', '\n']).next().unwrap_or_default()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

#[test]
fn a_line_chart_names_its_lines_and_shows_values() {
    let chart = lines(vec![
        Series::new("llp", vec![(0.0, 8.0), (1e6, 2.3591)]),
        Series::new("full", vec![(0.0, 8.0), (1e6, 2.5)]),
    ]);
    let svg = chart.to_svg();
    assert_well_formed(&svg);
    for part in [
        ">llp</text>",
        ">full</text>",
        ">500k</text>",
        "<title>llp\ntokens: 1M\nbits: 2.359</title>",
        "@media",
        "role=\"img\"",
    ] {
        assert!(svg.contains(part), "{part} is missing in {svg}");
    }
    assert!(!chart.to_inline().contains("<style>") && !svg.contains("http://www.w3.org/1999"));
    assert_eq!(svg.matches("class=\"line").count(), 2);
}

#[test]
fn nothing_is_drawn_of_what_has_no_place() {
    let broken = vec![(f64::NAN, 1.0), (1.0, f64::INFINITY), (0.0, 1.0), (2.0, 2.0)];
    let mut chart =
        lines(vec![Series { band: vec![(1.0, f64::NAN, 2.0), (2.0, 1.0, 3.0)], ..Series::new("a", broken) }]);
    chart.x = chart.x.scale(Scale::Log10);
    let svg = chart.to_svg();
    assert_well_formed(&svg);
    assert_eq!((svg.matches("class=\"hit\"").count(), svg.matches("class=\"band").count()), (1, 0), "{svg}");
}

#[test]
fn charts_without_data_say_so() {
    let scatter = Scatter { points: vec![Point { at: (f64::NAN, 1.0), ..Default::default() }], ..Default::default() };
    let bars = BarChart { bars: vec![Bar { value: f64::NAN, ..Default::default() }], ..Default::default() };
    let none = [
        lines(Vec::new()).to_svg(),
        lines(vec![Series::new("a", vec![])]).to_svg(),
        scatter.to_svg(),
        bars.to_svg(),
        HeatMap::default().to_svg(),
    ];
    for svg in none {
        assert_well_formed(&svg);
        assert!(svg.contains("no data"), "{svg}");
    }
}

#[test]
fn names_are_text_wherever_they_stand() {
    let evil = "<script>alert('x')</script>\u{1b}";
    let chart = LineChart {
        title: evil.into(),
        note: evil.into(),
        x: Axis::new(evil),
        y: Axis::new(evil),
        levels: vec![Level { name: evil.into(), value: 1.0 }],
        ..lines(vec![Series::new(evil, vec![(0.0, 1.0), (1.0, 2.0)])])
    };
    let scatter = Scatter {
        title: evil.into(),
        points: vec![Point { name: evil.into(), at: (1.0, 1.0), ..Default::default() }],
        ..Default::default()
    };
    let bars = BarChart {
        title: evil.into(),
        bars: vec![Bar { name: evil.into(), value: 1.0, ..Default::default() }],
        ..Default::default()
    };
    let heat = HeatMap {
        title: evil.into(),
        row_label: evil.into(),
        rows: vec![evil.into()],
        columns: vec![evil.into()],
        values: vec![vec![Some(0.5)]],
        ..Default::default()
    };
    for svg in [
        chart.to_svg(),
        Chart::to_svg(&LineChart { legend: Legend::Above, ..chart }),
        scatter.to_svg(),
        bars.to_svg(),
        heat.to_svg(),
    ] {
        assert_well_formed(&svg);
        assert!(!svg.contains("<script") && !svg.contains('\u{1b}') && svg.contains("&lt;script"), "{svg}");
    }
}

#[test]
fn many_series_are_named_above() {
    let many =
        (0..30).map(|index| Series::new(format!("model {index}"), vec![(0.0, f64::from(index)), (1.0, 1.0)])).collect();
    let svg = lines(many).to_svg();
    assert_well_formed(&svg);
    assert!((0..30).all(|index| svg.contains(&format!(">model {index}</text>"))));
}

#[test]
fn the_front_is_what_nothing_beats() {
    let points = [(3.0, 1.0), (1.0, 3.0), (2.0, 3.0), (2.0, 2.0), (4.0, 4.0), (f64::NAN, 0.0), (2.0, 2.0), (1.5, 3.0)];
    assert_eq!(pareto_front(&points), [1, 3, 6, 0]);
    assert!(pareto_front(&[]).is_empty());
}

#[test]
fn scatter_labels_do_not_cover_points_of_a_crowd() {
    let points = (0..6)
        .map(|i| Point {
            name: format!("model-{i}"),
            at: (100.0 + f64::from(i), 2.0 + f64::from(i) * 0.1),
            interval: Some((1.9, 2.6)),
            ..Default::default()
        })
        .collect();
    let svg = Scatter { points, ..Default::default() }.to_svg();
    assert_well_formed(&svg);
    assert_eq!(
        (svg.matches("class=\"front\"").count(), svg.matches(" halo ").count(), svg.matches("class=\"whisker").count()),
        (1, 6, 18)
    );
}

#[test]
fn heat_maps_mark_what_was_not_measured() {
    let map = HeatMap {
        rows: vec!["8".into(), "16".into()],
        columns: vec!["64".into()],
        values: vec![vec![Some(0.97)], vec![None]],
        row_label: "pairs".into(),
        column_label: "distance".into(),
        ..Default::default()
    };
    let svg = map.to_svg();
    assert_well_formed(&svg);
    assert_eq!(svg.matches("class=\"heat none\"").count(), 1);
    assert!(
        svg.contains("<title>pairs 8, distance 64: 97 %</title>")
            && svg.contains("distance 64: –")
            && svg.contains("class=\"cell9\""),
        "{svg}"
    );
}

#[test]
fn bars_carry_values_and_errors() {
    let bars = vec![
        Bar { name: "a".into(), value: 2.5, interval: Some((2.0, 3.0)), ..Default::default() },
        Bar { name: "b".into(), value: f64::NAN, ..Default::default() },
    ];
    let svg = BarChart { axis: Axis::new("time").unit(Unit::Seconds), bars, ..Default::default() }.to_svg();
    assert_well_formed(&svg);
    assert!(svg.contains(">2.5 s</text>") && svg.contains(">0 s</text>") && svg.contains(">–</text>"), "{svg}");
    assert_eq!(svg.matches("class=\"error\"").count(), 3);
}

#[test]
fn traces_go_from_value_to_value_the_lowest_last_and_in_a_colour_of_its_own() {
    let coordinate = |label: &str, count: usize| Coordinate {
        label: label.into(),
        values: (0..count).map(|value| format!("{label}{value}")).collect(),
    };
    let trace = |name: &str, choices: &[usize], value| Trace { name: name.into(), choices: choices.to_vec(), value };
    let chart = ParallelCoordinates {
        coordinates: vec![coordinate("a", 2), coordinate("b", 60)],
        value: Axis::new("loss"),
        traces: vec![
            trace("best", &[1, 0], 1.0),
            trace("worst", &[0, 59], 3.0),
            trace("nowhere", &[2, 0], 2.0),
            trace("short", &[1], 2.0),
            trace("lost", &[0, 0], f64::NAN),
        ],
        ..Default::default()
    };
    let svg = chart.to_svg();
    assert_well_formed(&svg);
    let traces: Vec<&str> = svg.split("class=\"trace ").skip(1).collect();
    assert_eq!(traces.len(), 2, "what has no place is left out");
    assert!(
        traces[0].starts_with("s0\" stroke-opacity=\"0.12") && traces[0].contains("worst\na: a0\nb: b59\nloss: 3<")
    );
    assert!(traces[1].starts_with("s1\" stroke-opacity=\"1.00") && traces[1].contains("best\na: a1\nb: b0\nloss: 1<"));
    // A higher value stands higher: a1 above a0.
    let first =
        |trace: &str| trace.split_once("d=\"M").unwrap().1.split(['L', ' ']).nth(1).unwrap().parse::<f64>().unwrap();
    assert!(first(traces[1]) < first(traces[0]) - 100.0, "{svg}");
    // Sixty values have no room for sixty names.
    assert!(svg.matches(">b").count() < 30 && svg.contains(">b0</text>") && svg.contains(">a1</text>"), "{svg}");
    let nothing = ParallelCoordinates { traces: Vec::new(), ..chart };
    assert!(nothing.to_svg().contains("no data"));
}

#[test]
fn forty_styles_differ_without_colour_or_with_it() {
    let mut seen = HashMap::new();
    for style in 0..40 {
        let look = (colour(style), dash(style), marker(style, 0.0, 0.0, 4.0));
        assert_eq!(seen.insert(look, style), None);
    }
    // The first eight differ in their markers alone.
    let markers: std::collections::HashSet<String> = (0..STYLES).map(|style| marker(style, 0.0, 0.0, 4.0)).collect();
    assert_eq!(markers.len(), STYLES);
}

/// The colours `--c0` to `--c7` and the paper of both themes, light first, as linear RGB.
fn themes() -> Vec<(Vec<[f64; 3]>, [f64; 3])> {
    let value = |block: &str, key: &str| {
        let hex = block
            .split_once(&format!("--{key}: #"))
            .map(|(_, rest)| &rest[..6])
            .unwrap_or_else(|| panic!("no --{key}"));
        [0, 2, 4].map(|at| {
            let byte = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if byte <= 0.04045 { byte / 12.92 } else { ((byte + 0.055) / 1.055).powf(2.4) }
        })
    };
    let blocks: Vec<&str> = STYLE.split("--paper: ").skip(1).collect();
    let whole = |index: usize| format!("--paper: {}", blocks[index]);
    (0..2)
        .map(|theme| {
            let block = whole(theme);
            ((0..STYLES).map(|index| value(&block, &format!("c{index}"))).collect(), value(&block, "paper"))
        })
        .collect()
}

/// CIE L*a*b* of linear RGB.
fn lab([r, g, b]: [f64; 3]) -> [f64; 3] {
    let f = |t: f64| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
    let x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505);
    let y = f(0.2126 * r + 0.7152 * g + 0.0722 * b);
    let z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089);
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// What full colour vision, protanopes, deuteranopes and tritanopes see (Machado, Oliveira and Fernandes 2009, severity 1).
const VISIONS: [[[f64; 3]; 3]; 4] = [
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
];

#[test]
fn colours_differ_for_every_kind_of_colour_vision_in_both_themes() {
    for (colours, paper) in themes() {
        for vision in VISIONS {
            let seen: Vec<[f64; 3]> = colours
                .iter()
                .map(|c| lab(vision.map(|row| (row[0] * c[0] + row[1] * c[1] + row[2] * c[2]).clamp(0.0, 1.0))))
                .collect();
            for (i, a) in seen.iter().enumerate() {
                for (j, b) in seen[..i].iter().enumerate() {
                    let distance = a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
                    assert!(distance > 15.0, "colours {j} and {i} are {distance:.1} apart");
                }
            }
        }
        let luminance = |c: &[f64; 3]| 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
        for (index, colour) in colours.iter().enumerate() {
            let (a, b) = (luminance(colour), luminance(&paper));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= 3.0, "colour {index} has a contrast of {contrast:.2}");
        }
    }
}
