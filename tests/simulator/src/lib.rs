//! The ECS and STS API as `ecs-password-reset` sees it, for tests and the demo. Never shipped.
//!
//! [`Core`] holds all state and does no I/O: every call is handed the present moment on ECS's clock and randomness
//! comes from a seed, so the same code serves a socket and a test in virtual time. [`Simulator`] puts it on a loopback
//! socket. It shares no code with the controller on purpose: a mistake made in both would prove nothing.
//!
//! ```text
//! request ─▶ call (parameters) ─▶ fault (network) ─▶ gate (who, when, signature, nonce) ─▶ quota ─▶ actions ─▶ machine
//!                                                       journal ◀── every judgement and every effect ◀──────────┘
//! ```
//!
//! ```no_run
//! # async fn example() -> Result<(), ecs_simulator::StartError> {
//! use ecs_simulator::{Config, Fault, Instance, Rule, Simulator};
//!
//! let simulator = Simulator::start(Config::default().with(Instance::running("i-a", "cn-hangzhou"))).await?;
//! simulator.core().inject(Rule::once("RebootInstance", Fault::LoseAnswerAfterEffect).on("i-a"));
//! // … let the controller work against simulator.url(), then:
//! assert_eq!(simulator.core().journal().reboots("i-a"), 1);
//! # Ok(())
//! # }
//! ```
//!
//! The signer may be a key, or a role that STS ([`Config::roles`]) or the instance's metadata service ([`Config::metadata`])
//! gave credentials for.
//!
//! Beside ECS there is a small Kubernetes API server in the same spirit: [`api_server`].
//!
//! What it may not do: print a password, or listen anywhere but on loopback.

mod access_key;
mod actions;
mod admin;
mod answer;
pub mod api_server;
mod call;
mod config;
mod core;
mod fault;
mod gate;
mod instance;
mod journal;
mod listener;
mod machine;
mod metadata;
mod outside;
mod password;
mod quota;
mod random;
mod record;
mod role;
mod signature;
mod sts;
mod time;

pub use access_key::{AccessKey, AssumedRole, Denied, Revocation};
pub use answer::{Handling, Held, Refusal, Reply};
pub use config::{Config, ConfigError};
pub use core::Core;
pub use fault::{Fault, Rule};
pub use instance::{Instance, OsType, RebootShows, Status};
pub use journal::{Effect, EffectEntry, Entry, Journal, Outcome, RequestEntry};
pub use listener::{Simulator, StartError};
pub use metadata::InstanceMetadata;
pub use role::{OidcTrust, Role};
pub use signature::v1::{sign, string_to_sign};
