//! Does nothing; see the build dependencies in Cargo.toml.

fn main() {}
