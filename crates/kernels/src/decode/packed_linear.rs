//! Linear maps over packed weights.
//!
//! The output channels are cut into panels of [`PANEL`]; a panel lies in one piece, input channel by input channel, so
//! that a pass over it reads memory in order and needs no sum across lanes. Missing channels are zero.

use rayon::prelude::*;

use super::ahead;
use super::codec::{PANEL, ROWS, WeightPrecision, multiply};
use super::{Crew, Pages};
use crate::activation::{gelu_part, swiglu_part};
use crate::linear::WeightOrder;
use crate::matmul::Shared;
use crate::simd;

/// Weights to be packed: `inputs x outputs` elements in some order.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The elements.
    pub weight: &'a [f32],
    /// Their order.
    pub order: WeightOrder,
}

/// `y = x W (+ b)`, where W lies in some [`Pages`].
///
/// ```
/// use percept_kernels::WeightOrder;
/// use percept_kernels::decode::{Epilogue, PackedLinear, Pages, Source, Team, WeightPrecision};
/// let precision = WeightPrecision::Bf16;
/// let mut pages = Pages::zeroed(PackedLinear::words(2, 3, precision)).unwrap();
/// let weight = [1.0, 2.0, 3.0, 10.0, 20.0, 30.0];
/// let source = Source { weight: &weight, order: WeightOrder::InputOutput };
/// let (linear, _free) = PackedLinear::pack(&[source], None, 2, precision, (&mut pages, 0));
/// // Two streams in one pass over the weight; the sums are added to what stands there.
/// let mut y = [1.0; 6];
/// let mut crew = Team::global().crew();
/// linear.apply(&mut crew, &pages, &[1.0, 0.5, 2.0, 0.0], &mut y, Epilogue::Add);
/// assert_eq!(y, [7.0, 13.0, 19.0, 3.0, 5.0, 7.0]);
/// ```
#[derive(Debug, Clone)]
pub struct PackedLinear {
    precision: WeightPrecision,
    inputs: usize,
    outputs: usize,
    /// First word.
    start: usize,
    /// One per output channel; empty where there is no need.
    scales: Vec<f32>,
    bias: Option<Vec<f32>>,
}

/// What becomes of the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epilogue {
    /// They replace y.
    Replace,
    /// They are added to y.
    Add,
    /// Their GELU replaces y.
    Gelu,
}

impl PackedLinear {
    /// Words that a map of this shape takes.
    pub fn words(inputs: usize, outputs: usize, precision: WeightPrecision) -> usize {
        inputs.div_ceil(precision.per_word()) * outputs.next_multiple_of(PANEL)
    }

    /// Packs several maps of the same `inputs` as one whose outputs are theirs in turn, from word `start` on; returns it
    /// with the first free word.
    ///
    /// # Panics
    /// If the sizes of weights and bias do not fit, or the pages are too small.
    pub fn pack(
        sources: &[Source<'_>],
        bias: Option<Vec<f32>>,
        inputs: usize,
        precision: WeightPrecision,
        (pages, start): (&mut Pages, usize),
    ) -> (Self, usize) {
        let columns: Vec<Column<'_>> = sources.iter().flat_map(|source| columns(source, inputs)).collect();
        let outputs = columns.len();
        assert!(bias.as_ref().is_none_or(|bias| bias.len() == outputs), "size of the bias");
        let end = start + Self::words(inputs, outputs, precision);
        let scales: Vec<f32> = match precision {
            WeightPrecision::F32 | WeightPrecision::Bf16 => Vec::new(),
            WeightPrecision::Int8 => columns.par_iter().map(|column| precision.scale(column.largest())).collect(),
        };
        let panel = Self::words(inputs, PANEL, precision);
        if panel > 0 {
            let words = pages.words_mut()[start..end].par_chunks_exact_mut(panel);
            words.zip(columns.par_chunks(PANEL)).enumerate().for_each(|(index, (words, columns))| {
                let scale = |column: usize| scales.get(index * PANEL + column).copied().unwrap_or(1.0);
                fill(words, columns, inputs, precision, scale);
            });
        }
        (Self { precision, inputs, outputs, start, scales, bias }, end)
    }

    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes that one pass reads.
    pub fn bytes(&self) -> usize {
        Self::words(self.inputs, self.outputs, self.precision) * size_of::<u32>()
    }

    /// `y [rows, outputs] = x [rows, inputs] W + b`, with the epilogue.
    ///
    /// # Panics
    /// If x or y is not a whole number of rows, or they differ in it.
    pub fn apply(&self, crew: &mut Crew<'_>, pages: &Pages, x: &[f32], y: &mut [f32], epilogue: Epilogue) {
        let rows = self.rows(x, y);
        let y = Shared::new(y);
        crew.each(self.outputs.div_ceil(PANEL), |panel| {
            let columns = self.columns(panel);
            for (first, count) in groups(rows) {
                let sums = self.sums(pages, x, (first, count), panel);
                for (row, sums) in sums[..count].iter().enumerate() {
                    let sums = &sums[..columns.len()];
                    // SAFETY: this tile owns its columns of every row of y, which has `rows * outputs` elements.
                    let y = unsafe { row_part(y, (first + row) * self.outputs + columns.start, columns.len()) };
                    match epilogue {
                        Epilogue::Replace => y.copy_from_slice(sums),
                        Epilogue::Add => simd::add(y, sums),
                        Epilogue::Gelu => gelu_part(sums, y),
                    }
                }
            }
        });
    }

    /// `y [rows, outputs] = silu(gate(x)) * up(x)`.
    ///
    /// # Panics
    /// As [`PackedLinear::apply`], and if the two maps differ in shape.
    pub fn swiglu(gate: &Self, up: &Self, crew: &mut Crew<'_>, pages: &Pages, x: &[f32], y: &mut [f32]) {
        assert_eq!((gate.inputs, gate.outputs), (up.inputs, up.outputs), "gate and up must have the same shape");
        let rows = gate.rows(x, y);
        let y = Shared::new(y);
        crew.each(gate.outputs.div_ceil(PANEL), |panel| {
            let columns = gate.columns(panel);
            for (first, count) in groups(rows) {
                let gates = gate.sums(pages, x, (first, count), panel);
                let ups = up.sums(pages, x, (first, count), panel);
                for (row, (gates, ups)) in gates.iter().zip(&ups).take(count).enumerate() {
                    // SAFETY: this tile owns its columns of every row of y, which has `rows * outputs` elements.
                    let y = unsafe { row_part(y, (first + row) * gate.outputs + columns.start, columns.len()) };
                    swiglu_part(&gates[..columns.len()], &ups[..columns.len()], y);
                }
            }
        });
    }

    fn rows(&self, x: &[f32], y: &[f32]) -> usize {
        let rows = y.len().checked_div(self.outputs).unwrap_or(0);
        assert_eq!((x.len(), y.len()), (rows * self.inputs, rows * self.outputs), "sizes of x and y");
        rows
    }

    fn columns(&self, panel: usize) -> std::ops::Range<usize> {
        panel * PANEL..((panel + 1) * PANEL).min(self.outputs)
    }

    /// Rows `first .. first + count` of x times one panel, with scales and bias.
    fn sums(&self, pages: &Pages, x: &[f32], (first, count): (usize, usize), panel: usize) -> [[f32; PANEL]; ROWS] {
        let mut sums = [[0f32; PANEL]; ROWS];
        let (x, per_word) = (&x[first * self.inputs..], self.precision.per_word());
        let length = Self::words(self.inputs, PANEL, self.precision);
        let words = &pages.words()[self.start + panel * length..][..length];
        let whole = self.inputs / per_word * per_word;
        let (words, last) = words.split_at(whole / per_word * PANEL);
        ahead::each(words, |place, words| {
            let (first, inputs) = (place / PANEL * per_word, words.len() / PANEL * per_word);
            multiply(self.precision, (&x[first..], self.inputs, inputs), count, words, &mut sums);
        });
        if whole < self.inputs {
            let mut rest = [0f32; ROWS * ROWS];
            for (row, rest) in rest.chunks_exact_mut(per_word).take(count).enumerate() {
                let x = &x[row * self.inputs..][whole..self.inputs];
                rest[..x.len()].copy_from_slice(x);
            }
            multiply(self.precision, (&rest, per_word, per_word), count, last, &mut sums);
        }
        let columns = self.columns(panel);
        for sums in &mut sums[..count] {
            if let Some(scales) = self.scales.get(columns.clone()) {
                sums.iter_mut().zip(scales).for_each(|(sum, scale)| *sum *= scale);
            }
            if let Some(bias) = &self.bias {
                simd::add(sums, &bias[columns.clone()]);
            }
        }
        sums
    }
}

impl WeightPrecision {
    /// Rounds `inputs x outputs` weights to what packing keeps of them.
    ///
    /// # Panics
    /// If the number of weights is no multiple of `inputs`.
    pub fn round(self, weight: &mut [f32], inputs: usize, order: WeightOrder) {
        if self == Self::F32 {
            return;
        }
        let scales: Vec<f32> =
            columns(&Source { weight, order }, inputs).map(|column| self.scale(column.largest())).collect();
        let outputs = scales.len();
        weight.par_iter_mut().enumerate().for_each(|(index, weight)| {
            let scale = match order {
                WeightOrder::InputOutput => scales[index % outputs],
                WeightOrder::OutputInput => scales[index / inputs],
            };
            *weight = self.decode(self.encode(*weight, scale), scale);
        });
    }
}

/// The weights of one output channel.
#[derive(Clone, Copy)]
struct Column<'a> {
    first: &'a [f32],
    stride: usize,
    inputs: usize,
}

impl Column<'_> {
    fn at(&self, input: usize) -> f32 {
        self.first[input * self.stride]
    }

    fn largest(&self) -> f32 {
        (0..self.inputs).fold(0.0, |most, input| most.max(self.at(input).abs()))
    }
}

fn columns<'a>(source: &Source<'a>, inputs: usize) -> impl Iterator<Item = Column<'a>> {
    let Source { weight, order } = *source;
    let outputs = weight.len().checked_div(inputs).unwrap_or(0);
    assert_eq!(weight.len(), inputs * outputs, "size of a weight");
    (0..outputs).map(move |output| match order {
        WeightOrder::InputOutput => Column { first: &weight[output..], stride: outputs, inputs },
        WeightOrder::OutputInput => Column { first: &weight[output * inputs..], stride: 1, inputs },
    })
}

/// Fills one panel.
fn fill(
    words: &mut [u32],
    columns: &[Column<'_>],
    inputs: usize,
    precision: WeightPrecision,
    scale: impl Fn(usize) -> f32,
) {
    let (per_word, bits) = (precision.per_word(), 32 / precision.per_word());
    for (group, words) in words.chunks_exact_mut(PANEL).enumerate() {
        for (index, (word, column)) in words.iter_mut().zip(columns).enumerate() {
            let weights = (group * per_word..((group + 1) * per_word).min(inputs)).enumerate();
            *word = weights.fold(0, |word, (place, input)| {
                word | (precision.encode(column.at(input), scale(index)) << (place * bits))
            });
        }
    }
}

/// `rows` as groups of 4, 2 and 1: `(first, count)`.
fn groups(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let count = match rows - first {
            0 => return None,
            1 => 1,
            2 | 3 => 2,
            _ => ROWS,
        };
        first += count;
        Some((first - count, count))
    })
}

/// # Safety
/// The part lies inside the slice of `y`, and nobody else accesses it meanwhile.
unsafe fn row_part<'a>(y: Shared, at: usize, length: usize) -> &'a mut [f32] {
    // SAFETY: see above.
    unsafe { std::slice::from_raw_parts_mut(y.at(at), length) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Team;
    use crate::testing::{close, random};
    use proptest::prelude::*;

    const PRECISIONS: [WeightPrecision; 3] = [WeightPrecision::F32, WeightPrecision::Bf16, WeightPrecision::Int8];

    /// `x * weight` in f64, of weights `[inputs, outputs]`.
    fn product(x: &[f32], weight: &[f32], inputs: usize) -> Vec<f64> {
        let outputs = weight.len() / inputs;
        let entry = |(row, output): (&[f32], usize)| {
            row.iter().enumerate().map(|(i, x)| f64::from(*x) * f64::from(weight[i * outputs + output])).sum::<f64>()
        };
        x.chunks(inputs).flat_map(|row| (0..outputs).map(move |output| entry((row, output)))).collect()
    }

    fn transposed(weight: &[f32], inputs: usize) -> Vec<f32> {
        let outputs = weight.len() / inputs;
        (0..weight.len()).map(|at| weight[at % inputs * outputs + at / inputs]).collect()
    }

    fn packed(
        sources: &[Source<'_>],
        bias: Option<Vec<f32>>,
        inputs: usize,
        precision: WeightPrecision,
    ) -> (PackedLinear, Pages) {
        let words = sources.iter().map(|s| PackedLinear::words(inputs, s.weight.len() / inputs + PANEL, precision));
        let mut pages = Pages::zeroed(words.sum::<usize>() + 3).unwrap();
        let (linear, end) = PackedLinear::pack(sources, bias, inputs, precision, (&mut pages, 3));
        assert_eq!((end - 3) * 4, linear.bytes());
        (linear, pages)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn products_of_rounded_weights(
            rows in 1usize..8, inputs in 1usize..150, first in 1usize..200, second in 1usize..90,
            precision in 0..3usize, turned in any::<bool>(), biased in any::<bool>(),
        ) {
            let precision = PRECISIONS[precision];
            let x = random(rows * inputs, 1);
            let [mut a, mut b] = [random(inputs * first, 2), random(inputs * second, 3)];
            let turned_b = transposed(&b, inputs);
            let b_source = match turned {
                true => Source { weight: &turned_b, order: WeightOrder::OutputInput },
                false => Source { weight: &b, order: WeightOrder::InputOutput },
            };
            let sources = [Source { weight: &a, order: WeightOrder::InputOutput }, b_source];
            let outputs = first + second;
            let bias = biased.then(|| random(outputs, 4));
            let (linear, pages) = packed(&sources, bias.clone(), inputs, precision);
            precision.round(&mut a, inputs, WeightOrder::InputOutput);
            precision.round(&mut b, inputs, WeightOrder::InputOutput);
            let (ya, yb) = (product(&x, &a, inputs), product(&x, &b, inputs));
            let joined = ya.chunks(first).zip(yb.chunks(second)).flat_map(|(a, b)| [a, b].concat());
            let expected: Vec<f64> = joined
                .enumerate()
                .map(|(at, y)| y + bias.as_ref().map_or(0.0, |bias| f64::from(bias[at % outputs])))
                .collect();
            let team = Team::new(1);
            let mut y = vec![f32::NAN; rows * outputs];
            linear.apply(&mut team.crew(), &pages, &x, &mut y, Epilogue::Replace);
            close("replace", &y, &expected, 1e-5);
            linear.apply(&mut team.crew(), &pages, &x, &mut y, Epilogue::Add);
            close("add", &y, &expected.iter().map(|y| 2.0 * y).collect::<Vec<_>>(), 1e-5);
            let alone: Vec<f32> = x.chunks(inputs).flat_map(|x| {
                let mut y = vec![f32::NAN; outputs];
                linear.apply(&mut team.crew(), &pages, x, &mut y, Epilogue::Replace);
                linear.apply(&mut team.crew(), &pages, x, &mut y, Epilogue::Add);
                y
            }).collect();
            prop_assert_eq!(&alone, &y, "a row does not depend on its neighbours");
        }
    }

    #[test]
    fn activations_are_those_of_the_sums() {
        let (inputs, outputs, rows) = (30, 70, 3);
        let [x, a, b] = [(rows * inputs, 1), (inputs * outputs, 2), (inputs * outputs, 3)].map(|(n, s)| random(n, s));
        let source = |weight| [Source { weight, order: WeightOrder::InputOutput }];
        let mut pages = Pages::zeroed(2 * PackedLinear::words(inputs, outputs, WeightPrecision::F32)).unwrap();
        let (gate, end) = PackedLinear::pack(&source(&a), None, inputs, WeightPrecision::F32, (&mut pages, 0));
        let (up, _) = PackedLinear::pack(&source(&b), None, inputs, WeightPrecision::F32, (&mut pages, end));
        let team = Team::new(1);
        let mut crew = team.crew();
        let mut y = vec![f32::NAN; rows * outputs];
        let (gates, ups) = (product(&x, &a, inputs), product(&x, &b, inputs));
        PackedLinear::swiglu(&gate, &up, &mut crew, &pages, &x, &mut y);
        let silu = |(g, u): (&f64, &f64)| g / (1.0 + (-g).exp()) * u;
        close("swiglu", &y, &gates.iter().zip(&ups).map(silu).collect::<Vec<_>>(), 1e-5);
        gate.apply(&mut crew, &pages, &x, &mut y, Epilogue::Gelu);
        let (mut expected, sums) = (vec![0.0; y.len()], gates.iter().map(|g| *g as f32).collect::<Vec<_>>());
        crate::gelu(&sums, &mut expected);
        close("gelu", &y, &expected.iter().map(|y| f64::from(*y)).collect::<Vec<_>>(), 1e-5);
    }
}
