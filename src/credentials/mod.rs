//! Where an account's credentials come from, and how long they are kept.
//!
//! - this file: the sources that an account can name, and those that hold an access key
//! - [`oidc`]: the token of the cluster, which STS takes for a role (RRSA)
//! - [`imds`]: the role of the instance, from its metadata service
//! - [`refresh`]: when temporary credentials are renewed
//!
//! It knows nothing of Kubernetes, caches nothing, and falls back to nothing: an account names one source.

pub mod imds;
pub mod oidc;
pub mod refresh;

use secrecy::{ExposeSecret, SecretString};

use crate::ecs::Keys;
pub use oidc::OidcRole;

const ACCESS_KEY_ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const ROLE_ARN: &str = "ALIBABA_CLOUD_ROLE_ARN";

/// A source of credentials. No `Debug`: it may hold some.
pub enum Source {
    /// An access key, with or without a security token.
    AccessKey(Keys),
    /// A role for a token of the cluster.
    Oidc(OidcRole),
    /// The role of the instance that this runs on: its name, or whichever it has.
    InstanceRole(Option<String>),
}

/// Why there are no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// A key of the Secret is missing, is empty or is not text.
    #[error(
        "Secret {secret} has no usable key `{key}`; it needs accessKeyID and accessKeySecret, and securityToken for a temporary one"
    )]
    Key {
        /// The Secret's name.
        secret: String,
        /// The key.
        key: &'static str,
    },
    /// An environment variable is missing.
    #[error("the controller's pod has no environment variable {0}")]
    Variable(&'static str),
}

/// Credentials from the keys `accessKeyID`, `accessKeySecret` and, for temporary ones, `securityToken` of a Secret.
/// `secret` names it in messages. `has` tells whether there is a key, `value` decodes it. A token that is there and of no use is not passed over: without it
/// ECS would say that the access key is wrong.
///
/// # Errors
/// The first key that is missing, empty or not text.
pub fn from_secret(
    secret: &str,
    has: impl Fn(&str) -> bool,
    value: impl Fn(&str) -> Option<SecretString>,
) -> Result<Keys, CredentialsError> {
    let need = |key: &'static str| {
        let text = value(key).filter(|value| !value.expose_secret().trim().is_empty());
        text.ok_or_else(|| CredentialsError::Key { secret: secret.to_owned(), key })
    };
    let token = has("securityToken").then(|| need("securityToken")).transpose()?;
    Ok(credentials(&need("accessKeyID")?, &need("accessKeySecret")?, token.as_ref()))
}

/// What the official environment variables say, in the official order: an access key first, then an OIDC token. Nothing
/// else is tried: no files, and not the role of the instance.
///
/// # Errors
/// The first variable that is missing or empty.
pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Source, CredentialsError> {
    let text = |name: &str| variable(name).filter(|value| !value.is_empty());
    let need = |name: &'static str| text(name).ok_or(CredentialsError::Variable(name));
    if text(ROLE_ARN).is_some() && text(ACCESS_KEY_ID).is_none() {
        return Ok(Source::Oidc(OidcRole {
            role_arn: need(ROLE_ARN)?,
            oidc_provider_arn: need("ALIBABA_CLOUD_OIDC_PROVIDER_ARN")?,
            token_file: need("ALIBABA_CLOUD_OIDC_TOKEN_FILE")?.into(),
        }));
    }
    let secret = |text: String| SecretString::from(text);
    Ok(Source::AccessKey(credentials(
        &secret(need(ACCESS_KEY_ID)?),
        &secret(need("ALIBABA_CLOUD_ACCESS_KEY_SECRET")?),
        text("ALIBABA_CLOUD_SECURITY_TOKEN").map(secret).as_ref(),
    )))
}

/// The host of STS that the official variables name, as ACK's webhook sets them for its pods; `None`: the central one. An
/// endpoint comes before a region, as in the official clients.
pub fn sts_host(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let text = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let of_region = || {
        let in_vpc = text("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"));
        let product = if in_vpc { "sts-vpc" } else { "sts" };
        text("ALIBABA_CLOUD_STS_REGION").map(|region| format!("{product}.{region}.aliyuncs.com"))
    };
    let of_endpoint = |host: String| host.trim_start_matches("https://").trim_end_matches('/').to_owned();
    text("ALIBABA_CLOUD_STS_ENDPOINT").map(of_endpoint).or_else(of_region)
}

/// What surrounds them is cut off: a newline that an editor added would only show as a signature that does not match.
fn credentials(id: &SecretString, secret: &SecretString, token: Option<&SecretString>) -> Keys {
    let trimmed = |value: &SecretString| SecretString::from(value.expose_secret().trim());
    // An access key's id is not a secret: it is in every signed request and in ActionTrail.
    let access_key_id = id.expose_secret().trim().to_owned();
    Keys { access_key_id, access_key_secret: trimmed(secret), security_token: token.map(trimmed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access_key(variable: impl Fn(&str) -> Option<String>) -> Keys {
        let Ok(Source::AccessKey(credentials)) = from_environment(variable) else { panic!("no access key") };
        credentials
    }

    #[test]
    fn a_missing_key_or_variable_is_named() {
        let missing = |missing: &'static str, instead: Option<&'static str>| {
            let value = move |key: &str| if key == missing { instead } else { Some("text") };
            let has = move |key: &str| key != missing || instead.is_some();
            from_secret("prod", has, |key| value(key).map(SecretString::from)).err()
        };
        let of = |key| Some(CredentialsError::Key { secret: "prod".to_owned(), key });
        assert_eq!(missing("accessKeySecret", None), of("accessKeySecret"));
        for key in ["accessKeyID", "accessKeySecret", "securityToken"] {
            assert_eq!(missing(key, Some(" \n")), of(key));
        }
        assert_eq!(missing("securityToken", None), None);
        let empty = |name: &str| (name == ACCESS_KEY_ID).then(String::new);
        let error = from_environment(empty).err().unwrap();
        assert_eq!(error, CredentialsError::Variable(ACCESS_KEY_ID));
        let no_provider = |name: &str| (name == ROLE_ARN).then(|| "acs:ram::1:role/r".to_owned());
        let error = from_environment(no_provider).err().unwrap();
        assert_eq!(error, CredentialsError::Variable("ALIBABA_CLOUD_OIDC_PROVIDER_ARN"));
    }

    #[test]
    fn a_newline_around_a_key_is_cut_off() {
        let credentials = from_secret("prod", |_| true, |key| Some(SecretString::from(format!("{key}\n")))).unwrap();
        assert_eq!(credentials.access_key_id, "accessKeyID");
        assert_eq!(credentials.access_key_secret.expose_secret(), "accessKeySecret");
    }

    #[test]
    fn access_key_wins_over_role() {
        assert_eq!(
            access_key(|name| Some(format!("value of {name}"))).access_key_id,
            format!("value of {ACCESS_KEY_ID}")
        );
        let role_only = |name: &str| (!name.contains("ACCESS_KEY")).then(|| "v".to_owned());
        assert!(matches!(from_environment(role_only), Ok(Source::Oidc(_))));
    }

    #[test]
    fn sts_host_comes_from_endpoint_then_region() {
        const ENDPOINT: &str = "ALIBABA_CLOUD_STS_ENDPOINT";
        const REGION: &str = "ALIBABA_CLOUD_STS_REGION";
        const VPC: &str = "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED";
        let host = |variables: &[(&str, &str)]| {
            let value = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            sts_host(|name| value(name).map(str::to_owned))
        };
        assert_eq!(host(&[]), None);
        assert_eq!(host(&[(VPC, "true"), (ENDPOINT, " ")]), None, "in which region is not said");
        assert_eq!(host(&[(REGION, "cn-beijing")]).as_deref(), Some("sts.cn-beijing.aliyuncs.com"));
        assert_eq!(host(&[(REGION, "cn-beijing"), (VPC, "True")]).as_deref(), Some("sts-vpc.cn-beijing.aliyuncs.com"));
        assert_eq!(host(&[(REGION, "cn-beijing"), (VPC, "no")]).as_deref(), Some("sts.cn-beijing.aliyuncs.com"));
        let all = [(REGION, "cn-beijing"), (VPC, "true"), (ENDPOINT, "sts-vpc.cn-shanghai.aliyuncs.com\n")];
        assert_eq!(host(&all).as_deref(), Some("sts-vpc.cn-shanghai.aliyuncs.com"));
        assert_eq!(host(&[(ENDPOINT, "https://sts.example/")]).as_deref(), Some("sts.example"));
    }

    #[test]
    fn the_security_token_is_optional() {
        assert!(access_key(|name| Some(name.to_owned())).security_token.is_some());
        assert!(access_key(|name| (!name.ends_with("TOKEN")).then(|| "v".to_owned())).security_token.is_none());
    }
}
