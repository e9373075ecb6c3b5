//! From a Secret to a password that appears in no log.
//!
//! The Secret is read through a type of its own, since kube's client logs a body that it cannot parse: this one cannot
//! fail on its data, and shows nothing of it. No Secret is ever listed or watched.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::Resource;
use kube::api::ObjectMeta;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use zeroize::{Zeroize, Zeroizing};

use crate::api::Reason;
use crate::api::reset_record::ClaimedSecretRef;
use crate::clock;
use crate::cluster::objects::ObjectKey;
use crate::cluster::{Cluster, ClusterError};
use crate::decide::Hold;

/// No password is longer than 30 characters, and no security token than some thousand; what is much longer is not decoded.
const MAX_BASE64_BYTES: usize = 24 << 10;

/// A Secret whose values stay as they came, in base64, and are wiped.
#[derive(Resource, Clone, Debug, Deserialize, Serialize)]
#[resource(inherit = "Secret")]
pub struct RawSecret {
    metadata: ObjectMeta,
    #[serde(default, skip_serializing)]
    data: Option<BTreeMap<String, Encoded>>,
}

/// One value in base64.
#[derive(Clone, Default, Deserialize)]
struct Encoded(String);

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl RawSecret {
    /// Keeps of the metadata its version alone: `kubectl apply` writes all that it has applied into an annotation, the password too.
    fn without_annotations(self) -> Self {
        let resource_version = self.metadata.resource_version;
        Self { metadata: ObjectMeta { resource_version, ..ObjectMeta::default() }, data: self.data }
    }

    /// Whether there is such a key, whatever it holds.
    pub fn has(&self, key: &str) -> bool {
        self.data.as_ref().is_some_and(|data| data.contains_key(key))
    }

    /// Its version, which any change moves.
    pub fn version(&self) -> Option<&str> {
        self.metadata.resource_version.as_deref()
    }

    /// The password under the key of `reference`.
    ///
    /// # Errors
    /// What is wrong with it, in words that say what to do; they hold nothing of it.
    pub fn password(&self, reference: &ClaimedSecretRef) -> Result<SecretString, Hold> {
        let ClaimedSecretRef { namespace, name, key } = reference;
        let (reason, message) = match self.text(key) {
            Some(password) => return Ok(password),
            None if self.has(key) => (
                Reason::InvalidPassword,
                format!(
                    "the value of key {key} in Secret {namespace}/{name} is not the text of a password: it is not UTF-8 (older PowerShell writes UTF-16), or far too long; it must be 8 to 30 letters, digits and specials"
                ),
            ),
            None => (
                Reason::SecretKeyNotFound,
                format!(
                    "Secret {namespace}/{name} has no key {key}; add it, or change passwordSecretRef; to see its keys: kubectl describe secret -n {namespace} {name}"
                ),
            ),
        };
        Err(Hold::new(reason, message))
    }

    /// The value of a key as text; `None`: no such key, or no text.
    pub fn text(&self, key: &str) -> Option<SecretString> {
        let encoded = self.data.as_ref()?.get(key)?;
        if encoded.0.len() > MAX_BASE64_BYTES {
            return None;
        }
        let mut bytes = Zeroizing::new(STANDARD.decode(&encoded.0).ok()?);
        let text = String::from_utf8(std::mem::take(&mut *bytes)).ok()?;
        Some(SecretString::from(text))
    }
}

/// Reads a Secret. `reference` names it, and a key that a user who makes it will need.
///
/// # Errors
/// What is in the way, in words that say what to do; they hold nothing of the Secret.
async fn read(cluster: &Cluster, reference: &ClaimedSecretRef, poll: Duration) -> Result<RawSecret, Hold> {
    let ClaimedSecretRef { namespace, name, key } = reference;
    let poll = poll.as_secs();
    let (reason, message) = match cluster.get(namespace, name).await {
        Ok(secret) => return Ok(RawSecret::without_annotations(secret)),
        Err(ClusterError::NotFound { .. }) => (
            Reason::SecretNotFound,
            format!(
                "Secret {namespace}/{name} does not exist; the controller looks again within {poll} s, and goes on by itself; create it with: kubectl create secret generic {name} -n {namespace} --from-file={key}=./password"
            ),
        ),
        Err(ClusterError::Forbidden { .. }) => (
            Reason::SecretNotPermitted,
            format!(
                "the controller may not read Secrets in namespace {namespace}; it tries again within {poll} s, and goes on by itself; allow it with: kubectl create rolebinding ecs-password-reset-secret-reader -n {namespace} --clusterrole=ecs-password-reset-secret-reader --serviceaccount={}:ecs-password-reset",
                cluster.namespace()
            ),
        ),
        Err(error) => (Reason::SecretUnavailable, error.to_string()),
    };
    Err(Hold::new(reason, message))
}

/// The Secrets as last read: all objects that name one share one read. Only in memory, and only while they are asked for.
pub struct Secrets {
    places: Mutex<HashMap<ObjectKey, Place>>,
    poll: Duration,
}

/// One Secret as last read. Its lock is held while it is read.
type Place = Arc<tokio::sync::Mutex<Option<Read>>>;

/// One Secret and when its read began. It has no Debug.
struct Read {
    began: Instant,
    secret: Arc<RawSecret>,
}

/// How long a Secret is kept after its read.
const KEPT: Duration = Duration::from_mins(2);

impl Secrets {
    /// None is known yet. `poll`: how often an object that waits for its Secret has it read.
    pub fn new(poll: Duration) -> Self {
        Self { places: Mutex::default(), poll }
    }

    /// The Secret that `reference` names, as read not longer than `within` ago.
    ///
    /// # Errors
    /// What is in the way, in words that say what to do; they hold nothing of the Secret.
    pub async fn known(
        &self,
        cluster: &Cluster,
        reference: &ClaimedSecretRef,
        within: Duration,
    ) -> Result<Arc<RawSecret>, Hold> {
        let now = clock::instant();
        self.read_since(cluster, reference, now.checked_sub(within).unwrap_or(now)).await
    }

    /// The Secret as it is now: by a read that has begun since this was asked.
    ///
    /// # Errors
    /// As [`Self::known`].
    pub async fn now(&self, cluster: &Cluster, reference: &ClaimedSecretRef) -> Result<Arc<RawSecret>, Hold> {
        self.read_since(cluster, reference, clock::instant()).await
    }

    async fn read_since(
        &self,
        cluster: &Cluster,
        reference: &ClaimedSecretRef,
        since: Instant,
    ) -> Result<Arc<RawSecret>, Hold> {
        let place = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(places.entry(place_of(reference)).or_default())
        };
        // All callers that wait here share the next read: it begins after they have asked.
        let mut last = place.lock().await;
        if let Some(read) = last.as_ref().filter(|read| read.began >= since) {
            return Ok(Arc::clone(&read.secret));
        }
        let began = clock::instant();
        // A failed read is not kept: a person is about to fix the cause.
        *last = None;
        let secret = Arc::new(read(cluster, reference, self.poll).await?);
        *last = Some(Read { began, secret: Arc::clone(&secret) });
        Ok(secret)
    }

    /// Forgets the Secrets that were read long ago. It is called once a minute: nothing else may come by here again.
    pub fn forget_old(&self) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|_, place| Arc::strong_count(place) > 1 || is_recent(place));
    }

    /// Forgets a Secret that has changed.
    pub fn forget(&self, secret: &ObjectKey) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).remove(secret);
    }

    /// How long ago the Secret was read, if it is known.
    pub fn age(&self, secret: &ObjectKey) -> Option<Duration> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let read = places.get(secret)?.try_lock().ok()?;
        Some(clock::instant().duration_since(read.as_ref()?.began))
    }
}

fn place_of(reference: &ClaimedSecretRef) -> ObjectKey {
    ObjectKey::new(&reference.namespace, &reference.name)
}

/// Whether an unused place holds a password that may still be asked for.
fn is_recent(place: &tokio::sync::Mutex<Option<Read>>) -> bool {
    place
        .try_lock()
        .is_ok_and(|read| read.as_ref().is_some_and(|read| clock::instant().duration_since(read.began) < KEPT))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn secret(value: &str) -> RawSecret {
        let document = serde_json::json!({"metadata": {"name": "pw"}, "data": {"password": value}});
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn a_value_is_decoded_and_nothing_of_it_is_shown() {
        let secret = secret("UGFzc3cwcmQh");
        assert_eq!(secret.text("password").unwrap().expose_secret(), "Passw0rd!");
        let shown = format!("{secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert!(!shown.contains("UGFz") && !shown.contains("Passw"), "{shown}");
    }

    #[test]
    fn what_kubectl_has_applied_is_not_kept() {
        let applied = r#"{"stringData":{"password":"Passw0rd!"}}"#;
        let metadata = serde_json::json!({
            "name": "pw", "resourceVersion": "7",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied},
        });
        let secret: RawSecret = serde_json::from_value(serde_json::json!({"metadata": metadata})).unwrap();
        assert!(format!("{secret:?}").contains("Passw"), "the test would see it");
        let kept = secret.without_annotations();
        assert_eq!((kept.version(), format!("{kept:?}").contains("Passw")), (Some("7"), false));
    }

    #[test]
    fn bytes_that_are_not_text_are_not_a_password() {
        assert!(secret("not base64!").text("password").is_none());
        assert!(secret("/w==").text("password").is_none());
        assert!(secret(&"QUFB".repeat(7_000)).text("password").is_none());
        assert!(secret("QUFB").text("other").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn password_is_forgotten_some_time_after_its_read() {
        let secrets = Secrets::new(KEPT);
        let text = |text: &str| text.to_owned();
        let reference = ClaimedSecretRef { namespace: text("prod"), name: text("pw"), key: text("password") };
        let read = Read { began: clock::instant(), secret: Arc::new(secret("UGFzc3cwcmQh")) };
        let place = Arc::new(tokio::sync::Mutex::new(Some(read)));
        secrets.places.lock().unwrap().insert(place_of(&reference), place);
        tokio::time::advance(KEPT / 2).await;
        secrets.forget_old();
        assert!(secrets.age(&place_of(&reference)).is_some());
        tokio::time::advance(KEPT / 2).await;
        secrets.forget_old();
        assert!(secrets.places.lock().unwrap().is_empty());
    }
}
