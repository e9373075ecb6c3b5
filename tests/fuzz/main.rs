//! Bad bytes: everything that this program reads and did not write, by proptest, near a committed corpus. Each target says more
//! than "no panic": what was read is what was there, no error shows a secret, nothing grows without bound, no record that makes
//! no sense leads to a call.
//!
//! This is not coverage-guided fuzzing, which needs a C++ compiler or a nightly Rust. An input that fails is made as small as it
//! can be, written to a file and named; put into `corpus/<target>/` it is replayed by every run from then on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // helpers fail as tests do

mod credentials;
mod ecs;
mod near;
mod objects;
mod records;
mod settings;
