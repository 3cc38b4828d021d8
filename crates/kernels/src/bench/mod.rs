//! The kernels on inputs of a training step's shapes, and the peaks of the machine to hold their speed against.
//!
//! `percept bench kernels` and the criterion benches (`cargo bench --manifest-path benches/Cargo.toml`) time the same cases.

mod cases;
mod peak;
mod products;

pub use cases::{Shapes, cases};
pub use peak::{amx_peak, bf16_peak, fma_peak, read_bandwidth};
pub use products::{ProductRate, product_rates};

use std::fmt;

/// What limits a kernel on an ideal machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Multiply-adds in f32.
    Arithmetic,
    /// Products in bf16 with sums in f32, in vectors.
    Bf16Arithmetic,
    /// The same in tiles, by AMX.
    AmxArithmetic,
    /// Bytes that are moved.
    Memory,
}

/// One kernel on inputs of one shape.
pub struct Case {
    /// Kernel, direction and shape.
    pub name: String,
    /// What limits it.
    pub bound: Bound,
    /// Operations of a call; a multiply-add counts as two. Functions such as exp are not counted.
    pub flops: f64,
    /// Bytes that a call must read and write at least.
    pub bytes: f64,
    prepare: Box<dyn Fn() -> Box<dyn FnMut()>>,
}

impl Case {
    /// Allocates the inputs; every call of what is returned runs the kernel once.
    pub fn prepare(&self) -> Box<dyn FnMut()> {
        (self.prepare)()
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}
