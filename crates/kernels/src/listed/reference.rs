//! The definitions in f64, and the kernels against them.

use super::*;
use crate::testing::{close, random};
use proptest::prelude::*;

fn f64s(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// Every query reads the row of its own position.
const OWN: Listing = Listing::Span { length: 1, start: 0, table: 0 };

/// Queries, keys and values of a part.
type Tables = [Vec<f64>; 3];

/// The output, term by term.
fn plain(listed: &Listed, lists: &[Listing], parts: &[Tables]) -> Vec<f64> {
    let Listed { batch, queries, heads, groups, width, scale } = *listed;
    let mut output = vec![0.0; listed.query_len()];
    for (entry, query, head) in
        (0..batch).flat_map(|b| (0..queries).flat_map(move |q| (0..heads).map(move |h| (b, q, h))))
    {
        let at = ((entry * queries + query) * heads + head) * width;
        let mut terms: Vec<(f64, Vec<f64>)> = Vec::new();
        for (list, [q, k, v]) in lists.iter().zip(parts) {
            let rows = k.len() / (batch * groups * width);
            let value_heads = v.len() / (batch * rows * width);
            let value_head = if value_heads == heads { head } else { head / (heads / groups) };
            list.each(query, |run| {
                for row in run.rows() {
                    let key = ((entry * rows + row) * groups + head / (heads / groups)) * width;
                    let value = ((entry * rows + row) * value_heads + value_head) * width;
                    let score: f64 = (0..width).map(|c| q[at + c] * k[key + c]).sum();
                    terms.push(((score * f64::from(scale)).exp(), v[value..value + width].to_vec()));
                }
            });
        }
        let total: f64 = terms.iter().map(|term| term.0).sum();
        for (weight, value) in terms {
            (0..width).for_each(|c| output[at + c] += weight / total * value[c]);
        }
    }
    output
}

/// Central differences of `value` at every element.
fn differences(x: &[f64], value: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let at = |index: usize, by: f64| {
        let mut moved = x.to_vec();
        moved[index] += by;
        value(&moved)
    };
    (0..x.len()).map(|index| (at(index, 1e-5) - at(index, -1e-5)) / 2e-5).collect()
}

fn check(listed: &Listed, parts: &[(Listing, usize, bool)]) {
    let Listed { batch, groups, width, .. } = *listed;
    let tables: Vec<[Vec<f32>; 3]> = (10..)
        .step_by(3)
        .zip(parts)
        .map(|(seed, (_, rows, by_head))| {
            let keys = batch * rows * groups * width;
            let values = if *by_head { keys * listed.share() } else { keys };
            [random(listed.query_len(), seed), random(keys, seed + 1), random(values, seed + 2)]
        })
        .collect();
    let lists: Vec<Listing> = parts.iter().map(|part| part.0).collect();
    let exact: Vec<Tables> = tables.iter().map(|table| table.each_ref().map(|x| f64s(x))).collect();
    let call: Vec<ListedPart<'_>> =
        lists.iter().zip(&tables).map(|(rows, [q, k, v])| ListedPart { q, k, v, rows: *rows }).collect();
    let (mut output, mut lse) = (vec![f32::NAN; listed.query_len()], vec![f32::NAN; listed.lse_len()]);
    listed.forward(&call, &mut output, &mut lse);
    close("output", &output, &plain(listed, &lists, &exact), 1e-5);

    let grad = random(output.len(), 5);
    let mut gradients: Vec<[Vec<f32>; 3]> =
        tables.iter().map(|table| table.each_ref().map(|x| vec![f32::NAN; x.len()])).collect();
    let mut targets: Vec<ListedGradients<'_>> =
        gradients.iter_mut().map(|[q, k, v]| ListedGradients { q, k, v }).collect();
    listed.backward(&call, (&output, &lse), &grad, &mut targets);
    for (part, gradients) in gradients.iter().enumerate() {
        for (which, gradient) in gradients.iter().enumerate() {
            let expected = differences(&exact[part][which], |x| {
                let mut moved = exact.clone();
                moved[part][which] = x.to_vec();
                plain(listed, &lists, &moved).iter().zip(&grad).map(|(y, g)| y * f64::from(*g)).sum()
            });
            close(&format!("gradient {which} of part {part}"), gradient, &expected, 1e-5);
        }
    }
}

#[test]
fn spans_and_their_summaries_share_a_softmax() {
    for (heads, groups, width) in [(2, 2, 3), (4, 2, 9)] {
        let listed = Listed { batch: 2, queries: 8, heads, groups, width, scale: 0.7 };
        let span = Listing::Span { length: 3, start: 0, table: 0 };
        check(&listed, &[(span, 8, false), (Listing::Spans { length: 3, start: 0 }, 2, true)]);
    }
    let listed = Listed { batch: 1, queries: 4, heads: 2, groups: 1, width: 70, scale: 0.3 };
    let span = Listing::Span { length: 4, start: 5, table: 4 };
    check(&listed, &[(span, 5, false), (Listing::Spans { length: 4, start: 5 }, 2, true)]);
}

#[test]
fn nodes_and_members_too() {
    let listed = Listed { batch: 2, queries: 9, heads: 2, groups: 1, width: 4, scale: 0.7 };
    check(&listed, &[(OWN, 9, false), (Listing::Nodes { start: 0, first: 1, slots: 0 }, 8, true)]);
    check(&listed, &[(OWN, 9, false), (Listing::Nodes { start: 5, first: 5, slots: 4 }, 13, true)]);
    let members = Listed { queries: 7, ..listed };
    check(&members, &[(Listing::NodeMembers { first: 1 }, 9, false)]);
    check(&members, &[(Listing::NodeMembers { first: 6 }, 12, false)]);
}

#[test]
fn crosses_axes_and_their_members_too() {
    let listed = Listed { batch: 2, queries: 8, heads: 4, groups: 2, width: 3, scale: 0.7 };
    for (axes, columns, sets) in
        [(Axes::Vertical, 6, 6), (Axes::Horizontal(Sides::Joined), 0, 6), (Axes::Both(Sides::Apart), 6, 18)]
    {
        let cross = Listing::Cross { length: 3, start: 0 };
        let table = AxesTable { columns_of: 1, sides: columns };
        check(&listed, &[(cross, 8, false), (Listing::Axes { length: 3, start: 0, axes, table }, sets, true)]);
    }
    for (sides, sets) in [(Sides::Joined, 5), (Sides::Apart, 10)] {
        let members = Listed { queries: sets, ..listed };
        check(&members, &[(Listing::SideMembers { length: 3, first: 1, sides }, 8, false)]);
    }
}

#[test]
fn columns_and_whole_rows_too() {
    let listed = Listed { batch: 2, queries: 8, heads: 4, groups: 2, width: 3, scale: 0.7 };
    let span = Listing::Span { length: 3, start: 0, table: 0 };
    check(&listed, &[(span, 8, false), (Listing::Column { length: 3, start: 0 }, 6, true)]);
    check(&Listed { queries: 6, ..listed }, &[(Listing::WholeSpan { length: 3 }, 8, false)]);
}

#[test]
fn a_query_that_reads_nothing_gives_zero() {
    let listed = Listed { batch: 1, queries: 2, heads: 1, groups: 1, width: 1, scale: 1.0 };
    let part = ListedPart { q: &[1.0; 2], k: &[2.0], v: &[3.0], rows: Listing::Nodes { start: 0, first: 1, slots: 0 } };
    let (mut y, mut lse) = ([f32::NAN; 2], [f32::NAN; 2]);
    listed.forward(&[part], &mut y, &mut lse);
    assert_eq!((y, lse), ([0.0, 3.0], [0.0, 2.0]));
}

#[test]
fn the_largest_of_nothing_is_zero() {
    // The first row of a grid has nothing above it.
    let members = Listing::Column { length: 2, start: 0 };
    let mut largest = [f32::NAN; 4];
    ListedMaximum { batch: 1, sets: 4, channels: 1, members }.forward(&[-3.0, -4.0], &mut largest);
    assert_eq!(largest, [0.0, 0.0, -3.0, -4.0]);
}

#[test]
fn costs_are_those_of_the_terms() {
    let listed = Listed { batch: 2, queries: 5, heads: 4, groups: 2, width: 3, scale: 1.0 };
    // Spans of two: 1 + 2 + 1 + 2 + 1 terms, in each sequence and query head.
    let [forward, backward] = [Listed::forward_cost, Listed::backward_cost]
        .map(|cost| cost(&listed, &[Listing::Span { length: 2, start: 0, table: 0 }]));
    assert_eq!([forward.macs, backward.macs], [2, 5].map(|products| products * 2 * 4 * 7 * 3));
    // A product reads its queries and a row for each term, and writes the terms.
    assert_eq!([forward.elements, backward.elements], [2, 5].map(|products| products * 2 * 4 * (5 * 3 + 7 * 4)));
}

#[test]
fn a_row_alone_is_that_of_a_window() {
    let listed = Listed { batch: 1, queries: 9, heads: 4, groups: 2, width: 5, scale: 0.7 };
    let [q, k, v] = [(180, 1), (90, 2), (90, 3)].map(|(count, seed)| random(count, seed));
    let rows = Listing::Span { length: 4, start: 0, table: 0 };
    let (mut y, mut lse) = (vec![f32::NAN; 180], vec![f32::NAN; 36]);
    listed.forward(&[ListedPart { q: &q, k: &k, v: &v, rows }], &mut y, &mut lse);
    let (mut scores, mut row) = (vec![f32::NAN; 4], vec![f32::NAN; 20]);
    for (position, y) in y.chunks_exact(20).enumerate() {
        let rows = Listing::Span { length: 4, start: position, table: 0 };
        let part = ListedPart { q: &q[20 * position..][..20], k: &k, v: &v, rows };
        Listed { queries: 1, ..listed }.row(&[part], &mut scores, &mut row);
        assert_eq!(row, y, "at {position}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn maxima_and_their_first_rows(
        (batch, rows, channels) in (1usize..3, 2usize..40, 1usize..150), length in 1usize..9, tree in any::<bool>(),
    ) {
        let (sets, members) = match tree {
            true => (rows - 1, Listing::NodeMembers { first: 1 }),
            false => (rows / length, Listing::SpanMembers { length }),
        };
        // Few different values, so that several rows reach the same maximum.
        let x: Vec<f32> = random(batch * rows * channels, 3).iter().map(|x| (x * 3.0).round()).collect();
        let maximum = ListedMaximum { batch, sets, channels, members };
        let mut largest = vec![f32::NAN; batch * sets * channels];
        maximum.forward(&x, &mut largest);
        let (grad, mut dx) = (random(largest.len(), 4), vec![f32::NAN; x.len()]);
        maximum.backward(&x, &largest, &grad, &mut dx);
        let (mut expected, mut gradient) = (Vec::new(), vec![0.0; x.len()]);
        for (entry, set, c) in (0..batch).flat_map(|b| (0..sets).flat_map(move |s| (0..channels).map(move |c| (b, s, c)))) {
            let mut best = None;
            members.each(set, |run| for row in run.rows() {
                let at = (entry * rows + row) * channels + c;
                if best.is_none_or(|best: usize| x[at] > x[best]) {
                    best = Some(at);
                }
            });
            let best = best.unwrap();
            gradient[best] += f64::from(grad[expected.len()]);
            expected.push(f64::from(x[best]));
        }
        close("maxima", &largest, &expected, 1e-7);
        close("gradient", &dx, &gradient, 1e-6);
    }
}
