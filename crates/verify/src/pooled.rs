//! Attention to summaries of spans as a mixer: its faults are caught by name.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use percept_model::config::LayerSpec;
use percept_model::layer::{Carry, Facts, LayerContext, LayerState, NoOptions, Reach, StateTensor, Sublayer};
use percept_model::ops::{self, ListedPart, Listing, Rotary, RotaryLayout};
use percept_model::{ModelConfig, Rows};

use super::*;

/// Nothing is wrong.
const SOUND: u8 = 0;
/// A query reads the summary of its own span too, as if that were complete.
const PRESENT_SPAN: u8 = 1;
/// Maxima are taken over rotated queries and keys.
const ROTARY_BEFORE_POOLING: u8 = 2;
/// A stream pools what it has kept as if it began at the first row.
const SHIFTED_SPANS: u8 = 3;

/// Positions of a span.
const SPAN: usize = 5;

/// The own span directly, a summary of each earlier one. A stream keeps all rows.
#[derive(Module, Debug)]
struct Pooled<const FAULT: u8> {
    query: Param<Tensor<2>>,
    key: Param<Tensor<2>>,
    heads: usize,
}

impl<const FAULT: u8> Pooled<FAULT> {
    fn heads(&self, x: &Tensor<3>, weight: &Param<Tensor<2>>) -> Tensor<4> {
        let [batch, rows, dim] = x.dims();
        x.clone().matmul(weight.val().unsqueeze()).reshape([batch, rows, self.heads, dim / self.heads])
    }
}

fn rotate(x: Tensor<4>, start: usize) -> Tensor<4> {
    let channels = x.dims()[3];
    ops::rotary(x, start, &Rotary { base: 100.0, channels, layout: RotaryLayout::HalfSplit })
}

impl<const FAULT: u8> Sublayer for Pooled<FAULT> {
    type Options = NoOptions;

    fn new(config: &ModelConfig, _layer: &LayerSpec, device: &Device) -> Self {
        let matrix = || Param::from_tensor(Tensor::zeros([config.dim, config.dim], device));
        Self { query: matrix(), key: matrix(), heads: config.heads }
    }

    fn facts(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Facts {
        let row = [config.heads, config.head_dim()];
        let most = 1 << 20;
        Facts {
            parameters: 2 * (config.dim * config.dim) as u64,
            state: ["query", "key"].map(|name| StateTensor::rows(name, (rows.len(), most), row)).into(),
            reach: Reach::Stream,
            movable: Some(1),
            ..Facts::of(rows)
        }
    }

    fn mix(
        &self,
        x: Tensor<3>,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        let [batch, rows, dim] = x.dims();
        let (new_q, new_k) = (self.heads(&x, &self.query), self.heads(&x, &self.key));
        let (q, k, before) = match state {
            None => (new_q.clone(), new_k, 0),
            Some(state) => {
                let keep = usize::MAX;
                let (q, k) = (state.push_rows("query", new_q.clone(), keep), state.push_rows("key", new_k, keep));
                (q, k, context.rows.start)
            }
        };
        let (total, first) = (k.dims()[1], context.rows.start - before);
        let (turned_q, turned_k) = (rotate(new_q.clone(), context.rows.start), rotate(k.clone(), first));
        let span = Listing::Span { length: SPAN, start: before, table: 0 };
        let direct = ListedPart { q: turned_q.clone(), k: turned_k.clone(), v: k.clone(), rows: span };
        let sets = match FAULT {
            PRESENT_SPAN => total / SPAN,
            _ => (total - 1) / SPAN,
        };
        let (pooled_q, pooled_k, new_q) = match FAULT {
            ROTARY_BEFORE_POOLING => (rotate(q, first), turned_k, turned_q),
            _ => (q, k.clone(), new_q),
        };
        let from = if FAULT == SHIFTED_SPANS && before > 0 { 1 } else { 0 };
        let [pooled_q, pooled_k, v] = [pooled_q, pooled_k, k].map(|x| x.narrow(1, from, total - from));
        let sets = sets.min((total - from) / SPAN);
        let read = if FAULT == PRESENT_SPAN { before + SPAN } else { before };
        // Where nothing follows the last span, it is no set yet.
        let needed = Listing::Spans { length: SPAN, start: read }.count(rows - 1);
        let summaries = (needed > 0 && sets >= needed).then(|| {
            let members = Listing::SpanMembers { length: SPAN };
            let [of_q, of_k] = [pooled_q, pooled_k.clone()].map(|x| ops::listed_maximum(x, members, sets));
            let part = ListedPart { q: of_q, k: pooled_k, v, rows: members };
            let v = ops::listed(part, None, 1.0);
            ListedPart { q: new_q, k: of_k, v, rows: Listing::Spans { length: SPAN, start: read } }
        });
        ops::listed(direct, summaries, 1.0).reshape([batch, rows, dim])
    }
}

fn failures<const FAULT: u8>() -> Vec<&'static str> {
    let config = ModelConfig { vocab: 31, dim: 16, heads: 2, depth: 2, context: 25, ..ModelConfig::default() };
    let subject = MixerSubject::<Pooled<FAULT>>::new("pooled", &config, 11).unwrap();
    verify(&subject, Effort { positions: 24, ..Effort::THOROUGH }, &mut |_| ()).unwrap().failures()
}

#[test]
fn summaries_of_finished_spans_pass() {
    assert_eq!(failures::<SOUND>(), [""; 0]);
}

#[test]
fn their_faults_are_caught() {
    assert!(failures::<PRESENT_SPAN>().contains(&"causality"), "{:?}", failures::<PRESENT_SPAN>());
    assert_eq!(failures::<ROTARY_BEFORE_POOLING>(), ["relative-positions"]);
    assert!(failures::<SHIFTED_SPANS>().contains(&"forward-extend"), "{:?}", failures::<SHIFTED_SPANS>());
}
