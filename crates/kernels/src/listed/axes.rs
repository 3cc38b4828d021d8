//! Sets of a grid: positions lie in rows of some length, one row below the other.

use super::Run;

/// What comes left of the own column in an earlier row, and what comes right of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    /// A set each.
    Apart,
    /// One set.
    Joined,
}

/// Which sets of a grid stand for the positions outside the own row and the own column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axes {
    /// Every other column, as far as it lies in earlier rows.
    Vertical,
    /// Every earlier row, without the own column.
    Horizontal(Sides),
    /// Both, so that each of these positions counts twice.
    Both(Sides),
}

/// Where the sets of a grid lie in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AxesTable {
    /// The row of the grid whose sets of columns, one for each column, the table begins with; those of the rows after it follow.
    pub columns_of: usize,
    /// Where the sets of sides begin: [`Sides::sets`] for each row of the grid, column by column.
    pub sides: usize,
}

impl Sides {
    /// Sets of a row of so many positions.
    ///
    /// ```
    /// use percept_kernels::Sides;
    /// assert_eq!([Sides::Apart, Sides::Joined].map(|sides| sides.sets(4)), [8, 4]);
    /// ```
    pub fn sets(self, length: usize) -> usize {
        self.each() * length
    }

    /// Sets for each column.
    fn each(self) -> usize {
        match self {
            Self::Apart => 2,
            Self::Joined => 1,
        }
    }

    /// The members of one of the sets of a table that begins with a row; none where there is nothing on that side.
    pub(super) fn members(self, length: usize, set: usize, mut see: impl FnMut(Run)) {
        let (row, column) = (set / self.sets(length), set / self.each() % length);
        let left = Run::of(row * length, column);
        let right = Run::of(row * length + column + 1, length - column - 1);
        match (self, set % 2) {
            (Self::Apart, 0) => see(left),
            (Self::Apart, _) => see(right),
            (Self::Joined, _) => [left, right].into_iter().for_each(see),
        }
    }

    /// Members of all sets before one.
    pub(super) fn members_before(self, set: u128, length: usize) -> u128 {
        let (made, others) = (self.sets(length) as u128, length.saturating_sub(1) as u128);
        let (rows, rest) = (set / made, set % made);
        let of_rest = match self {
            Self::Apart => rest / 2 * others + rest % 2 * (rest / 2),
            Self::Joined => rest * others,
        };
        rows * length as u128 * others + of_rest
    }
}

impl Axes {
    /// Whether columns are sets.
    pub fn columns(self) -> bool {
        matches!(self, Self::Vertical | Self::Both(_))
    }

    /// How earlier rows are sets, where they are.
    pub fn sides(self) -> Option<Sides> {
        match self {
            Self::Vertical => None,
            Self::Horizontal(sides) | Self::Both(sides) => Some(sides),
        }
    }

    /// The sets that a position reads.
    pub(super) fn read(self, (position, length): (usize, usize), table: AxesTable, mut see: impl FnMut(Run)) {
        let (row, column) = (position / length, position % length);
        if row == 0 {
            return;
        }
        if self.columns() {
            let first = (row - table.columns_of) * length;
            see(Run::of(first, column));
            see(Run::of(first + column + 1, length - column - 1));
        }
        let Some(sides) = self.sides() else { return };
        // Where there is nothing left or right of a column, there is no set to read.
        let there = match sides {
            Sides::Apart => [column > 0, column + 1 < length],
            Sides::Joined => [length > 1, false],
        };
        for side in (0..sides.each()).filter(|side| there[*side]) {
            see(Run { first: table.sides + sides.each() * column + side, stride: sides.sets(length), count: row });
        }
    }

    /// Sets that all positions before one read, counted again for each.
    pub(super) fn read_before(self, position: u128, length: usize) -> u128 {
        let length = length as u128;
        let of_columns = if self.columns() { position.saturating_sub(length) * (length - 1) } else { 0 };
        // Over the positions: their rows; the same where these are the first of a row; where they are the last.
        let (full, begun) = (position / length, position.div_ceil(length));
        let rows = length * triangle(full) + full * (position % length);
        let of_sides = match self.sides() {
            Some(Sides::Apart) => 2 * rows - triangle(begun) - triangle(full),
            Some(Sides::Joined) if length > 1 => rows,
            _ => 0,
        };
        of_columns + of_sides
    }
}

/// 0 + 1 + .. up to, but without, n.
pub(super) fn triangle(n: u128) -> u128 {
    n * n.saturating_sub(1) / 2
}
