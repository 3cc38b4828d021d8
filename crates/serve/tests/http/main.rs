//! Tests against a running server.

mod answers;
mod bad_requests;
mod completions;
mod connections;
mod limits;
mod logs;
mod metrics;
mod neighbours;
mod openapi;
mod page;
mod prefixes;
mod states;
mod stopping;
mod support;
mod tokenizers;
mod written;
