//! The core, without sockets and without waiting: one binary, so that it links once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly, as tests do"
)]

mod client;
mod describe;
mod faults;
mod lifecycle;
mod metadata;
mod signature;
mod sts;
