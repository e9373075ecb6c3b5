//! The decisions: pure functions from what was observed to what is to be done.
//!
//! Nothing here is async, does I/O, reads a clock or draws a random number; it imports `api`, time types, `sha2`
//! and `thiserror`. A test reads the `use` lines. That is what makes the protocol testable state by state, and what a model
//! search runs.
//!
//! Two wings that do not know each other, over one floor that both use:
//!
//! - [`reset`]: the machine of a `PasswordReset`: which instances may start now, and what its status says
//! - [`claim`]: the machine of one claimed instance: the next step, and the record after it
//! - the floor: [`reading`], [`bounds`], [`hold`], [`history`] (what each owner has had done), [`budget`] (slots), [`memory`] (whether
//!   what is remembered can be relied on), [`resolution`] (a person's decision), [`row`]

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
pub mod row;
#[cfg(test)]
pub(crate) mod words_tests;

pub(crate) use self::bounds::{MINUTE, after, later};
pub use self::bounds::{ProtocolBounds, SEND_WINDOW, is_drained, minute, newest_moment, reckoned};
pub use self::hold::Hold;
pub(crate) use self::reading::settled;
pub use self::reading::{InstanceView, Power, Reading};
