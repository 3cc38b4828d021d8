//! End-to-end tests of the real binary, as users start it.

mod bad_input;
mod bench;
mod budget;
#[cfg(unix)]
mod cluster;
mod compare;
mod decoders;
mod encoders;
mod exported_tokenizers;
mod formats;
mod help;
#[cfg(target_os = "linux")]
mod hostile;
mod imports;
mod interruption;
mod keys_values;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(all(target_os = "linux", not(any(feature = "cuda", feature = "vulkan", feature = "metal"))))]
mod linked;
#[cfg(target_os = "linux")]
mod models;
mod own_files;
mod parts;
mod pipeline;
mod precision;
mod problems;
mod quickstart;
mod report;
mod resume;
mod runs;
#[cfg(unix)]
mod serve;
#[cfg(unix)]
mod served_runs;
#[cfg(unix)]
mod serving;
mod states;
mod streams;
mod suite;
mod suites;
mod support;
mod tokenizers;
mod tune;
