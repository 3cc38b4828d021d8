//! Attention of queries to intervals of keys.

use super::product::product;
use burn::tensor::{Bool, Tensor, TensorData, activation};
use percept_kernels::{Dropout, Pattern, Visibility};
use std::ops::Range;

/// Softmax attention, `q [b, tq, h, e]` to `k, v [b, tk, g, e]`: `[b, tq, h, e]`. Query head i reads key head
/// `i / (h / g)`. The dropout mask is a function of the flat index into `[b, h, tq, tk]`. A query that sees no key gives zero.
///
/// Local patterns never hold `tq x tk` scores: queries go block by block, each to the keys its block can see, and
/// the equal blocks of [`Pattern::SegmentPair`] go as one batch.
pub fn attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    visibility: &Visibility,
    scale: f32,
    dropout: Option<Dropout>,
) -> Tensor<4> {
    let [_, queries, heads, _] = q.dims();
    let keys = k.dims()[1];
    if queries == 0 {
        return q;
    }
    let rule = Rule { visibility: *visibility, scale, dropout: dropout.filter(|d| d.rate > 0.0), heads, queries, keys };
    let mut pieces: Vec<Piece> = Vec::new();
    for rows in blocks(visibility, queries) {
        let span = visibility.range(rows.start, keys).start..visibility.range(rows.end - 1, keys).end;
        match pieces.last_mut() {
            Some(last) if last.continued_by(&rows, &span, visibility.pattern) => last.count += 1,
            _ => pieces.push(Piece { rows, span, count: 1 }),
        }
    }
    let outputs = pieces.iter().map(|piece| piece.attend(&rule, q.clone(), k.clone(), v.clone())).collect();
    Tensor::cat(outputs, 1)
}

/// Blocks of query rows that share one span of keys without much waste.
fn blocks(visibility: &Visibility, queries: usize) -> Vec<Range<usize>> {
    let (length, shift) = match visibility.pattern {
        Pattern::Causal | Pattern::Everything => return std::iter::once(0..queries).collect(),
        Pattern::Band { width } => (width.max(64), 0),
        Pattern::SegmentPair { length } | Pattern::Blocks { length } => (length, 0),
        Pattern::CausalBlocks { length, shift } => (length, shift),
    };
    let mut start = 0;
    let mut ranges = Vec::new();
    while start < queries {
        let end = (start + length - (visibility.query_start + start + shift) % length).min(queries);
        ranges.push(start..end);
        start = end;
    }
    ranges
}

/// What is the same for all pieces of one call.
struct Rule {
    visibility: Visibility,
    scale: f32,
    dropout: Option<Dropout>,
    heads: usize,
    queries: usize,
    keys: usize,
}

/// `count` blocks of query rows one after the other, the first one `rows` with the keys `span`, each further one
/// shifted by the length of a block.
struct Piece {
    rows: Range<usize>,
    span: Range<usize>,
    count: usize,
}

impl Piece {
    fn continued_by(&self, rows: &Range<usize>, span: &Range<usize>, pattern: Pattern) -> bool {
        let by = self.count * self.rows.len();
        matches!(pattern, Pattern::SegmentPair { length } if length == self.rows.len() && self.span.len() == 2 * length)
            && *rows == (self.rows.start + by..self.rows.end + by)
            && *span == (self.span.start + by..self.span.end + by)
    }

    fn attend(&self, rule: &Rule, q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<4> {
        let [batch, _, heads, width] = q.dims();
        let length = self.rows.len();
        if self.span.is_empty() {
            return q.narrow(1, self.rows.start, length) * 0.0;
        }
        let q = q.narrow(1, self.rows.start, self.count * length).reshape([batch * self.count, length, heads, width]);
        let (k, v) = (self.keys(k), self.keys(v));
        let output = self.dense(rule, q, spread(k, heads), spread(v, heads));
        output.reshape([batch, self.count * length, heads, width])
    }

    /// The keys of every block, `[b * count, span, g, e]`.
    fn keys(&self, k: Tensor<4>) -> Tensor<4> {
        let [batch, _, groups, width] = k.dims();
        if self.count == 1 {
            return k.narrow(1, self.span.start, self.span.len());
        }
        let length = self.rows.len();
        let part = |start: usize| {
            k.clone().narrow(1, start, self.count * length).reshape([batch * self.count, length, groups, width])
        };
        Tensor::cat(vec![part(self.span.start), part(self.span.start + length)], 1)
    }

    fn dense(&self, rule: &Rule, q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<4> {
        let device = q.device();
        let [batch, length, heads, _] = q.dims();
        let span = self.span.len();
        let shape = [batch, heads, length, span];
        let scores = product(q.swap_dims(1, 2) * rule.scale, k.permute([0, 2, 3, 1]));
        let hidden: Vec<bool> = self
            .rows
            .clone()
            .flat_map(|row| {
                let seen = rule.visibility.range(row, rule.keys);
                self.span.clone().map(move |key| !seen.contains(&key))
            })
            .collect();
        let weights = if hidden.contains(&true) {
            let mask =
                Tensor::<4, Bool>::from_data(TensorData::new(hidden, [1, 1, length, span]), &device).expand(shape);
            // A row without keys gets equal weights from the softmax; the second fill makes them zero.
            activation::softmax(scores.mask_fill(mask.clone(), -1e30), 3).mask_fill(mask, 0.0)
        } else {
            activation::softmax(scores, 3)
        };
        let weights = match rule.dropout {
            Some(dropout) => {
                let factors = TensorData::new(self.factors(rule, &dropout, batch), shape);
                let options = (&device, weights.dtype());
                weights * Tensor::<4>::from_data(factors, options)
            }
            None => weights,
        };
        product(weights, v.swap_dims(1, 2)).swap_dims(1, 2)
    }

    /// Dropout factors `[batch, h, rows, span]`, where the batch runs over (row of the batch, block).
    fn factors(&self, rule: &Rule, dropout: &Dropout, batch: usize) -> Vec<f32> {
        let mut factors = Vec::with_capacity(batch * rule.heads * self.rows.len() * self.span.len());
        for entry in 0..batch {
            let (entry, by) = (entry / self.count, entry % self.count * self.rows.len());
            for head in 0..rule.heads {
                for row in self.rows.clone() {
                    let row = ((entry * rule.heads + head) * rule.queries + row + by) * rule.keys;
                    factors.extend(dropout.factors((row + self.span.start + by) as u64, self.span.len()));
                }
            }
        }
        factors
    }
}

/// Repeats each key head for the query heads that read it.
fn spread(k: Tensor<4>, heads: usize) -> Tensor<4> {
    let [batch, length, groups, width] = k.dims();
    if groups == heads {
        return k;
    }
    let share = heads / groups;
    k.reshape([batch, length, groups, 1, width])
        .expand([batch, length, groups, share, width])
        .reshape([batch, length, heads, width])
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients_agree, numbers, random};
    use super::*;
    use burn::tensor::Device;

    const PATTERNS: [Pattern; 8] = [
        Pattern::Causal,
        Pattern::Band { width: 3 },
        Pattern::SegmentPair { length: 3 },
        Pattern::SegmentPair { length: 5 },
        Pattern::Everything,
        Pattern::Blocks { length: 4 },
        Pattern::CausalBlocks { length: 4, shift: 0 },
        Pattern::CausalBlocks { length: 4, shift: 2 },
    ];

    /// The definition, one element at a time. Arguments flat, sizes `[b, tq, tk, h, g, e]`.
    fn definition(
        q: &[f64],
        k: &[f64],
        v: &[f64],
        sizes: [usize; 6],
        see: &Visibility,
        dropout: Option<Dropout>,
    ) -> Vec<f64> {
        let [b, tq, tk, h, g, e] = sizes;
        let mut out = vec![0.0; q.len()];
        for (b, i, head) in (0..b).flat_map(|b| (0..tq).flat_map(move |i| (0..h).map(move |head| (b, i, head)))) {
            let query = ((b * tq + i) * h + head) * e;
            let key = |j: usize| ((b * tk + j) * g + head / (h / g)) * e;
            let dot = |j: usize| (0..e).map(|c| q[query + c] * k[key(j) + c]).sum::<f64>() * 0.7f32 as f64;
            let total: f64 = see.range(i, tk).map(|j| dot(j).exp()).sum();
            for j in see.range(i, tk) {
                let index = ((b * h + head) * tq + i) * tk + j;
                let factor = dropout.map_or(1.0, |d| f64::from(d.factor(index as u64)));
                (0..e).for_each(|c| out[query + c] += factor * dot(j).exp() / total * v[key(j) + c]);
            }
        }
        out
    }

    #[test]
    fn every_pattern_is_its_definition() {
        let (b, h, g, e) = (2, 4, 2, 3);
        for pattern in PATTERNS {
            for (tq, tk, query_start, key_start) in
                [(13, 13, 0, 0), (12, 12, 0, 0), (4, 13, 9, 0), (7, 9, 5, 3), (1, 6, 7, 2), (6, 3, 0, 9)]
            {
                for dropout in [None, Some(Dropout { rate: 0.3, seed: 5 })] {
                    let see = Visibility { pattern, query_start, key_start };
                    let device = Device::flex();
                    let q = random(&[b, tq, h, e], &device);
                    let k = random(&[b, tk, g, e, 1], &device);
                    let v = random(&[b, tk, g, e, 1, 1], &device);
                    let expected = definition(
                        &numbers(q.clone()),
                        &numbers(k.clone()),
                        &numbers(v.clone()),
                        [b, tq, tk, h, g, e],
                        &see,
                        dropout,
                    );
                    let y = attention(
                        q.reshape([b, tq, h, e]),
                        k.reshape([b, tk, g, e]),
                        v.reshape([b, tk, g, e]),
                        &see,
                        0.7,
                        dropout,
                    );
                    for (y, expected) in numbers(y).iter().zip(expected) {
                        assert!((y - expected).abs() < 1e-9, "{see:?} {tq} {tk} {dropout:?}: {y} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for pattern in PATTERNS {
            let see = Visibility::new(pattern);
            gradients_agree(&[&[1, 7, 2, 2], &[1, 7, 1, 2], &[7, 1, 2]], |t| {
                let (q, k) = (t[0].clone().reshape([1, 7, 2, 2]), t[1].clone().reshape([1, 7, 1, 2]));
                attention(q, k, t[2].clone().reshape([1, 7, 1, 2]), &see, 0.7, Some(Dropout { rate: 0.2, seed: 1 }))
            });
        }
    }
}
