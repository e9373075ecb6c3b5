//! A Kubernetes controller that resets the logon passwords of Alibaba Cloud ECS instances declaratively.
//!
//! ```text
//! watch ─▶ trigger ─▶ observe ─▶ decide ─▶ store(intent, CAS) ─▶ send ─▶ fold ─▶ store(outcome, CAS) ─▶ requeue
//!         (stream)   (reads)    (pure)     409 ⇒ stop, requeue   (1 call) (pure)
//! ```
//! Dependencies point inward: `api ← decide ← cluster, cloud ← controllers ← run`, and `cloud → ecs`.
//!
//! - [`api`]: the contract, three kinds as serde types and schema
//! - [`decide`]: the decisions, pure functions from what was observed to what is to be done
//! - [`controllers`]: the shell around them, one reconciler for each kind
//! - [`cluster`]: the way to the API server
//! - [`cloud`]: the way to Alibaba Cloud, account by account
//! - [`ecs`]: a typed client for ECS and STS that knows nothing of Kubernetes
//! - [`credentials`]: where an account's credentials come from
//! - [`leader`]: leadership as a value that each changing call needs
//! - [`run`]: wiring, and the order of shutdown
//! - [`settings`], [`telemetry`], [`metrics`], [`admin`]: settings, logs, figures, and the port that shows them
//! - [`version`]: version and commit
//! - [`clock`]: the only reader of wall time
//! - [`failpoint`]: points at which a test kills the process; nothing without the feature `failpoints`

pub mod admin;
pub mod api;
pub mod clock;
pub mod cloud;
pub mod cluster;
pub mod controllers;
pub mod credentials;
pub mod decide;
pub mod ecs;
pub mod failpoint;
pub mod leader;
pub mod metrics;
pub mod run;
pub mod settings;
pub mod telemetry;
pub mod version;
