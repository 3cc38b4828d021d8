//! The report, seen from outside: what the page, the table and the files hold, and how a browser shows the page.

mod browser;
mod failures;
mod files;
mod fixture;
mod page;
mod suite;
