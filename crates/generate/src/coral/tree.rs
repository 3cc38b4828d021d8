//! Candidates for a block: its likeliest tokens, and what comes of exchanging some of them.

use super::draft::Ensemble;

/// Every path once: all positions with their likeliest token, then, token by token in the order of their probability, copies of all paths so
/// far with another token in its place; until there are more than `most` nodes.
pub(super) fn candidates(ensemble: &Ensemble, width: usize, most: usize) -> Vec<Vec<u32>> {
    let ranked: Vec<Vec<(u32, f64)>> = ensemble.iter().map(|ln_p| ranked(ln_p, width)).collect();
    let others = ranked
        .iter()
        .enumerate()
        .flat_map(|(at, ranks)| ranks.iter().skip(1).map(move |&(token, ln_p)| (at, token, ln_p)));
    let mut others: Vec<(usize, u32, f64)> = others.collect();
    others.sort_by(|a, b| b.2.total_cmp(&a.2));
    let mut paths: Vec<Vec<u32>> = vec![ranked.iter().map(|ranks| ranks[0].0).collect()];
    let mut nodes = ranked.len();
    for (at, token, _) in others {
        let mut copies = paths.clone();
        copies.iter_mut().for_each(|path| path[at] = token);
        nodes += copies.len() * (ranked.len() - at);
        paths.append(&mut copies);
        if nodes > most {
            break;
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    paths.retain(|path| seen.insert(path.clone()));
    paths
}

/// The likeliest tokens with their ln p, normalised, the best first.
fn ranked(ln_p: &[f64], width: usize) -> Vec<(u32, f64)> {
    let most = ln_p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let norm = most + ln_p.iter().map(|ln_p| (ln_p - most).exp()).sum::<f64>().ln();
    let mut order: Vec<(u32, f64)> = (0..).zip(ln_p.iter().map(|ln_p| ln_p - norm)).collect();
    let better = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if width < order.len() {
        order.select_nth_unstable_by(width, better);
        order.truncate(width);
    }
    // What cannot come is no candidate, but where nothing else is there.
    order.sort_unstable_by(better);
    let possible = order.iter().take_while(|(_, ln_p)| *ln_p > f64::NEG_INFINITY).count();
    order.truncate(possible.max(1));
    order
}
