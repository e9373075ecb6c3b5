//! The machine of one claimed instance: [`next`] says what to do next, [`transition`] what the record is after it.
//!
//! It knows nothing of the `PasswordReset` machine beside it.

pub mod backoff;
pub mod consent;
pub mod next;
mod reboot;
mod release;
pub mod start_time;
pub mod step;
pub mod transition;
#[cfg(test)]
mod words_tests;
