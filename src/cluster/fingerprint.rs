//! The key of the fingerprints, and the fingerprint of a password.
//!
//! HMAC-SHA-256 over owner and password, cut to 128 bits. Never a bare hash, which could be guessed, and never a
//! resourceVersion, which a label moves. The key is made on first start in a Secret that the manifests ship empty.

use hmac::{Hmac, KeyInit, Mac};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::api::reset_record::{Fingerprint, Owner};
use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterError};

/// The Secret that holds the key, in the controller's namespace.
pub const SECRET_NAME: &str = "ecs-password-reset-fingerprint-key";
const KEY_ID: &str = "keyID";
const KEY: &str = "key";
const KEY_BYTES: usize = 32;

/// The key. It has no Debug: it would make fingerprints guessable.
pub struct FingerprintKey {
    id: String,
    key: Zeroizing<Vec<u8>>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The Secret cannot be read or filled.
    #[error("the fingerprint key cannot be read or made: {0}; is Secret {SECRET_NAME} of the manifests installed?")]
    Cluster(#[from] ClusterError),
    /// The Secret holds something that is not a key.
    #[error("Secret {SECRET_NAME} must be empty, or hold `keyID` and a `key` of 32 bytes")]
    Malformed,
}

impl FingerprintKey {
    /// Reads the key, and makes it first where the Secret is empty.
    ///
    /// # Errors
    /// When the Secret is not there or holds something else. A conflict means that another process has just made it:
    /// read again.
    pub async fn load(cluster: &Cluster, clock: &Clock) -> Result<Self, KeyError> {
        // Kept as plain `Secret`: it is the controller's own, and its base64 was checked when it was written.
        let mut secret: Secret = cluster.get(cluster.namespace(), SECRET_NAME).await?;
        if let Some(key) = Self::read(&secret)? {
            return Ok(key);
        }
        let (id, key) = (clock.nonce(), Zeroizing::new(clock.random_bytes::<KEY_BYTES>().to_vec()));
        let data = secret.data.get_or_insert_default();
        data.insert(KEY_ID.to_owned(), ByteString(id.clone().into_bytes()));
        data.insert(KEY.to_owned(), ByteString(key.to_vec()));
        cluster.replace("Secret", &secret).await?;
        tracing::info!("made the fingerprint key");
        Ok(Self { id, key })
    }

    /// `None`: the Secret is empty.
    fn read(secret: &Secret) -> Result<Option<Self>, KeyError> {
        let Some(data) = secret.data.as_ref().filter(|data| !data.is_empty()) else { return Ok(None) };
        let id = data.get(KEY_ID).and_then(|id| String::from_utf8(id.0.clone()).ok()).filter(|id| !id.is_empty());
        let key = data.get(KEY).filter(|key| key.0.len() == KEY_BYTES);
        let (id, key) = id.zip(key).ok_or(KeyError::Malformed)?;
        Ok(Some(Self { id, key: Zeroizing::new(key.0.clone()) }))
    }

    /// The fingerprint of a password for its owner: the same password of two owners has two.
    pub fn of(&self, owner: &Owner, password: &SecretString) -> Fingerprint {
        // A key of any length will do for an HMAC, so this cannot fail; an empty value would compare as "cannot tell".
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else {
            return Fingerprint { key_id: String::new(), value: String::new() };
        };
        for part in [owner.namespace.as_bytes(), owner.name.as_bytes()] {
            mac.update(part);
            mac.update(&[0]);
        }
        mac.update(password.expose_secret().as_bytes());
        let digest = mac.finalize().into_bytes();
        let short = digest.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes));
        Fingerprint { key_id: self.id.clone(), value: format!("{short:032x}") }
    }

    /// The id of the key: fingerprints under another one cannot be compared.
    pub fn id(&self) -> &str {
        &self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> FingerprintKey {
        FingerprintKey { id: "k1".to_owned(), key: Zeroizing::new(vec![byte; KEY_BYTES]) }
    }

    fn owner(name: &str) -> Owner {
        Owner { namespace: "prod".to_owned(), name: name.to_owned(), uid: "any".to_owned() }
    }

    #[test]
    fn a_fingerprint_tells_passwords_owners_and_keys_apart() {
        let password = SecretString::from("Passw0rd!");
        let fingerprint = key(1).of(&owner("web"), &password);
        assert_eq!(fingerprint, key(1).of(&owner("web"), &password));
        assert_eq!(fingerprint.value.len(), 32);
        for other in [
            key(1).of(&owner("web"), &SecretString::from("Passw0rd?")),
            key(1).of(&owner("db"), &password),
            key(2).of(&owner("web"), &password),
        ] {
            assert_ne!(fingerprint, other);
        }
    }

    #[test]
    fn empty_secret_has_no_key_and_broken_one_is_kept() {
        assert!(matches!(FingerprintKey::read(&Secret::default()), Ok(None)));
        let mut secret = Secret::default();
        secret.data.get_or_insert_default().insert(KEY.to_owned(), ByteString(vec![1; 5]));
        assert!(matches!(FingerprintKey::read(&secret), Err(KeyError::Malformed)));
    }
}
