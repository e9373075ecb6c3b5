//! Where an account's credentials come from. Reads what it is handed; it opens no file and makes no call.

use secrecy::{ExposeSecret, SecretString};

use crate::ecs::Credentials;

/// Why there are no credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// A key of the Secret is missing or is not text.
    #[error("Secret {secret} has no usable key `{key}`; it needs accessKeyID and accessKeySecret")]
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
/// `value` decodes one key.
///
/// # Errors
/// The first key that is missing.
pub fn from_secret(
    secret: &str,
    value: impl Fn(&str) -> Option<SecretString>,
) -> Result<Credentials, CredentialsError> {
    let need = |key: &'static str| value(key).ok_or_else(|| CredentialsError::Key { secret: secret.to_owned(), key });
    Ok(credentials(&need("accessKeyID")?, &need("accessKeySecret")?, value("securityToken").as_ref()))
}

/// Credentials from the official environment variables.
///
/// # Errors
/// The first variable that is missing or empty.
pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Credentials, CredentialsError> {
    let read = |name: &str| variable(name).filter(|value| !value.is_empty()).map(SecretString::from);
    let need = |name: &'static str| read(name).ok_or(CredentialsError::Variable(name));
    Ok(credentials(
        &need("ALIBABA_CLOUD_ACCESS_KEY_ID")?,
        &need("ALIBABA_CLOUD_ACCESS_KEY_SECRET")?,
        read("ALIBABA_CLOUD_SECURITY_TOKEN").as_ref(),
    ))
}

/// What surrounds them is cut off: a newline that an editor added would only show as a signature that does not match.
fn credentials(id: &SecretString, secret: &SecretString, token: Option<&SecretString>) -> Credentials {
    let trimmed = |value: &SecretString| SecretString::from(value.expose_secret().trim());
    // An access key's id is no secret: it stands in every signed request and in ActionTrail.
    let access_key_id = id.expose_secret().trim().to_owned();
    Credentials { access_key_id, access_key_secret: trimmed(secret), security_token: token.map(trimmed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_or_variable_is_named() {
        let id_only = |key: &str| (key == "accessKeyID").then(|| SecretString::from("id"));
        let error = from_secret("prod", id_only).err().unwrap();
        assert_eq!(error, CredentialsError::Key { secret: "prod".to_owned(), key: "accessKeySecret" });
        let empty = |name: &str| (name == "ALIBABA_CLOUD_ACCESS_KEY_ID").then(String::new);
        let error = from_environment(empty).err().unwrap();
        assert_eq!(error, CredentialsError::Variable("ALIBABA_CLOUD_ACCESS_KEY_ID"));
    }

    #[test]
    fn a_newline_around_a_key_is_cut_off() {
        let credentials = from_secret("prod", |key| Some(SecretString::from(format!("{key}\n")))).unwrap();
        assert_eq!(credentials.access_key_id, "accessKeyID");
        assert_eq!(credentials.access_key_secret.expose_secret(), "accessKeySecret");
    }

    #[test]
    fn the_security_token_is_optional() {
        let all = |name: &str| Some(format!("value of {name}"));
        assert!(from_environment(all).unwrap().security_token.is_some());
        let no_token = |name: &str| (!name.ends_with("TOKEN")).then(|| "v".to_owned());
        assert!(from_environment(no_token).unwrap().security_token.is_none());
    }
}
