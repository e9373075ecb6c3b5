//! The known facts of an object's passwords: fingerprints, and what is wrong. No password leaves this file.

use std::sync::Arc;

use kube::ResourceExt;
use secrecy::{ExposeSecret, SecretString};

use super::pace;
use crate::api::password_reset::PasswordReset;
use crate::api::reset_record::{ClaimedSecretRef, Fingerprint, Owner};
use crate::cluster::objects::ObjectKey;
use crate::cluster::secrets::RawSecret;
use crate::controllers::Context;
use crate::decide::Hold;
use crate::decide::reset::facts::OwnPassword;
use crate::decide::reset::password_rules::{self, Broken};

/// Stands for an instance where a message names a key and the instances are not known yet.
const SOME_INSTANCE: &str = "INSTANCE_ID";

/// What an object's Secret holds. Where each instance has a password of its own, the fields tell of the Secret alone.
pub(super) struct Passwords {
    secret: Option<Arc<RawSecret>>,
    /// The fingerprint of the password that all instances share.
    pub(super) fingerprint: Option<Fingerprint>,
    /// Why there is none.
    pub(super) hold: Option<Hold>,
    /// The rule that it breaks for every instance.
    pub(super) broken: Option<Broken>,
    /// The rule that it breaks for Windows instances.
    pub(super) broken_on_windows: Option<Broken>,
}

impl Passwords {
    /// Reads the Secret, unless it was read a short time ago.
    pub(super) async fn read<T>(context: &Context<T>, object: &PasswordReset, owner: &Owner) -> Self {
        let first = object.spec.instance_ids.as_ref().and_then(|ids| ids.first());
        let reference = reference(object, first.map_or(SOME_INSTANCE, String::as_str));
        let secret = if pace::is_changed(context, object) {
            // A user who changes an object may have changed its Secret just before.
            context.secrets.now(&context.cluster, &reference).await
        } else {
            context.secrets.known(&context.cluster, &reference, context.settings.secret_poll).await
        };
        let shared = match &secret {
            Err(hold) => Err(hold.clone()),
            Ok(_) if object.spec.password_secret_ref.has_key_per_instance() => return Self::of_none(secret.ok()),
            Ok(secret) => secret.password(&reference),
        };
        let OwnPassword { fingerprint, hold, broken, broken_on_windows } = facts(context, owner, shared);
        Self { secret: secret.ok(), fingerprint, hold, broken, broken_on_windows }
    }

    fn of_none(secret: Option<Arc<RawSecret>>) -> Self {
        Self { secret, fingerprint: None, hold: None, broken: None, broken_on_windows: None }
    }

    /// What the Secret holds for one instance; `None`: it shares a password with the others, or the Secret could not be read.
    pub(super) fn of_instance<T>(
        &self,
        context: &Context<T>,
        object: &PasswordReset,
        owner: &Owner,
        instance_id: &str,
    ) -> Option<OwnPassword> {
        let secret = self.secret.as_ref().filter(|_| object.spec.password_secret_ref.has_key_per_instance())?;
        Some(facts(context, owner, secret.password(&reference(object, instance_id))))
    }

    /// The Secret's version, where it was read.
    pub(super) fn version(&self) -> Option<String> {
        self.secret.as_ref().and_then(|secret| secret.version().map(str::to_owned))
    }
}

fn facts<T>(context: &Context<T>, owner: &Owner, password: Result<SecretString, Hold>) -> OwnPassword {
    match password {
        Err(hold) => OwnPassword { hold: Some(hold), ..OwnPassword::default() },
        Ok(password) => OwnPassword {
            fingerprint: Some(context.fingerprint_key.of(owner, &password)),
            hold: None,
            broken: password_rules::check(password.expose_secret()).err(),
            broken_on_windows: password_rules::check_windows(password.expose_secret()).err(),
        },
    }
}

/// An object's Secret.
pub(super) fn secret_of(object: &PasswordReset) -> ObjectKey {
    ObjectKey::new(&object.namespace().unwrap_or_default(), &object.spec.password_secret_ref.name)
}

/// Where an object's password for an instance is.
pub(super) fn reference(object: &PasswordReset, instance_id: &str) -> ClaimedSecretRef {
    let ObjectKey { namespace, name } = secret_of(object);
    ClaimedSecretRef { namespace, name, key: object.spec.password_secret_ref.key_of(instance_id).to_owned() }
}
