//! Attention on a grid as a mixer, with summaries of columns or of rows: its faults are caught by name.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use percept_model::config::LayerSpec;
use percept_model::layer::{Carry, Facts, LayerContext, LayerState, NoOptions, Reach, StateTensor, Sublayer};
use percept_model::ops::{self, Axes, AxesTable, ListedPart, Listing};
use percept_model::{ModelConfig, Rows};

use super::*;

/// A summary of every other column, as far as it lies in earlier rows.
const COLUMNS: u8 = 0;
/// Those summaries include the present row, which is not finished.
const COLUMNS_WITH_PRESENT_ROW: u8 = 1;
/// A stream does not add the row that it has just finished.
const COLUMNS_WITHOUT_LAST_ROW: u8 = 2;
/// A summary of every earlier row for the own column.
const ROWS: u8 = 3;
/// One of the present row is read too, which looks ahead.
const PRESENT_ROW_READ: u8 = 4;

/// Positions of a row.
const LENGTH: usize = 5;

/// The own row directly, and with summaries of columns the own column; a stream keeps all rows.
#[derive(Module, Debug)]
struct Grid<const KIND: u8> {
    query: Param<Tensor<2>>,
    key: Param<Tensor<2>>,
    heads: usize,
}

impl<const KIND: u8> Grid<KIND> {
    fn heads(&self, x: &Tensor<3>, weight: &Param<Tensor<2>>) -> Tensor<4> {
        let [batch, rows, dim] = x.dims();
        x.clone().matmul(weight.val().unsqueeze()).reshape([batch, rows, self.heads, dim / self.heads])
    }

    /// Summaries of columns for `rows` rows of the grid from its second on.
    fn columns(&self, q: Tensor<4>, k: Tensor<4>, rows: usize) -> [Tensor<4>; 2] {
        let first = if KIND == COLUMNS_WITH_PRESENT_ROW { 2 } else { 1 };
        let (members, sets) = (Listing::Column { length: LENGTH, start: first * LENGTH }, rows * LENGTH);
        let [of_q, of_k] = [q, k.clone()].map(|x| ops::listed_maximum(x, members, sets));
        let value = ops::listed(ListedPart { q: of_q, k: k.clone(), v: k, rows: members }, None, 1.0);
        [of_k, value]
    }

    /// Summaries of the first `rows` rows for each of their columns.
    fn rows(&self, q: Tensor<4>, k: Tensor<4>, rows: usize) -> [Tensor<4>; 2] {
        let sets = rows * LENGTH;
        let (q, members) = (q.narrow(1, 0, sets), Listing::WholeSpan { length: LENGTH });
        let value = ops::listed(ListedPart { q, k: k.clone(), v: k.clone(), rows: members }, None, 1.0);
        [k.narrow(1, 0, sets), value]
    }
}

/// Zeros for what is missing of the last row.
fn filled(x: Tensor<4>) -> Tensor<4> {
    let [batch, rows, heads, width] = x.dims();
    let missing = rows.next_multiple_of(LENGTH) - rows;
    match missing {
        0 => x,
        _ => Tensor::cat(vec![x.clone(), Tensor::zeros([batch, missing, heads, width], (&x.device(), x.dtype()))], 1),
    }
}

impl<const KIND: u8> Sublayer for Grid<KIND> {
    type Options = NoOptions;

    fn new(config: &ModelConfig, _layer: &LayerSpec, device: &Device) -> Self {
        let matrix = || Param::from_tensor(Tensor::zeros([config.dim, config.dim], device));
        Self { query: matrix(), key: matrix(), heads: config.heads }
    }

    fn facts(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Facts {
        let (row, most) = ([config.heads, config.head_dim()], 1 << 20);
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
        let dims = x.dims();
        let (new_q, new_k) = (self.heads(&x, &self.query), self.heads(&x, &self.key));
        let (q, k, start) = match state {
            None => (new_q.clone(), new_k, 0),
            Some(state) => {
                let keep = usize::MAX;
                let (q, k) = (state.push_rows("query", new_q.clone(), keep), state.push_rows("key", new_k, keep));
                (q, k, context.rows.start)
            }
        };
        let finished = (k.dims()[1] - 1) / LENGTH;
        let (q, all) = (filled(q), filled(k.clone()));
        let made = |rows: usize| match KIND {
            _ if rows == 0 => None,
            ROWS | PRESENT_ROW_READ => Some(self.rows(q, all, rows)),
            _ => Some(self.columns(q, all, rows)),
        };
        let (made, direct, read) = match KIND {
            COLUMNS | COLUMNS_WITH_PRESENT_ROW | COLUMNS_WITHOUT_LAST_ROW => {
                let late = KIND == COLUMNS_WITHOUT_LAST_ROW && start >= 2 * LENGTH;
                let table = AxesTable { columns_of: if late { 2 } else { 1 }, sides: 0 };
                let read = Listing::Axes { length: LENGTH, start, axes: Axes::Vertical, table };
                (made(finished), Listing::Cross { length: LENGTH, start }, read)
            }
            _ => {
                let own = usize::from(KIND == PRESENT_ROW_READ);
                let read = Listing::Column { length: LENGTH, start: start + own * LENGTH };
                let direct = Listing::Span { length: LENGTH, start, table: 0 };
                (made(finished + own), direct, read)
            }
        };
        let direct = ListedPart { q: new_q.clone(), k: k.clone(), v: k, rows: direct };
        let summaries = made.map(|[k, v]| ListedPart { q: new_q, k, v, rows: read });
        ops::listed(direct, summaries, 1.0).reshape(dims)
    }
}

fn failures<const KIND: u8>() -> Vec<&'static str> {
    let config = ModelConfig { vocab: 31, dim: 16, heads: 2, depth: 2, context: 25, ..ModelConfig::default() };
    let subject = MixerSubject::<Grid<KIND>>::new("grid", &config, 11).unwrap();
    verify(&subject, Effort { positions: 24, ..Effort::THOROUGH }, &mut |_| ()).unwrap().failures()
}

#[test]
fn summaries_of_finished_rows_pass() {
    assert_eq!(failures::<COLUMNS>(), [""; 0]);
    assert_eq!(failures::<ROWS>(), [""; 0]);
}

#[test]
fn their_faults_are_caught() {
    let caught = |failures: Vec<&str>, name: &str| assert!(failures.contains(&name), "{name} missed: {failures:?}");
    caught(failures::<COLUMNS_WITH_PRESENT_ROW>(), "causality");
    caught(failures::<COLUMNS_WITHOUT_LAST_ROW>(), "forward-extend");
    caught(failures::<PRESENT_ROW_READ>(), "causality");
}
