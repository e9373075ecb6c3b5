//! What a person can do about an answer that is not a success, by what was called and by its code. It decides nothing.

use super::ApiCall;
use super::error::{Class, ErrorResponse};

impl ErrorResponse {
    /// What to do next, in words for people.
    pub(super) fn advice(&self) -> &'static str {
        if self.action.is_change() {
            self.advice_on_change()
        } else if self.action.is_of_ecs() {
            self.advice_on_read()
        } else {
            self.advice_on_credentials()
        }
    }

    fn advice_on_change(&self) -> &'static str {
        match self.class {
            Class::Throttled => {
                "too many calls by all who use the account in this region; the controller tries again more slowly"
            }
            Class::Transient => "the controller tries again",
            Class::WaitState => "the controller tries again when the instance is Running or Stopped",
            Class::Denied if self.names_a_missing_permission() && self.action == ApiCall::RebootInstance => {
                "grant the account's identity ecs:RebootInstance on the instance"
            }
            Class::Denied if self.names_a_missing_permission() => {
                "grant the account's identity ecs:ModifyInstanceAttribute on the instance; no policy may deny it by the condition ecs:PasswordCustomized"
            }
            Class::Denied => self.advice_on_denial(),
            Class::Invalid | Class::Refused => {
                "the controller does not repeat the call; look up the error code in the ECS API reference"
            }
            Class::Gone => "check the instance ID, the region and the RAM policy",
            Class::Auth => self.advice_on_key(),
            Class::Unknown => "look up the error code, and check the instance",
        }
    }

    fn advice_on_read(&self) -> &'static str {
        match self.class {
            Class::Throttled => {
                "too many calls by all who use the account in this region; the controller tries again more slowly"
            }
            Class::Transient | Class::WaitState | Class::Unknown => "the controller tries again",
            Class::Denied if self.names_a_missing_permission() => {
                "grant the account's identity ecs:DescribeInstances in the region"
            }
            Class::Denied => self.advice_on_denial(),
            Class::Invalid if self.blames_the_region() => {
                "check regionID, which cannot be changed: create a new PasswordReset for another region; if it is right, the account's endpoint does not serve it"
            }
            Class::Invalid | Class::Refused => "look up the error code in the ECS API reference",
            Class::Gone => "check the instance IDs, the region and the RAM policy",
            Class::Auth => self.advice_on_key(),
        }
    }

    fn advice_on_credentials(&self) -> &'static str {
        match self.class {
            Class::Throttled => "too many calls; the controller tries again more slowly",
            Class::Transient | Class::WaitState | Class::Unknown => "the controller tries again",
            _ if self.code == "AuthenticationFail.NoPermission" => {
                "check that the OIDC provider exists and that the role's trust policy names it, this ServiceAccount and the audience"
            }
            _ if self.code.starts_with("AuthenticationFail.") => {
                "check the OIDC provider's issuer, fingerprint and audiences, and the cluster's token"
            }
            _ if self.code.starts_with("EntityNotExist.") => {
                "check that the role exists and that the account's roleARN is right"
            }
            _ if self.code == "NoPermission" => {
                "the role's trust policy must name the identity that assumes it, and that identity needs sts:AssumeRole"
            }
            Class::Auth => self.advice_on_key(),
            Class::Denied | Class::Gone => "check the RAM policy and the role's trust policy",
            Class::Invalid | Class::Refused => {
                "check the account's role and credentials; the STS API reference explains the code"
            }
        }
    }

    /// What is denied although no permission is known to be missing.
    fn advice_on_denial(&self) -> &'static str {
        match self.code.as_str() {
            "Forbidden.NotSupportRAM" => "the API does not take this kind of identity; use another one for the account",
            "Forbidden.RiskControl" => {
                "Alibaba Cloud's risk control has stopped the Alibaba Cloud account; ask its support"
            }
            "RealNameAuthenticationError" => "the Alibaba Cloud account needs real-name registration",
            "OperationDenied.NoStock" => "ECS has no stock of the instance's type in its zone; retry later",
            "InvalidOperation.ResourceManagedByCloudProduct" => {
                "another Alibaba Cloud product manages the instance; set its password there"
            }
            "InsufficientBalance" | "InvalidAccountStatus.NotEnoughBalance" | "DiskInArrears" => {
                "pay what the Alibaba Cloud account owes, or raise its balance"
            }
            code if code.starts_with("Account.") => {
                "look up the error code in the ECS API reference: it is about the Alibaba Cloud account's state or balance"
            }
            code if code.starts_with("InstanceExpired") => "renew the instance, or pay what is owed for it",
            code if code.starts_with("InstanceLocked") => {
                "ECS has locked the instance; unlock it as the ECS console says"
            }
            code if code.starts_with("InvalidParameter.KMSKeyId.") => {
                "ECS cannot use the KMS key of an encrypted disk; see to that key and its grants"
            }
            _ if self.is_about_rights() => {
                "look up the error code in the ECS API reference, and check the RAM policy of the account's identity"
            }
            _ => "look up the error code in the ECS API reference",
        }
    }

    /// A reader can act on one cause, not on a list of all.
    fn advice_on_key(&self) -> &'static str {
        match self.code.as_str() {
            "InvalidAccessKeyId.NotFound" => {
                "there is no such access key; check accessKeyID where the account takes it from"
            }
            "InvalidAccessKeyId.Inactive" | "Forbidden.AccessKeyDisabled" => {
                "the access key is disabled; enable it in the RAM console, or store another one"
            }
            "SignatureDoesNotMatch" | "IncompleteSignature" => {
                "the accessKeySecret does not belong to the accessKeyID; store both again"
            }
            "InvalidSecurityToken.Expired" => {
                "the security token has expired; the controller renews its own, and one from a Secret must be stored again"
            }
            code if code.starts_with("InvalidSecurityToken") || code == "MissingSecurityToken" => {
                "the securityToken does not belong to the accessKeyID; store all three from one answer of STS"
            }
            _ if self.blames_the_clock() => "check the clock of the controller's node",
            _ => "check the account's credentials and the clock of the controller's node",
        }
    }

    /// Whether it is the region that the API, or this endpoint of it, will not have.
    fn blames_the_region(&self) -> bool {
        ["InvalidRegionId", "RegionId.", "InvalidOperation.InvalidRegion", "InvalidOperation.NotSupportedEndpoint"]
            .iter()
            .any(|prefix| self.code.starts_with(prefix))
    }
}
