//! The Kubernetes side: reading and writing objects, what this process knows of the records, Secrets read by name, and whom a change
//! wakes. It knows nothing of Alibaba Cloud, and decides nothing.

mod cached;
pub mod client;
mod error;
pub mod fingerprint;
pub mod guarded;
pub mod ledger;
mod measure;
mod object_index;
pub mod objects;
pub mod policies;
mod record_index;
pub mod requests;
pub mod secrets;
pub mod unanswered;
pub mod unreadable;
pub mod wake;

pub use client::Cluster;
pub use error::ClusterError;
pub use unanswered::unanswered;
