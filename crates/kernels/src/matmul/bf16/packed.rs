//! A right operand that stays packed for several products of one thread.

use super::kernel::{GROUP, Kernel};
use super::pack::{Block, Line};
use super::{Panels, Part};
use crate::matmul::{Output, Shared, Threads, View};
use std::cell::RefCell;
use std::ops::Range;

/// Columns of its panels. Two vectors, so that parts begin at the same multiples in both directions.
pub(crate) const STEP: usize = GROUP;

/// A matrix, rounded and packed.
pub(crate) struct Packed<K> {
    panels: Panels<K>,
    lines: Vec<Line>,
}

thread_local! {
    /// Memory of operands that are gone, for those to come.
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

impl<K: Kernel> Packed<K> {
    /// # Safety
    /// The processor has AVX512-BF16, AVX512-BW and what the kernel needs; the view contains the shape.
    pub(crate) unsafe fn new(view: View<'_>, (depth, columns): (usize, usize)) -> Self {
        let panels = Panels::new((depth, columns), STEP);
        let mut lines = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
        lines.resize(lines.len().max(panels.lines()), Line::default());
        let block = Block { view, top: 0, left: 0, rows: depth, columns };
        // SAFETY: forwarded to the caller.
        unsafe { panels.pack(block, &mut lines, Threads::One) };
        Self { panels, lines }
    }

    /// `out (+)= a * self [depth, columns]`.
    ///
    /// # Panics
    /// If the part is outside the matrix or empty, or begins or ends where no panel or group does.
    ///
    /// # Safety
    /// As `Operand::multiply`; and `a` contains its shape.
    pub(crate) unsafe fn multiply(
        &self,
        (depth, columns): (Range<usize>, Range<usize>),
        rows: usize,
        (out, stride, output): (*mut f32, usize, Output),
        a: View<'_>,
    ) {
        let Panels { depth: deep, columns: wide, .. } = self.panels;
        let whole = |part: &Range<usize>, end: usize| {
            let ends = part.end == end || part.end.is_multiple_of(STEP) && part.end < end;
            ends && part.start.is_multiple_of(STEP) && part.start < part.end
        };
        assert!(whole(&depth, deep) && whole(&columns, wide), "a part of an operand begins or ends inside a step");
        let part = Part { top: depth.start, left: columns.start, columns: columns.len() };
        let a = Block { view: a, top: 0, left: 0, rows, columns: depth.len() };
        crate::cost::count(rows, columns.len(), depth.len());
        // SAFETY: forwarded to the caller.
        unsafe { self.panels.multiply(part, a, &self.lines, (Shared(out), stride, output), Threads::One) };
    }
}

impl<K> Drop for Packed<K> {
    fn drop(&mut self) {
        FREE.with_borrow_mut(|free| free.push(std::mem::take(&mut self.lines)));
    }
}
