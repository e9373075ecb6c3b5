//! The decisions: pure functions from facts to the next step.
//!
//! Nothing here is async, does I/O, reads a clock or draws a random number; it imports `api` and a few crates of plain values, which
//! `tests/architecture` lists. The protocol can therefore be tested state by state, and a model search can run it.
//!
//! Two wings that do not know each other, over one shared floor:
//!
//! - [`reset`]: the machine of a `PasswordReset`: which instances may start now, and what its status says
//! - [`claim`]: the machine of one claimed instance: the next step, and the record after it
//! - the floor: [`reading`], [`bounds`], [`hold`], [`history`] (what each owner has had done), [`budget`] (slots), [`memory`] (whether
//!   what is remembered can be relied on), [`resolution`] (a person's decision), [`restart_hold`] and [`windows`] (whether a restart may
//!   be requested now), [`row`]

pub mod bounds;
pub mod budget;
pub mod claim;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod history;
pub mod hold;
pub mod memory;
pub mod reading;
pub mod reset;
pub mod resolution;
pub mod restart_hold;
pub mod row;
pub mod windows;
#[cfg(test)]
pub(crate) mod words_tests;

pub(crate) use self::bounds::{MINUTE, after, later};
pub use self::bounds::{ProtocolBounds, SEND_WINDOW, is_drained, minute, newest_moment, reckoned, second};
pub use self::hold::Hold;
pub use self::reading::{InstanceView, Power, Reading};
pub(crate) use self::reading::{fresh, fresh_view, settled};
