//! Tests against a running server.

mod bad_requests;
mod completions;
mod limits;
mod openapi;
mod page;
mod prefixes;
mod states;
mod support;
