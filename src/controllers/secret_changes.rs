//! The objects at rest that another value in their Secret concerns (`onSecretChange: Reset`), and the task that looks for it: once for each
//! Secret, whatever the number of objects. It asks for metadata alone, and decides nothing: an object that is woken compares fingerprints.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::Context;
use crate::cluster::ClusterError;
use crate::cluster::objects::ObjectKey;
use crate::cluster::secrets::RawSecret;
use crate::cluster::wake::{Waiter, Waker};

/// The objects at rest.
#[derive(Default)]
pub struct AtRest(Mutex<BTreeMap<ObjectKey, Seen>>);

/// The Secret of an object, and its version at the object's last pass; `None`: it was not there, or might not be read.
type Seen = (ObjectKey, Option<String>);

impl AtRest {
    /// Notes that an object waits for another version of a Secret.
    pub fn note(&self, object: ObjectKey, secret: ObjectKey, version: Option<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(object, (secret, version));
    }

    /// Notes that an object does not wait, or is gone.
    pub fn forget(&self, object: &ObjectKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }

    /// The objects of each Secret, with the versions that they have seen.
    fn by_secret(&self) -> BTreeMap<ObjectKey, Vec<(ObjectKey, Option<String>)>> {
        let mut secrets: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (object, (secret, version)) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            secrets.entry(secret.clone()).or_default().push((object.clone(), version.clone()));
        }
        secrets
    }
}

/// Looks once at the version of each Secret, and wakes the objects that have seen another one.
pub async fn look<T>(context: &Context<T>, waker: &Waker) {
    for (secret, objects) in context.at_rest.by_secret() {
        let version = match context.cluster.version_of::<RawSecret>(&secret.namespace, &secret.name).await {
            Ok(version) => version,
            // That it cannot be read is a change too: the object says so, and is woken once.
            Err(ClusterError::NotFound { .. } | ClusterError::Forbidden { .. }) => None,
            // Nothing is known to have changed. The next look asks again.
            Err(error) => {
                tracing::debug!(%error, "the version of a Secret could not be read");
                continue;
            }
        };
        let concerned = objects.iter().filter(|(_, seen)| *seen != version);
        for (object, _) in concerned {
            context.secrets.forget(&secret);
            waker.wake(&Waiter::Object { namespace: object.namespace.clone(), name: object.name.clone() });
        }
    }
}
