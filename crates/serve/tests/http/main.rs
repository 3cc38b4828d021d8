//! Tests against a running server.

mod bad_requests;
mod completions;
mod limits;
mod logs;
mod openapi;
mod support;
mod tokenizers;
