//! A Kubernetes controller that resets the logon passwords of Alibaba Cloud ECS instances declaratively.
//!
//! ```text
//! watch ─▶ trigger ─▶ observe ─▶ decide ─▶ record(intent, CAS) ─▶ act ─▶ fold ─▶ record(outcome, CAS) ─▶ requeue
//!         (stream)   (reads)    (pure)     409 ⇒ stop, requeue   (1 call) (pure)
//! ```
//! Dependencies point inward: `api ← decide ← reconcile → credentials → ecs`.
//!
//! - [`api`]: the contract, three kinds as serde types and schema
//! - [`decide`]: the decisions, pure functions from what was observed to what is to be done
//! - [`reconcile`]: the shell around them, one reconciler for each kind
//! - [`ecs`]: a typed client for ECS and STS that knows nothing of Kubernetes
//! - [`credentials`]: where an account's credentials come from
//! - [`leader`]: leadership as a value that each changing call needs
//! - [`run`]: wiring, and the order of shutdown
//! - [`cli`], [`telemetry`], [`metrics`], [`admin`]: settings, logs, figures, and the port that shows them
//! - [`version`]: version and commit
//! - [`clock`]: the only reader of wall time
//! - [`failpoint`]: points at which a test kills the process; nothing without the feature `failpoints`

pub mod admin;
pub mod api;
pub mod cli;
pub mod clock;
pub mod credentials;
pub mod decide;
pub mod ecs;
pub mod failpoint;
pub mod leader;
pub mod metrics;
pub mod reconcile;
pub mod run;
pub mod telemetry;
pub mod version;
