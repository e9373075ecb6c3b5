//! The shell around the decisions: reads, asks [`crate::decide`], writes, calls.
//!
//! ```text
//! watch ─▶ trigger ─▶ observe ─▶ decide ─▶ store(intent, CAS) ─▶ send ─▶ fold ─▶ store(outcome, CAS) ─▶ requeue
//! ```
//! Three reconcilers share that shape: [`password_reset`] decides which instances may start now and writes claims,
//! [`reset_record`] drives one claimed instance, [`ecs_account`] looks after credentials. Status flows back up. What they reach the API
//! server by is in [`crate::cluster`], what they reach Alibaba Cloud by in [`crate::cloud`].

pub mod context;
pub mod ecs_account;
pub mod pass;
pub mod password_reset;
pub mod per_object;
pub mod reset_record;
pub mod secret_changes;
pub mod turns;

pub use context::{Context, Synced};
pub use per_object::PerObject;
