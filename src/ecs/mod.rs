//! A typed client for the few ECS and STS calls that this program makes.
//!
//! It knows nothing of Kubernetes and never imports `crate::api`. It holds no credentials: every call takes them as
//! values, and signing is a step of its own, so that the caller can ask for leadership between it and the send.
//!
//! ```text
//! modify_password(endpoint, credentials, …, stamp) ─▶ Signed<Accepted> ─▶ EcsClient::send ─▶ Reply<Accepted>
//!   wire: the form        sign: the signature           transport: one try     answers / refusal: bytes ─▶ types
//! ```
//!
//! - [`endpoint`]: where a region's ECS is
//! - [`sign`]: credentials, and signature version 1.0
//! - [`wire`], [`sts`]: the calls, as signed forms
//! - [`answers`], `refusal`: what came back, read defensively
//! - [`error`]: what a refusal means, from the table `errors.tsv`
//! - [`transport`]: the only network seam
//! - [`client`]: one try of one call
//! - [`limit`]: how often a call may be made
//! - [`server_clock`]: what time it is for ECS
//! - [`instances`]: the poll tasks, which are to ECS what an informer is to Kubernetes

mod advice;
pub mod client;
pub mod endpoint;
pub mod error;
mod error_response;
pub mod instances;
pub mod limit;
pub mod responses;
pub mod server_clock;
pub mod sign;
pub mod sts;
pub mod transport;
pub mod wire;
#[cfg(test)]
mod words_tests;

pub use client::{EcsClient, MetadataError, Reply};
pub use endpoint::{EndpointError, RegionEndpoint};
pub use error::{CallError, Class, ErrorResponse, Executed, RetryRule};
pub use instances::{Describe, DescribeError, Described, Instances, Observation, Scope};
pub use limit::{LimitKey, Limiter, RatePermit};
pub use responses::{Accepted, ApiResponse, DryRunPassed, Instance, InstancePage, InstanceStatus, OsType};
pub use server_clock::ServerClock;
pub use sign::{Keys, Stamp};
pub use sts::{
    CallerIdentity, RoleRequest, SessionCredentials, assume_role, assume_role_with_oidc, get_caller_identity,
};
pub use transport::{HttpOptions, HttpTransport, SendError, Transport, TransportError, authorities, tls};
pub use wire::{
    ApiCall, InstanceFilter, Signed, describe_instances, describe_instances_dry_run, describe_matching,
    modify_password, reboot_instance,
};
