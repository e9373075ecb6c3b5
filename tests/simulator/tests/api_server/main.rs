//! The Kubernetes API server in memory, held to what a real one promises. No sockets, no waiting, no `kube`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly, as tests do"
)]

mod client;
mod lists;
mod watches;
mod writes;
