//! What a sublayer promises about itself, as formulas of the configuration.

use percept_kernels::{Pattern, Visibility};

use super::{ElementBytes, Rows, StateTensor};
use crate::cost::Call;

/// What a sublayer promises for a window, or a stream, of some rows. Files, byte counts, the cost model and the checks
/// are driven by it.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Number of weights.
    pub parameters: u64,
    /// The rows that leave the sublayer.
    pub rows_after: Rows,
    /// The products of its forward pass.
    pub work: Vec<Call>,
    /// Attention scores, in whole segments and windows as the papers count them (spec, section 2). What is executed is
    /// less where a mask is causal: see [`Facts::work`].
    pub score_entries: u64,
    /// What training keeps of the forward pass, per window.
    pub activations: Activations,
    /// The state after these rows.
    pub state: Vec<StateTensor>,
    /// How far back its output can depend on its input.
    pub reach: Reach,
    /// Whether it sees only what came before.
    pub direction: Direction,
    /// Where the rows of a whole window, all of them moved on by a multiple of so many positions, give the same: it knows distances and no
    /// positions. `None` promises nothing.
    pub movable: Option<usize>,
}

/// Elements that training holds for one window in a sublayer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activations {
    /// Kept from the forward to the backward pass.
    pub kept: u64,
    /// Kept too where no kernel is fused (devices other than the CPU).
    pub unfused: u64,
    /// Gradients that exist at one time inside the backward pass.
    pub flow: u64,
}

/// Which inputs can matter for the output at a position.
///
/// ```
/// use percept_kernels::Pattern;
/// use percept_model::layer::Reach;
/// let segments = Reach::Patterns(vec![Pattern::SegmentPair { length: 100 }]);
/// assert_eq!(segments.earliest(250), 100);
/// // Through three layers it goes three segments back, and further back at the end of a segment than at its start.
/// let through_three = |position| (0..3).fold(position, |at, _| segments.earliest(at));
/// assert_eq!((through_three(500), through_three(599)), (200, 200));
/// assert!(segments.is_constant() && !Reach::Context(4096).is_constant());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Its own only.
    Position,
    /// The last so many, its own included; the number does not depend on the context.
    Last(usize),
    /// Those that an attention pattern of fixed length shows, for one of several groups of heads.
    Patterns(Vec<Pattern>),
    /// The last `model.context` ones.
    Context(usize),
    /// Everything in the window.
    Window,
    /// Everything since the start of the stream, through a state of fixed size.
    Stream,
}

impl Reach {
    /// The earliest position that can influence the output at `position`.
    pub fn earliest(&self, position: usize) -> usize {
        let first = |pattern: &Pattern| {
            Visibility { pattern: *pattern, query_start: position, key_start: 0 }.range(0, position + 1).start
        };
        match self {
            Self::Position => position,
            Self::Last(count) | Self::Context(count) => (position + 1).saturating_sub(*count),
            Self::Patterns(patterns) => patterns.iter().map(first).min().unwrap_or(position),
            Self::Window | Self::Stream => 0,
        }
    }

    /// Whether a stream needs no more state, however long the context is.
    pub fn is_constant(&self) -> bool {
        !matches!(self, Self::Context(_) | Self::Window)
    }
}

/// What a position may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// A scored row sees nothing after it.
    Causal,
    /// A row sees the whole window: for encoders, which no language model can be made of.
    Bidirectional,
}

/// How a stream past the training window is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Windowing {
    /// Its state is carried on for ever.
    Carried,
    /// Its window is cut into history and latents (spec, section 5).
    Latents {
        /// Most latents l.
        latents: usize,
        /// Those that a reset leaves; l where a state can't be extended: then the window is run again for every token.
        fill: usize,
    },
    /// It knows the positions 0 .. n only: past n, windows are run again, the next one `stride` positions further.
    Sliding {
        /// Positions between two windows.
        stride: usize,
    },
}

impl Facts {
    /// A sublayer without weights, work or state, through which `rows` pass as they are.
    pub fn of(rows: Rows) -> Self {
        Self {
            parameters: 0,
            rows_after: rows,
            work: Vec::new(),
            score_entries: 0,
            activations: Activations::default(),
            state: Vec::new(),
            reach: Reach::Position,
            direction: Direction::Causal,
            movable: None,
        }
    }

    /// Elements of the state.
    pub fn state_elements(&self) -> usize {
        self.state.iter().map(StateTensor::elements).sum()
    }

    /// Bytes of the state.
    pub fn state_bytes(&self, each: ElementBytes) -> usize {
        self.state.iter().map(|tensor| tensor.elements() * each.of(tensor)).sum()
    }

    /// The most bytes that the state ever has.
    pub fn most_state_bytes(&self, each: ElementBytes) -> usize {
        self.state.iter().map(|tensor| tensor.capacity() * tensor.width() * each.of(tensor)).sum()
    }

    /// The most elements that the state ever has.
    pub fn state_limit(&self) -> usize {
        self.state.iter().map(|tensor| tensor.capacity() * tensor.width()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reach_follows_the_patterns() {
        let halves = [0, 3].map(|shift| Pattern::CausalBlocks { length: 6, shift });
        let reach = Reach::Patterns(halves.to_vec());
        assert_eq!([0, 5, 6, 8, 9].map(|at| reach.earliest(at)), [0, 0, 3, 3, 6]);
        assert_eq!([0, 3, 9].map(|at| Reach::Last(4).earliest(at)), [0, 0, 6]);
        assert_eq!((Reach::Position.earliest(7), Reach::Stream.earliest(7)), (7, 0));
        assert!(Reach::Stream.is_constant() && !Reach::Context(9).is_constant());
    }
}
