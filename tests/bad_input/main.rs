//! Bad input, each kind with a message of its own and nothing called: at admission where CEL can see it, else as a
//! condition on the object that is to blame. Mending the cause is enough, and no neighbour suffers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // helpers fail as tests do

mod admission;
mod bounds;
#[path = "../common/mod.rs"]
mod common;
mod conditions;
mod stored;
