//! How much the distribution of a source counts, by the offset of its target.

/// How fast weights fall with the distance, for offsets from 1 on and for those up to 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Falloff {
    pub(super) forward: f64,
    pub(super) backward: f64,
}

/// Of drafts: the next token, and all that look back.
pub(super) const DRAFT: Falloff = Falloff { forward: 8.0, backward: 1.0 / 8.0 };
/// Of verification.
pub(super) const VERIFY: Falloff = Falloff { forward: 1.0, backward: 1.0 };

impl Falloff {
    /// The weight of an offset where `backward` offsets before a source are asked. A source that has just seen a token, and the one after,
    /// count less than the next: they may repeat it.
    pub(super) fn weight(self, offset: isize, backward: usize) -> f64 {
        let distance = match offset {
            1.. => return (-self.forward * (offset - 1) as f64).exp(),
            0 if backward == 0 => return 0.1,
            0 => 2,
            -1 => 1,
            _ => offset.unsigned_abs() - 2,
        };
        (-self.backward * distance as f64).exp()
    }
}
