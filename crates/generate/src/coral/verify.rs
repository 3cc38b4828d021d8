//! How candidates for a block are judged by all sources on them.

use percept_fault::Result;
use percept_model::config::Offsets;

use super::config::Tree;
use super::oracle::{Oracle, Question};
use super::weights::VERIFY;

/// How a path fares; one entry per position.
#[derive(Debug, Clone, Default)]
pub(super) struct Judged {
    /// tau: what all sources say, and how much worse the next-token prediction is than those from further away.
    pub(super) losses: Vec<f64>,
    /// -ln p as the next token.
    pub(super) next: Vec<f64>,
    /// rho: the weighted share of sources that agree.
    pub(super) agreement: Vec<f64>,
}

impl Judged {
    /// The mean loss, by which paths are compared.
    pub(super) fn mean(&self) -> f64 {
        self.losses.iter().sum::<f64>() / self.losses.len() as f64
    }
}

/// Sums over the sources of a position.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    all: f64,
    next: f64,
    forward: f64,
    agreement: f64,
}

/// Judges paths after the fixed text, from position `fixed` on.
pub(super) fn judge(
    oracle: &mut dyn Oracle,
    text: &[u32],
    (fixed, paths): (usize, &[Vec<u32>]),
    tree: &Tree,
) -> Result<Vec<Judged>> {
    let length = paths.first().map_or(0, Vec::len);
    let texts: Vec<Vec<u32>> = paths.iter().map(|path| [&text[..fixed], path].concat()).collect();
    let offsets = Offsets { forward: tree.forward, backward: tree.backward };
    let last = fixed + length - 1;
    let question = Question { sources: fixed - 1..=last, targets: fixed..=last, offsets };
    let mut sums = vec![vec![Sums::default(); length]; paths.len()];
    oracle.ask(&texts, &question, &mut |index, pair, ln_p| {
        let (offset, at) = (pair.target as isize - pair.source as isize, pair.target - fixed);
        let of_token = f64::from(ln_p[paths[index][at] as usize]);
        let (sums, weight) = (&mut sums[index][at], VERIFY.weight(offset, tree.backward));
        sums.all -= weight * of_token;
        match offset {
            1 => sums.next = -of_token,
            2.. => sums.forward -= growing(offset) * of_token,
            _ => {}
        }
        if offset <= 1 && of_token.exp() >= least(ln_p, tree.epsilon) {
            sums.agreement += weight;
        }
    })?;
    let all = offsets.all().map(|offset| VERIFY.weight(offset, tree.backward)).sum::<f64>();
    let forward = (2..=tree.forward as isize).map(growing).sum::<f64>();
    let judged = |sums: Vec<Sums>| Judged {
        losses: sums.iter().map(|s| s.all / all + (s.next - mean(s.forward, forward)).max(0.0)).collect(),
        next: sums.iter().map(|s| s.next).collect(),
        agreement: sums.iter().map(|s| s.agreement / (tree.backward + 2) as f64).collect(),
    };
    Ok(sums.into_iter().map(judged).collect())
}

/// The weights by which forward offsets beyond the next token are averaged grow with the distance.
fn growing(offset: isize) -> f64 {
    ((offset - 1) as f64).exp()
}

fn mean(sum: f64, weights: f64) -> f64 {
    if weights > 0.0 { sum / weights } else { 0.0 }
}

/// The least probability of a token with which a source agrees.
fn least(ln_p: &[f32], epsilon: f64) -> f64 {
    let terms = ln_p.iter().filter(|ln_p| **ln_p > f32::NEG_INFINITY).map(|ln_p| f64::from(*ln_p));
    let entropy: f64 = -terms.map(|ln_p| ln_p * ln_p.exp()).sum::<f64>();
    epsilon.min(epsilon.sqrt() * (-entropy).exp())
}
