//! AMX, the matrix unit of Intel's server processors since Sapphire Rapids: eight registers of 16 rows of 64 bytes, and an
//! instruction that multiplies two of them and adds the product to a third (Intel SDM, volume 1, chapter 18).
//!
//! The intrinsics are unstable in the Rust of this workspace, so the instructions stand in inline assembly. Tests run them on the
//! processor where it has them, and elsewhere on a software model that takes over when the processor refuses one.

mod detect;
#[cfg(all(test, target_os = "linux"))]
pub(crate) mod emulator;
#[cfg(all(test, target_os = "linux"))]
mod tests;
mod tiles;

pub(crate) use detect::is_available;
pub(crate) use tiles::{DEPTH, SIDE, Start, Sums, Tiles};
