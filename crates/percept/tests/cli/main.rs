//! End-to-end tests of the real binary, as users start it.

mod bad_input;
mod bench;
mod compare;
mod formats;
mod help;
mod interruption;
#[cfg(target_os = "linux")]
mod memory;
mod models;
mod pipeline;
mod quickstart;
mod report;
mod runs;
mod suites;
mod support;
