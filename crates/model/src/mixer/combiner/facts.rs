//! What a Combiner declares.

use percept_kernels::Listed;

use super::core::{Core, INPUT, ROWS, SUMMARIES, SUMMARY_QUERY};
use super::kind::Keys;
use super::summary_key::SummaryKey;
use crate::config::ModelConfig;
use crate::cost::Call;
use crate::layer::{Activations, Facts, Reach, Rows, StateTensor};
use crate::mixer::projection::Projection;

impl Core {
    pub(super) fn facts(&self, config: &ModelConfig, rows: Rows) -> Facts {
        let count = rows.len();
        let (heads, groups, width) = (config.heads, config.key_value_heads(), config.head_dim());
        let listed = Listed { batch: 1, queries: count, heads, groups, width, scale: 1.0 };
        let call = |listed: Listed, lists: &[_]| Call::Other {
            forward: listed.forward_cost(lists),
            backward: listed.backward_cost(lists),
        };
        let made: Vec<_> = self.cover.groups(0, count).into_iter().flatten().collect();
        let sets = made.iter().map(|group| group.made).sum::<usize>();
        let both = [self.cover.direct(0), self.cover.summaries(0, count)];
        let lists = if sets > 0 { &both[..] } else { &both[..1] };
        // Once for the values; for weighted keys once more.
        let times = if self.keys == Keys::Weighted { 2 } else { 1 };
        let of_group = made.iter().map(|group| (Listed { queries: group.made, ..listed }, [group.keys.1]));
        let projected = self.keys == Keys::Projected;
        let mut work = Projection::calls(config, count, count);
        work.push(call(listed, lists));
        work.extend(of_group.flat_map(|(listed, list)| (0..times).map(move |_| call(listed, &list))));
        work.extend(SummaryKey::calls(config, sets).into_iter().filter(|_| projected));
        let members = made.iter().map(|group| times * group.keys.1.terms(group.made)).sum::<u64>();
        let terms = lists.iter().map(|list| list.terms(count)).sum::<u64>() + members;
        let of_key = if projected { 2 * config.dim } else { (times as usize - 1) * heads * width };
        let of_sets = (sets * ((2 * heads + groups) * width + of_key)) as u64;
        let turned = if self.rotary.is_some() { (count * (heads + groups) * width) as u64 } else { 0 };
        let projection = Projection::activations(config, (rows, rows), 0, 0);
        Facts {
            parameters: Projection::parameters(config) + if projected { SummaryKey::parameters(config) } else { 0 },
            work,
            score_entries: terms,
            activations: Activations {
                kept: projection.kept + of_sets + turned,
                unfused: terms.saturating_mul((4 * heads * width) as u64),
                flow: projection.flow + of_sets + turned,
            },
            state: self.state(config, count),
            reach: Reach::Window,
            movable: self.additive.is_none().then_some(1),
            ..Facts::of(rows)
        }
    }

    fn state(&self, config: &ModelConfig, count: usize) -> Vec<StateTensor> {
        let (heads, groups, width) = (config.heads, config.key_value_heads(), config.head_dim());
        let ([own, all], [most_own, most]) = (self.cover.kept_rows(count), self.cover.most_rows(config.context));
        let kept = [(own, most_own), (all, most), (all, most)];
        let of_rows = ROWS.into_iter().zip(kept).zip([heads, groups, groups]);
        let of_slots = SUMMARIES.into_iter().zip([groups, heads]);
        let growing = self.cover.growing();
        let queries = StateTensor::fixed(SUMMARY_QUERY, [growing, heads, width]);
        let input = StateTensor::rows(INPUT, (own, most_own), [config.dim]);
        of_rows
            .map(|((name, kept), heads)| StateTensor::rows(name, kept, [heads, width]))
            .chain(of_slots.map(|(name, heads)| StateTensor::fixed(name, [self.cover.slots(), heads, width])))
            .chain((growing > 0).then_some(queries))
            .chain((self.keys == Keys::Projected).then_some(input))
            .collect()
    }
}
