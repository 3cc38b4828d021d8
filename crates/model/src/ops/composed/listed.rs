//! Attention to listed rows, and maxima over them. Rows are gathered: as many as are listed, never queries times rows.

use crate::ops::{ListedPart, Listing};
use burn::tensor::{Bool, Int, Tensor, TensorData, activation};
use std::collections::BTreeMap;

/// Queries whose lists are of one length, which are gathered together.
fn by_length(rows: Listing, queries: usize) -> Vec<Vec<usize>> {
    let mut groups = BTreeMap::<usize, Vec<usize>>::new();
    (0..queries).for_each(|query| groups.entry(rows.count(query)).or_default().push(query));
    groups.into_values().collect()
}

/// Results of groups of queries, `[b, queries, h, e]` each, in the order of the queries.
fn in_order(groups: &[Vec<usize>], results: Vec<Tensor<4>>) -> Tensor<4> {
    let all = Tensor::cat(results, 1);
    if groups.len() == 1 {
        return all;
    }
    let mut at: Vec<(usize, i32)> = groups.iter().flatten().copied().zip(0..).collect();
    at.sort_unstable();
    let at: Vec<i32> = at.into_iter().map(|(_, at)| at).collect();
    let device = all.device();
    all.select(1, Tensor::<1, Int>::from_data(at.as_slice(), &device))
}

/// The listed rows of some queries, each list as long as the longest, and which of them are none.
struct Gathered {
    longest: usize,
    rows: Vec<i32>,
    none: Vec<bool>,
}

fn gather(listing: Listing, queries: &[usize]) -> Gathered {
    let longest = queries.iter().map(|query| listing.count(*query)).max().unwrap_or(0);
    let (mut rows, mut none) = (Vec::new(), Vec::new());
    for (index, query) in queries.iter().enumerate() {
        listing.each(*query, |run| rows.extend(run.rows().map(|row| row as i32)));
        none.resize(rows.len(), false);
        rows.resize((index + 1) * longest, 0);
        none.resize(rows.len(), true);
    }
    Gathered { longest, rows, none }
}

impl Gathered {
    /// Rows of `x [b, rows, g, e]` for every query and term, with a head for every query head: `[b, queries, terms, h, e]`.
    fn take(&self, x: Tensor<4>, heads: usize) -> Tensor<5> {
        let [batch, _, groups, width] = x.dims();
        let ids = Tensor::<1, Int>::from_data(self.rows.as_slice(), &x.device());
        let (queries, terms) = (self.rows.len() / self.longest, self.longest);
        let rows = x.select(1, ids).reshape([batch, queries * terms, groups, 1, width]);
        let rows = rows.expand([batch, queries * terms, groups, heads / groups, width]);
        rows.reshape([batch, queries, terms, heads, width])
    }
}

/// Rows `ids` of `x`.
fn select(x: &Tensor<4>, ids: &[usize]) -> Tensor<4> {
    let ids: Vec<i32> = ids.iter().map(|id| *id as i32).collect();
    x.clone().select(1, Tensor::<1, Int>::from_data(ids.as_slice(), &x.device()))
}

/// Scores `[b, queries, terms, h]` and values of a part's terms; none where nobody reads it.
fn terms(part: &ListedPart, queries: &[usize], scale: f32) -> Option<(Tensor<4>, Tensor<5>)> {
    let [batch, _, heads, width] = part.q.dims();
    let gathered = gather(part.rows, queries);
    if gathered.longest == 0 {
        return None;
    }
    let q = select(&part.q, queries).reshape([batch, queries.len(), 1, heads, width]);
    let shape = [batch, queries.len(), gathered.longest, heads];
    let scores = (gathered.take(part.k.clone(), heads) * q).sum_dim(4).reshape(shape) * scale;
    let none = TensorData::new(gathered.none.clone(), [1, queries.len(), gathered.longest, 1]);
    let none = Tensor::<4, Bool>::from_data(none, &scores.device()).expand(shape);
    Some((scores.mask_fill(none, -1e30), gathered.take(part.v.clone(), heads)))
}

/// See [`crate::ops::listed`].
pub fn listed(first: ListedPart, second: Option<ListedPart>, scale: f32) -> Tensor<4> {
    let [batch, queries, heads, width] = first.q.dims();
    // Alone, lists may differ much in their length; two parts are read by all.
    let groups = if second.is_some() { vec![(0..queries).collect()] } else { by_length(first.rows, queries) };
    let parts: Vec<ListedPart> = std::iter::once(first).chain(second).collect();
    let output = |queries: &Vec<usize>| {
        let terms: Vec<_> = parts.iter().filter_map(|part| terms(part, queries, scale)).collect();
        let (scores, values): (Vec<_>, Vec<_>) = terms.into_iter().unzip();
        if scores.is_empty() {
            return Tensor::zeros([batch, queries.len(), heads, width], (&parts[0].q.device(), parts[0].q.dtype()));
        }
        let weights = activation::softmax(Tensor::cat(scores, 2), 2).unsqueeze_dim::<5>(4);
        (weights * Tensor::cat(values, 2)).sum_dim(2).reshape([batch, queries.len(), heads, width])
    };
    in_order(&groups, groups.iter().map(output).collect())
}

/// See [`crate::ops::listed_maximum`].
pub fn listed_maximum(x: Tensor<4>, members: Listing, sets: usize) -> Tensor<4> {
    let [batch, _, heads, width] = x.dims();
    let groups = by_length(members, sets);
    let largest = |sets: &Vec<usize>| {
        let rows = gather(members, sets);
        if rows.longest == 0 {
            return Tensor::zeros([batch, sets.len(), heads, width], (&x.device(), x.dtype()));
        }
        rows.take(x.clone(), heads).max_dim(2).reshape([batch, sets.len(), heads, width])
    };
    in_order(&groups, groups.iter().map(largest).collect())
}

#[cfg(test)]
mod tests {
    use super::super::check::gradients_agree;
    use super::*;

    #[test]
    fn gradients_agree_with_finite_differences() {
        gradients_agree(&[&[1, 6, 2, 2], &[1, 6, 1, 2], &[6, 1, 2], &[1, 2, 1, 2], &[2, 2, 2]], |t| {
            let q = t[0].clone().reshape([1, 6, 2, 2]);
            let key = |x: &Tensor<1>, rows: usize, heads: usize| x.clone().reshape([1, rows, heads, 2]);
            let span = Listing::Span { length: 3, start: 0, table: 0 };
            let direct = ListedPart { q: q.clone(), k: key(&t[1], 6, 1), v: key(&t[2], 6, 1), rows: span };
            let rows = Listing::Spans { length: 3, start: 0 };
            let sets = ListedPart { q, k: key(&t[3], 2, 1), v: key(&t[4], 2, 2), rows };
            listed(direct, Some(sets), 0.7)
        });
        gradients_agree(&[&[1, 7, 2, 2]], |t| {
            listed_maximum(t[0].clone().reshape([1, 7, 2, 2]), Listing::NodeMembers { first: 1 }, 6)
        });
    }
}
