//! `decode::Team` of `percept-kernels`, its very source, over loom's primitives. tests/team.rs runs through the orders in which its
//! threads may meet and through the values that weak memory may show them: `cargo test --release --manifest-path loom/Cargo.toml`.

mod sync;
#[path = "../../crates/kernels/src/decode/team/mod.rs"]
mod team;

pub use team::{Crew, Team};
