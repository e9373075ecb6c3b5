//! Leader election: whether this process leads is checked last before every mutating call.
//!
//! One replica leads and works, the others stand by. Leadership only saves work: what keeps two processes apart is the
//! compare-and-swap on the record, and the limited life of a signed request; nothing here may be relied on for
//! correctness.
//!
//! - [`election`]: the rules, pure
//! - [`lease`]: the Lease on the API server, read and written by those rules
//! - [`leadership`]: leadership as a value with an end, asked before each call

pub mod election;
pub mod leadership;
pub mod lease;

pub use election::{ElectionTimes, LeadershipLoss};
pub use leadership::{LeaderPermit, Leadership};
pub use lease::{Candidate, LEASE_NAME};
