//! Buffers of a step, for some number of rows (streams).

use super::layer::Layer;

/// Grows to the largest number of rows, and never shrinks.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    rows: usize,
    dim: usize,
    pairs: usize,
    /// The residual stream `[rows, d]`.
    pub(super) x: Vec<f32>,
    /// Normalised `[rows, d]`.
    pub(super) normalised: Vec<f32>,
    /// Queries, keys and values as projected `[rows, (H + 2 G) e]`.
    pub(super) projected: Vec<f32>,
    /// Queries `[rows, H e]`, ready for attention.
    pub(super) queries: Vec<f32>,
    /// A row of keys `[G e]` on its way into the ring.
    pub(super) keys: Vec<f32>,
    /// `[rows, H, capacity]`.
    pub(super) scores: Vec<f32>,
    /// `[rows, H e]`.
    pub(super) attended: Vec<f32>,
    /// Inside the feed-forward sublayer, `[rows, hidden]`.
    pub(super) hidden: Vec<f32>,
    /// Cosines `[rows, pairs]` of the angles of each row's position.
    pub(super) cos: Vec<f32>,
    /// Their sines.
    pub(super) sin: Vec<f32>,
}

impl Workspace {
    /// Makes room for `rows` rows of a model.
    pub(super) fn prepare(&mut self, rows: usize, dim: usize, pairs: usize, layers: &[Layer]) {
        (self.rows, self.dim, self.pairs) = (rows, dim, pairs);
        let most = |of: fn(&Layer) -> usize| layers.iter().map(of).max().unwrap_or(0);
        for (buffer, size) in [
            (&mut self.x, dim),
            (&mut self.normalised, dim),
            (&mut self.projected, most(|layer| layer.projection.outputs())),
            (&mut self.queries, most(|layer| layer.output.inputs())),
            (&mut self.attended, most(|layer| layer.output.inputs())),
            (&mut self.scores, most(|layer| layer.heads * layer.ring.capacity)),
            (&mut self.hidden, most(|layer| layer.down.inputs())),
            (&mut self.cos, pairs),
            (&mut self.sin, pairs),
        ] {
            if buffer.len() < rows * size {
                buffer.resize(rows * size, 0.0);
            }
        }
        let keys = most(|layer| layer.ring.groups * layer.ring.width);
        self.keys.resize(self.keys.len().max(keys), 0.0);
    }

    pub(super) fn x_row(&mut self, row: usize) -> &mut [f32] {
        &mut self.x[row * self.dim..][..self.dim]
    }

    pub(super) fn residual_and_normalised(&mut self) -> (&mut [f32], &mut [f32]) {
        let size = self.rows * self.dim;
        (&mut self.x[..size], &mut self.normalised[..size])
    }

    /// Sets the angles of a row. They are computed in f64: at position 1,000,000 an f32 product is off by 0.06 rad.
    pub(super) fn turn(&mut self, row: usize, position: usize, frequencies: &[f64]) {
        let at = row * self.pairs;
        for (i, frequency) in frequencies.iter().enumerate() {
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            (self.sin[at + i], self.cos[at + i]) = (sin as f32, cos as f32);
        }
    }
}
