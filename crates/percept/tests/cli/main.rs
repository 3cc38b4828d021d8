//! End-to-end tests of the real binary, as users start it.

mod bad_input;
mod bench;
mod compare;
mod help;
mod interruption;
#[cfg(target_os = "linux")]
mod memory;
mod models;
mod own_files;
mod pipeline;
mod quickstart;
mod report;
mod runs;
#[cfg(unix)]
mod streams;
mod suites;
mod support;
