//! Where an account's credentials come from. Holds references to them, never credentials.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The rule for a role's ARN, and what it says.
const IS_ROLE_ARN: &str = "self.matches('^acs:ram::[0-9]+:role/[A-Za-z0-9._@-]+$')";
const ROLE_ARN: &str = "must be a role's ARN such as 'acs:ram::1234567890123456:role/ecs-password-reset'";

/// Where the credentials come from; exactly one field is set.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.rrsa), has(self.ecsRAMRole), has(self.secretRef), has(self.environment)].filter(x, x).size() == 1")
        .message("must hold exactly one of `rrsa`, `ecsRAMRole`, `secretRef` and `environment`")
)]
pub struct Credentials {
    /// RAM Roles for Service Accounts: the controller's own service account takes a role (`AssumeRoleWithOIDC`). No key is
    /// stored anywhere; the way to prefer on ACK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrsa: Option<RRSA>,

    /// The RAM role of the ECS instance that the controller runs on, from the instance's metadata in hardened mode. All pods
    /// of that instance can have it.
    #[serde(rename = "ecsRAMRole", default, skip_serializing_if = "Option::is_none")]
    pub ecs_ram_role: Option<ECSRAMRole>,

    /// A Secret in the controller's own namespace with the keys `accessKeyID` and `accessKeySecret`, and
    /// `securityToken` for temporary credentials. An edit is taken within a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,

    /// The official environment variables of the controller's pod, in the official order: `ALIBABA_CLOUD_ACCESS_KEY_ID` and
    /// `ALIBABA_CLOUD_ACCESS_KEY_SECRET`, with `ALIBABA_CLOUD_SECURITY_TOKEN` for temporary credentials; else
    /// `ALIBABA_CLOUD_ROLE_ARN`, `ALIBABA_CLOUD_OIDC_PROVIDER_ARN` and `ALIBABA_CLOUD_OIDC_TOKEN_FILE`. Write `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
}

/// A role that the controller's service account takes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RRSA {
    /// The role, for example `acs:ram::1234567890123456:role/ecs-password-reset`.
    #[serde(rename = "roleARN")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(IS_ROLE_ARN).message(ROLE_ARN))]
    pub role_arn: String,

    /// The OIDC provider of the cluster in RAM, for example `acs:ram::1234567890123456:oidc-provider/ack-rrsa-c1234`.
    #[serde(rename = "oidcProviderARN")]
    #[schemars(length(max = 256))]
    #[x_kube(
        validation = Rule::new("self.matches('^acs:ram::[0-9]+:oidc-provider/[A-Za-z0-9._@-]+$')")
            .message("must be an OIDC provider's ARN such as 'acs:ram::1234567890123456:oidc-provider/ack-rrsa'")
    )]
    pub oidc_provider_arn: String,
}

/// The role of the instance that the controller runs on.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct ECSRAMRole {
    /// The role's name. Absent = whatever role the instance has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    #[x_kube(
        validation = Rule::new("self.matches('^[A-Za-z0-9._-]+$')")
            .message("must be a role's name: letters, digits, '.', '_' and '-'")
    )]
    pub name: Option<String>,
}

/// A role to assume.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AssumeRole {
    /// The role, for example `acs:ram::1234567890123456:role/ecs-password-reset`.
    #[serde(rename = "roleARN")]
    #[schemars(length(max = 256))]
    #[x_kube(validation = Rule::new(IS_ROLE_ARN).message(ROLE_ARN))]
    pub role_arn: String,

    /// What the role's trust policy asks for as external id, 2 to 1224 characters. No secret. Absent = none is
    /// sent.
    #[serde(rename = "externalID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1224))]
    #[x_kube(
        validation = Rule::new("self.size() >= 2 && self.matches('^[A-Za-z0-9+=,.@:/_-]+$')")
            .message("must be 2 to 1224 letters, digits and '+=,.@:/_-'")
    )]
    pub external_id: Option<String>,

    /// How long the role is taken for, in seconds, 900 to 43200, at most what the role allows. Absent = 3600. It is taken
    /// again before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 900, max = 43200))]
    pub duration_seconds: Option<u32>,
}

/// Names a Secret in the controller's own namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct SecretRef {
    /// The name of the Secret.
    #[schemars(length(max = 253))]
    #[x_kube(
        validation = Rule::new("!format.dns1123Subdomain().validate(self).hasValue()")
            .message("must be the name of a Secret: lower-case letters, digits, '-' and '.'")
    )]
    pub name: String,
}

/// Takes the environment variables; it has no fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Environment {}
