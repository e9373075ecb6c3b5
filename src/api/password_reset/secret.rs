//! Where a `PasswordReset` has its passwords from, and what a changed one does. Accessors apply defaults, no more.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::DEFAULT_PASSWORD_KEY;

/// Names a Secret in the same namespace, and which of its keys hold passwords.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.key) || !has(self.keyPolicy) || self.keyPolicy != 'InstanceID'")
        .message("must hold no `key` with keyPolicy InstanceID: the key is the instance ID")
)]
pub struct PasswordSecretRef {
    /// The name of the Secret, in the namespace of the PasswordReset.
    #[schemars(length(max = 253))]
    #[x_kube(
        validation = Rule::new("!format.dns1123Subdomain().validate(self).hasValue()")
            .message("must be the name of a Secret: lower-case letters, digits, '-' and '.'")
    )]
    pub name: String,

    /// The key within the Secret. Absent = `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$')")
            .message("must be a key of a Secret: letters, digits, '-', '_' and '.'")
    )]
    pub key: Option<String>,

    /// `Shared`: all instances get the password under `key`. `InstanceID`: each instance gets a password of its own, under the key that
    /// is its id, for example `i-bp1a2b3c4d5e6f7g8h9i`; an instance without such a key is Failed and the others go on. Absent = `Shared`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "KeyPolicy")]
    pub key_policy: Option<KeyPolicy>,
}

/// Which keys of a Secret hold passwords.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum KeyPolicy {
    /// One key holds the password of all instances.
    #[default]
    Shared,
    /// The key is the instance's id.
    InstanceID,
    /// A value of another version of this API: treated as `InstanceID`, which does nothing without a key for it.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

/// What a changed value in the Secret does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum OnSecretChange {
    /// Nothing.
    #[default]
    Ignore,
    /// Asks for a run on the instances that have an earlier value.
    Reset,
    /// A value of another version of this API: treated as `Ignore`, which restarts nothing.
    #[serde(other)]
    #[schemars(skip)]
    Unrecognized,
}

impl PasswordSecretRef {
    /// The key under which an instance's password is.
    pub fn key_of<'a>(&'a self, instance_id: &'a str) -> &'a str {
        if self.has_key_per_instance() { instance_id } else { self.shared_key() }
    }

    /// The key that all instances share.
    pub fn shared_key(&self) -> &str {
        self.key.as_deref().unwrap_or(DEFAULT_PASSWORD_KEY)
    }

    /// Whether each instance has a password of its own.
    pub fn has_key_per_instance(&self) -> bool {
        self.key_policy.unwrap_or_default() != KeyPolicy::Shared
    }
}
