//! Products against their definition in f64.

use super::*;
use crate::testing::{close, random};
use proptest::prelude::*;

fn check((m, n, k): (usize, usize, usize), turned: [bool; 2], accumulate: bool, threads: Threads) {
    let view = |data, rows, columns, turned| match turned {
        true => View::rows(data, rows + 3).transposed(),
        false => View::rows(data, columns + 5),
    };
    let (a, b) = (random((m + 3) * (k + 5) + 8 * (m + k), 1), random((k + 3) * (n + 5) + 8 * (k + n), 2));
    let (a, b) = (view(&a, m, k, turned[0]), view(&b, k, n, turned[1]));
    let stride = n + 2;
    let mut out = random(m * stride, 3);
    let expected: Vec<f64> = (0..m * stride)
        .map(|at| {
            let (i, j) = (at / stride, at % stride);
            let number = |view: View<'_>, row, column| f64::from(view.data[row * view.row + column * view.column]);
            let sum: f64 = (0..k).map(|c| if j < n { number(a, i, c) * number(b, c, j) } else { 0.0 }).sum();
            sum + if accumulate || j >= n { f64::from(out[at]) } else { 0.0 }
        })
        .collect();
    if takes(m, a, b) {
        let output = if accumulate { Output::Accumulate } else { Output::Overwrite };
        // SAFETY: the sizes above.
        unsafe { multiply((m, n, k), (Shared::new(&mut out), stride, output), a, b, threads) };
        close("product", &out, &expected, 1e-5 * (1.0 + k as f64).sqrt());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn products_of_odd_shapes(
        (m, n, k) in (8usize..50, 1usize..80, 0usize..40),
        (a, b, accumulate) in any::<(bool, bool, bool)>(),
    ) {
        check((m, n, k), [a, b], accumulate, Threads::One);
    }
}

#[test]
fn products_of_several_blocks() {
    for turned in [[false, false], [true, false], [false, true], [true, true]] {
        check((41, 2 * GROUP * COLUMNS + 7, 2 * DEPTH + 9), turned, true, Threads::All);
        check((30, PACKED / DEPTH + 50, DEPTH - 1), turned, false, Threads::All);
        check((9, 40, 2 * DEPTH + 9), turned, false, Threads::All);
        check((9, 40, 0), turned, false, Threads::All);
    }
}
