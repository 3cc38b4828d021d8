//! Running sums, groups of channels, and listed rows.

use super::*;

#[test]
fn token_statistics() {
    for (rows, decay, routing) in [(150, 1.0, Routing::Share), (70, 0.95, Routing::LengthScaled)] {
        let rule = Tssa { batch: 2, rows, heads: 3, width: 17, decay, routing, start: 3 };
        let call = |f: fn(Tensor<3>, Tensor<1>, Tensor<2>, &Tssa) -> Tensor<3>| {
            move |t: Vec<Tensor<1>>| {
                f(strided(&t[0], [2, rows, 51]), t[1].clone() + 1.0, strided(&t[2], [rows, 3]), &rule)
            }
        };
        agree(&[&[2, rows, 51], &[3], &[rows, 3]], call(tssa), call(composed::tssa));
    }
}

type Extend = fn(Tensor<3>, Tensor<1>, Tensor<2>, [Tensor<3>; 3], &Tssa) -> (Tensor<3>, [Tensor<3>; 3]);

#[test]
fn token_statistics_go_on_from_sums() {
    let rule = Tssa { batch: 1, rows: 70, heads: 2, width: 5, decay: 0.98, routing: Routing::Share, start: 3 };
    let device = Device::flex();
    let shapes: [&[usize]; 6] = [&[1, 70, 10], &[2], &[70, 2], &[1, 2, 10], &[2, 10], &[1, 2, 2]];
    let run = |dtype: DType, extend: Extend| {
        let t: Vec<Tensor<1>> = shapes.iter().map(|shape| random(shape, &device).cast(dtype)).collect();
        let [energy, numerator, mass] = [&t[3], &t[4], &t[5]].map(|x| x.clone().abs() + 1.0);
        let sums = [energy.reshape([1, 2, 10]), numerator.reshape([1, 2, 10]), mass.reshape([1, 2, 2])];
        let (u, offsets) = (t[0].clone().reshape([1, 70, 10]), t[2].clone().reshape([70, 2]));
        let (y, sums) = extend(u, t[1].clone(), offsets, sums, &rule);
        let mut results = vec![numbers(y)];
        // What is left in the second element of a pair depends on the number format.
        results.extend(sums.map(|pair| numbers(pair.sum_dim(1))));
        results
    };
    for (fast, plain) in run(DType::F32, tssa_extend).iter().zip(run(DType::F64, composed::tssa_extend)) {
        for (fast, plain) in fast.iter().zip(plain) {
            assert!((fast - plain).abs() < 2e-5 * plain.abs().max(1.0), "{fast} instead of {plain}");
        }
    }
}

#[test]
fn groups_of_channels() {
    for (width, rows) in [(1, 30), (5, 30), (7, 3)] {
        let call = |f: fn(Tensor<3>, Tensor<2>, usize) -> Tensor<3>| {
            move |t: Vec<Tensor<1>>| f(strided(&t[0], [2, rows, 12]), strided(&t[1], [4 * width, 15]), 3)
        };
        agree(&[&[2, rows, 12], &[4 * width, 15]], call(grouped), call(composed::grouped));
    }
    let gated = |f: fn(Tensor<3>, Tensor<3>) -> Tensor<3>| {
        move |t: Vec<Tensor<1>>| f(strided(&t[0], [2, 30, 17]), strided(&t[1], [2, 30, 17]))
    };
    agree(&[&[2, 30, 17], &[2, 30, 17, 1]], gated(glu), gated(composed::glu));
}

type Call = fn(ListedPart, Option<ListedPart>, f32) -> Tensor<4>;

#[test]
fn listed_rows_of_one_table_and_of_two() {
    let one = |f: Call| {
        move |t: Vec<Tensor<1>>| {
            let (k, v) = (strided(&t[1], [2, 21, 2, 5]), t[2].clone().reshape([2, 21, 2, 5]));
            f(ListedPart { q: strided(&t[0], [2, 20, 4, 5]), k, v, rows: Listing::NodeMembers { first: 1 } }, None, 0.6)
        }
    };
    agree(&[&[2, 20, 4, 5], &[2, 21, 2, 5], &[21, 2, 2, 5]], one(listed), one(composed::listed));
    let two = |f: Call| {
        move |t: Vec<Tensor<1>>| {
            let q = strided(&t[0], [2, 20, 4, 5]);
            let (k, v) = (t[1].clone().reshape([2, 20, 2, 5]), strided(&t[2], [2, 20, 2, 5]));
            let direct = ListedPart { q: q.clone(), k, v, rows: Listing::Span { length: 1, start: 0, table: 0 } };
            let (k, v) = (strided(&t[3], [2, 19, 2, 5]), strided(&t[4], [2, 19, 4, 5]));
            let sets = ListedPart { q: q * 0.5, k, v, rows: Listing::Nodes { start: 0, first: 1, slots: 0 } };
            f(direct, Some(sets), 0.6)
        }
    };
    let shapes: [&[usize]; 5] = [&[2, 20, 4, 5], &[2, 20, 2, 5], &[20, 2, 2, 5], &[2, 19, 2, 5], &[2, 19, 4, 5]];
    agree(&shapes, two(listed), two(composed::listed));
}

#[test]
fn maxima_over_listed_rows() {
    let sides = Listing::SideMembers { length: 4, first: 0, sides: Sides::Apart };
    for (members, sets) in [
        (Listing::SpanMembers { length: 4 }, 5),
        (Listing::NodeMembers { first: 1 }, 20),
        (Listing::Column { length: 4, start: 4 }, 16),
        (sides, 40),
    ] {
        let call = |f: fn(Tensor<4>, Listing, usize) -> Tensor<4>| {
            move |t: Vec<Tensor<1>>| f(strided(&t[0], [2, 21, 3, 7]), members, sets)
        };
        agree(&[&[2, 21, 3, 7]], call(listed_maximum), call(composed::listed_maximum));
    }
}
