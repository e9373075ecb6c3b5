//! The machine of a `PasswordReset`: which of its instances may be claimed now, what its run is, and what its status says.
//!
//! It knows nothing of the machine that drives a claim.

mod eligibility;
pub mod events;
pub mod facts;
pub mod password_rules;
pub mod plan;
mod planned;
pub mod remembered;
pub mod rows;
pub mod runs;
#[cfg(test)]
mod secret_tests;
#[cfg(test)]
mod slots_tests;
pub mod status;
mod summary;
pub mod targets;
mod waiting;
#[cfg(test)]
mod when_tests;
#[cfg(test)]
mod words_tests;
