//! Empty: this crate's dependencies switch on the same features of shared libraries for every
//! selection of crates, so that `cargo run`, `cargo test --workspace` and `cargo test -p X` share one
//! build of them instead of compiling Burn once for each.
