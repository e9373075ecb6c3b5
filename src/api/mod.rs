//! The contract: the three kinds of group `ecs.password-reset.dev`, as serde types and schema.
//!
//! No behaviour lives here beyond reading a field with its documented default. The YAML in `crds/` is printed from
//! these types by `crdgen`, and `kubectl explain` shows their doc comments: they are the first manual a user reads.

pub mod conditions;
pub mod ecs_account;
pub mod password_reset;
mod reason;
pub mod reset_record;

pub use reason::Reason;

/// The API group of all three kinds.
pub const GROUP: &str = "ecs.password-reset.dev";

/// The annotation that asks for a new run on every instance of an object; each new value counts once.
pub const RERUN_REQUESTED_AT: &str = "ecs.password-reset.dev/rerun-requested-at";

/// The annotation that has failed instances tried again and a paused run go on; each new value counts once.
pub const RETRY_REQUESTED_AT: &str = "ecs.password-reset.dev/retry-requested-at";

/// The account that an object without `accountRef` uses.
pub const DEFAULT_ACCOUNT: &str = "default";

/// The key of the Secret that holds the password when `passwordSecretRef.key` is absent.
pub const DEFAULT_PASSWORD_KEY: &str = "password";

/// The annotation by which a person decides on an Unknown: `<instanceID>/<claim>=Happened` or `=RestartAgain`. It counts
/// once, and only while that very claim is Unknown after a restart request and no copy of the request can be alive.
pub const RESOLVE_UNKNOWN: &str = "ecs.password-reset.dev/resolve-unknown";
/// What a person says with [`RESOLVE_UNKNOWN`]: the restart happened, the password is in effect.
pub const HAPPENED: &str = "Happened";
/// What a person says with [`RESOLVE_UNKNOWN`]: reset the instance again, restart included.
pub const RESTART_AGAIN: &str = "RestartAgain";

#[cfg(test)]
mod stored_tests;
