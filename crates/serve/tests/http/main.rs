//! Tests against a running server.

mod answers;
mod bad_requests;
mod completions;
mod limits;
mod logs;
mod metrics;
mod openapi;
mod stopping;
mod support;
mod tokenizers;
mod written;
