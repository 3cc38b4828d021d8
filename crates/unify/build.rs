//! Does nothing; see the build dependencies in Cargo.toml.

fn main() {
    // Else any change of the tests here would have everything built again.
    println!("cargo::rerun-if-changed=build.rs");
}
