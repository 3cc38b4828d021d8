//! Attention of one query row to a ring of keys and values.

use std::ops::Range;

use super::Crew;
use super::halves::Element;
use crate::matmul::Shared;
use crate::simd::{Arithmetic, exp, inner_product_of, largest, simd};

/// Channels of the values that are summed together.
const PART: usize = 64;
/// Bytes of a line of a cache.
const LINE: usize = 64;
/// Most heads of a tile.
const SPAN: usize = 8;
/// Batches with so many rows have work for all threads where a tile takes several heads. Memory is then read in order: twice as fast.
const MANY_ROWS: usize = 8;

/// Keys and values of a ring, in the format in which they are kept.
#[derive(Debug, Clone, Copy)]
pub enum Ring<'a> {
    /// As they were computed.
    F32([&'a [f32]; 2]),
    /// bfloat16, the upper half of each f32 ([`super::to_bf16`]). They are widened where they are read; sums, and their order, are the
    /// same.
    Bf16([&'a [u16]; 2]),
}

/// Sizes of a ring `[capacity, groups, width]`, where position p lies in row `p % capacity`.
///
/// ```
/// use percept_kernels::decode::{Ring, RingAttention};
/// let ring = RingAttention { capacity: 4, groups: 1, width: 1 };
/// // Position 5 has taken the place of position 1.
/// let (keys, mut values) = (vec![0.0; ring.len()], vec![0.0; ring.len()]);
/// for position in 0..6 {
///     values[ring.row(position)] = position as f32;
/// }
/// let (mut scores, mut output) = ([0.0; 4], [0.0]);
/// ring.attend(&[1.0], Ring::F32([&keys, &values]), 0, 3..6, &mut scores, &mut output);
/// assert_eq!(output, [(3.0 + 4.0 + 5.0) / 3.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingAttention {
    /// Rows.
    pub capacity: usize,
    /// Key heads.
    pub groups: usize,
    /// Channels per head.
    pub width: usize,
}

impl RingAttention {
    /// Elements of a ring.
    pub fn len(&self) -> usize {
        self.capacity * self.groups * self.width
    }

    /// True where a ring holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the row of a position begins.
    pub fn row(&self, position: usize) -> usize {
        position % self.capacity * self.groups * self.width
    }

    /// Attention of several rows, each to a ring of its own: `q, output [rows, heads, width]`; `ring(row)` gives keys and
    /// values, `visible(row, head)` the positions. Query head `i` reads key head `i / (heads / groups)`. `scores` has room
    /// for `capacity` elements per row and head.
    ///
    /// # Panics
    /// As [`RingAttention::attend`], and if the sizes do not fit.
    pub fn attend_rows<'a>(
        &self,
        crew: &mut Crew<'_>,
        heads: usize,
        (q, scores, output): (&[f32], &mut [f32], &mut [f32]),
        ring: impl Fn(usize) -> Ring<'a> + Sync,
        visible: impl Fn(usize, usize) -> Range<usize> + Sync,
    ) {
        let rows = q.len() / (heads * self.width);
        assert!(q.len() == rows * heads * self.width && output.len() == q.len(), "sizes");
        assert!(scores.len() >= rows * heads * self.capacity, "room for the scores");
        let span = if rows < MANY_ROWS { 1 } else { heads.min(SPAN) };
        let spans = heads.div_ceil(span);
        let (scores, output) = (Shared::new(scores), Shared::new(output));
        crew.each(rows * spans, |tile| {
            let (row, first) = (tile / spans, tile % spans * span);
            let count = span.min(heads - first);
            let at = row * heads + first;
            // SAFETY: each tile has its own heads' scores and outputs, inside slices whose lengths were checked.
            let (scores, output) = unsafe {
                (
                    std::slice::from_raw_parts_mut(scores.at(at * self.capacity), count * self.capacity),
                    std::slice::from_raw_parts_mut(output.at(at * self.width), count * self.width),
                )
            };
            let q = &q[at * self.width..][..count * self.width];
            let mut seen: [Seen; SPAN] = Default::default();
            for (head, seen) in (first..).zip(&mut seen[..count]) {
                *seen = Seen { visible: visible(row, head), group: head / (heads / self.groups) };
            }
            self.attend_span(q, ring(row), &seen[..count], scores, output);
        });
    }

    /// `output [width] = softmax(q k^T / sqrt(width)) v` over the positions `visible` of key head `group`.
    ///
    /// # Panics
    /// If nothing is visible, more than the ring holds, or more than there is room for `scores`; or a slice is short.
    pub fn attend(
        &self,
        q: &[f32],
        ring: Ring<'_>,
        group: usize,
        visible: Range<usize>,
        scores: &mut [f32],
        output: &mut [f32],
    ) {
        self.attend_span(q, ring, &[Seen { visible, group }], scores, output);
    }

    /// Attention of several heads to one ring: `q, output [heads, width]`, and room for as many scores per head as `scores` has.
    fn attend_span(&self, q: &[f32], ring: Ring<'_>, seen: &[Seen], scores: &mut [f32], output: &mut [f32]) {
        let count = |seen: &Seen| seen.visible.len();
        assert!(seen.iter().map(count).all(|count| count > 0 && count <= self.capacity), "{seen:?} of {self:?}");
        assert_eq!(
            (q.len(), output.len()),
            (seen.len() * self.width, seen.len() * self.width),
            "sizes of q and output"
        );
        match ring {
            Ring::F32(pair) => attend(*self, q, pair, seen, scores, output),
            Ring::Bf16(pair) => attend_bf16(*self, q, pair, seen, scores, output),
        }
    }

    /// Runs of consecutive positions whose rows lie one after the other, and the first row of each. Several heads take turns at
    /// `turn` rows, so that the ring is read in order; a head by itself keeps its sums in registers.
    fn runs(&self, seen: &[Seen], turn: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
        let (capacity, most) = (self.capacity, if seen.len() == 1 { self.capacity } else { turn });
        let end = seen.iter().map(|seen| seen.visible.end).max().unwrap_or(0);
        let mut next = seen.iter().map(|seen| seen.visible.start).min().unwrap_or(0);
        let mut row = next % capacity;
        std::iter::from_fn(move || {
            let run = next..(next + most.min(capacity - row)).min(end);
            let here = row;
            next = run.end;
            row = if here + run.len() == capacity { 0 } else { here + run.len() };
            (!run.is_empty()).then_some((run, here))
        })
    }
}

/// What a head sees.
#[derive(Debug, Clone, Default)]
struct Seen {
    visible: Range<usize>,
    /// Its key head.
    group: usize,
}

impl Seen {
    /// What it sees of a run, if anything: which of its own positions, and how many of the run's lie before.
    fn of(&self, run: &Range<usize>) -> Option<(Range<usize>, usize)> {
        let first = run.start.max(self.visible.start);
        let end = run.end.min(self.visible.end);
        (first < end).then(|| (first - self.visible.start..end - self.visible.start, first - run.start))
    }
}

/// Adds `probability * row` for all rows to `sums`, which stay in registers.
#[inline(always)]
fn add_rows<'a, A: Arithmetic, E: Element + 'a, const N: usize>(
    probabilities: &[f32],
    rows: impl Iterator<Item = &'a [E]>,
    sums: &mut [f32; N],
) {
    let mut own = *sums;
    for (p, row) in probabilities.iter().zip(rows) {
        let row = &row[..N];
        for i in 0..N {
            own[i] = A::fma(*p, row[i].widened(), own[i]);
        }
    }
    *sums = own;
}

simd! {
    /// See [`RingAttention::attend_span`].
    fn attend(ring: RingAttention, q: &[f32], pair: [&[f32]; 2], seen: &[Seen], scores: &mut [f32], output: &mut [f32]) {
        attend_to::<A, f32>(ring, q, pair, seen, scores, output);
    }

    /// The same of bfloat16.
    fn attend_bf16(ring: RingAttention, q: &[f32], pair: [&[u16]; 2], seen: &[Seen], scores: &mut [f32], output: &mut [f32]) {
        attend_to::<A, u16>(ring, q, pair, seen, scores, output);
    }
}

#[inline(always)]
fn attend_to<A: Arithmetic, E: Element>(
    ring: RingAttention,
    q: &[f32],
    [keys, values]: [&[E]; 2],
    seen: &[Seen],
    scores: &mut [f32],
    output: &mut [f32],
) {
    let (width, stride, room) = (ring.width, ring.groups * ring.width, scores.len() / seen.len());
    let scale = 1.0 / (width as f32).sqrt();
    let heads_share = seen.len() > 1 && E::TURN > 1;
    for (run, row) in ring.runs(seen, E::TURN) {
        if heads_share {
            fetch(keys, (row + run.len()) * stride, E::TURN * stride);
        }
        for ((seen, q), scores) in seen.iter().zip(q.chunks_exact(width)).zip(scores.chunks_exact_mut(room)) {
            let Some((own, before)) = seen.of(&run) else { continue };
            let first = (row + before) * stride + seen.group * width;
            for (row, score) in scores[own].iter_mut().enumerate() {
                *score = inner_product_of::<A, E>(q, &keys[first + row * stride..][..width]) * scale;
            }
        }
    }
    let mut sums = [0.0; SPAN];
    for ((seen, sum), scores) in seen.iter().zip(&mut sums).zip(scores.chunks_exact_mut(room)) {
        let scores = &mut scores[..seen.visible.len()];
        let max = largest(scores);
        scores.iter_mut().for_each(|score| *score = exp::<A>(*score - max));
        // One after the other, so apart from what whole vectors do.
        scores.iter().for_each(|score| *sum += score);
    }
    output.fill(0.0);
    for (run, row) in ring.runs(seen, E::TURN) {
        if heads_share {
            fetch(values, (row + run.len()) * stride, E::TURN * stride);
        }
        for ((seen, scores), output) in seen.iter().zip(scores.chunks_exact(room)).zip(output.chunks_exact_mut(width)) {
            let Some((own, before)) = seen.of(&run) else { continue };
            let first = (row + before) * stride + seen.group * width;
            add_values::<A, E>(&scores[own], &values[first..], stride, output);
        }
    }
    for (output, sum) in output.chunks_exact_mut(width).zip(sums) {
        output.iter_mut().for_each(|value| *value /= sum);
    }
}

/// Asks memory for the rows from `from` on, at the ring's end for the first ones, in order: heads that take turns at several rows read
/// them in an order that no processor foresees.
#[inline(always)]
fn fetch<E: Element>(rows: &[E], from: usize, count: usize) {
    let from = if from < rows.len() { from } else { 0 };
    let next = &rows[from..(from + count).min(rows.len())];
    for line in next.chunks(LINE / size_of::<E>()) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        // SAFETY: SSE is a part of x86-64, and the address lies in a slice.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.as_ptr().cast());
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = line;
    }
}

/// Adds `probability * row` for rows that begin `stride` apart to `output`.
#[inline(always)]
fn add_values<A: Arithmetic, E: Element>(probabilities: &[f32], values: &[E], stride: usize, output: &mut [f32]) {
    for (index, output) in output.chunks_mut(PART).enumerate() {
        let at = index * PART;
        match <&mut [f32; PART]>::try_from(&mut *output) {
            Ok(sums) => {
                add_rows::<A, E, PART>(
                    probabilities,
                    (0..probabilities.len()).map(|row| &values[row * stride + at..]),
                    sums,
                );
            }
            Err(_) => {
                for (row, p) in probabilities.iter().enumerate() {
                    for (sum, value) in output.iter_mut().zip(&values[row * stride + at..]) {
                        *sum = A::fma(*p, value.widened(), *sum);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Team, to_bf16};
    use crate::simd::Widen;
    use crate::testing::{close, random};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn is_the_softmax_over_the_visible_positions(
            capacity in 1usize..80, groups in 1usize..4, width in 1usize..140, start in 0usize..500, part in 0.0..1.0f64,
        ) {
            let count = 1 + ((capacity - 1) as f64 * part) as usize;
            let ring = RingAttention { capacity, groups, width };
            let [keys, values] = [1, 2].map(|seed| rounded(&random(ring.len(), seed)));
            let q: Vec<f32> = random(width, 3).iter().map(|x| 4.0 * x).collect();
            for group in 0..groups {
                let row = |data: &[f32], position: usize| data[ring.row(position) + group * width..][..width].to_vec();
                let scores: Vec<f64> = (start..start + count).map(|position| {
                    let key = row(&keys, position);
                    let dot: f64 = q.iter().zip(&key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                    (dot / (width as f64).sqrt()).exp()
                }).collect();
                let total: f64 = scores.iter().sum();
                let mut expected = vec![0.0; width];
                for (position, score) in (start..).zip(&scores) {
                    for (sum, value) in expected.iter_mut().zip(row(&values, position)) {
                        *sum += score / total * f64::from(value);
                    }
                }
                let [mut output, mut of_halves] = [vec![f32::NAN; width], vec![f32::NAN; width]];
                let kept = [(Ring::F32([&keys, &values]), &mut output), (Ring::Bf16([&halves(&keys), &halves(&values)]), &mut of_halves)];
                for (kept, output) in kept {
                    ring.attend(&q, kept, group, start..start + count, &mut vec![f32::NAN; count], output);
                }
                close("output", &output, &expected, 2e-6);
                // Elements that have 8 bits are the same in both formats.
                prop_assert_eq!(output, of_halves);
            }
        }
    }

    fn halves(x: &[f32]) -> Vec<u16> {
        let mut halves = vec![0; x.len()];
        to_bf16(x, &mut halves);
        halves
    }

    fn rounded(x: &[f32]) -> Vec<f32> {
        halves(x).into_iter().map(Widen::widened).collect()
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others() {
        alone_and_among_others(|ring| Ring::F32([&ring[0], &ring[1]]), |x| x);
        alone_and_among_others(|ring| Ring::Bf16([&ring[0], &ring[1]]), |x| halves(&x));
    }

    fn alone_and_among_others<E: Sync>(
        ring_of: for<'a> fn(&'a [Vec<E>; 2]) -> Ring<'a>,
        kept: impl Fn(Vec<f32>) -> Vec<E>,
    ) {
        let (heads, rows) = (SPAN + 2, MANY_ROWS + 1);
        for (capacity, width) in [(7, 5), (30, 64), (1, 3)] {
            let ring = RingAttention { capacity, groups: heads / 2, width };
            let rings: Vec<[Vec<E>; 2]> =
                (0..rows as u64).map(|row| [0, 1].map(|seed| kept(random(ring.len(), 2 * row + seed)))).collect();
            let ring_of = |row: usize| ring_of(&rings[row]);
            // Heads see different parts, whole rings too, and most of these pass the end of the ring.
            let visible = |row: usize, head: usize| {
                let end = row * 4 + capacity;
                end - 1 - (row + 3 * head) % capacity..end
            };
            let q = random(rows * heads * width, 99);
            let [mut scores, mut output] = [capacity, width].map(|size| vec![f32::NAN; rows * heads * size]);
            let team = Team::new(1);
            ring.attend_rows(&mut team.crew(), heads, (&q, &mut scores, &mut output), ring_of, visible);
            for (at, (q, output)) in q.chunks(width).zip(output.chunks(width)).enumerate() {
                let (row, head) = (at / heads, at % heads);
                let mut alone = vec![f32::NAN; width];
                ring.attend(q, ring_of(row), head / 2, visible(row, head), &mut vec![0.0; capacity], &mut alone);
                assert_eq!(output, alone, "row {row}, head {head}");
            }
        }
    }
}
