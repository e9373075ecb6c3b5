//! [`Core`] as tests change its identities: keys, roles, OIDC tokens, the instance's metadata.

use crate::access_key::{AccessKey, Revocation};
use crate::core::Core;
use crate::metadata::InstanceMetadata;
use crate::role::Role;

impl Core {
    /// Adds an `AccessKey`, or replaces the one with this id: rotation, a new policy, a new token.
    pub fn put_access_key(&mut self, key: AccessKey) {
        self.gate.put(key);
    }

    /// Deletes an `AccessKey`.
    pub fn remove_access_key(&mut self, access_key_id: &str) {
        self.gate.remove(access_key_id);
    }

    /// Refuses a key, long-lived or temporary, from now on. Whether there is one with this id.
    pub fn revoke(&mut self, access_key_id: &str, how: Revocation) -> bool {
        self.gate.revoke(access_key_id, how)
    }

    /// Ends all temporary credentials at once: each is refused with `InvalidSecurityToken.Expired`, whatever its expiration
    /// says. New ones can be had.
    pub fn expire_temporary_credentials(&mut self) {
        self.gate.expire_temporary();
    }

    /// Adds a role, or replaces the one with this ARN.
    pub fn put_role(&mut self, role: Role) {
        self.roles.insert(role.arn.clone(), role);
    }

    /// A role, to be changed freely: trust, permissions, OIDC tokens. Its ARN must stay.
    pub fn role_mut(&mut self, role_arn: &str) -> Option<&mut Role> {
        self.roles.get_mut(role_arn)
    }

    /// From now on only `token` is valid for `AssumeRoleWithOIDC`; those before it have expired. Whether there is such a
    /// role, with an OIDC provider.
    pub fn rotate_oidc_token(&mut self, role_arn: &str, token: &str) -> bool {
        let Some(trust) = self.roles.get_mut(role_arn).and_then(|role| role.oidc.as_mut()) else { return false };
        trust.expired_tokens.append(&mut trust.tokens);
        trust.expired_tokens.retain(|expired| expired != token);
        trust.tokens.push(token.to_owned());
        true
    }

    /// What the metadata service says, to be changed freely.
    pub fn metadata_mut(&mut self) -> &mut InstanceMetadata {
        &mut self.metadata.says
    }
}
