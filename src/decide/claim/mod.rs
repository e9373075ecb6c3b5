//! The machine of one claimed instance: [`next`] says what to do next, [`transition`] what the record is after it.
//!
//! It knows nothing of the `PasswordReset` machine beside it.

pub mod backoff;
pub mod consent;
pub mod next;
mod proof;
mod release;
mod restart;
pub mod start_time_evidence;
pub mod step;
pub mod transition;
#[cfg(test)]
mod words_tests;
