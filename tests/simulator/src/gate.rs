//! The signer of a request, and whether this copy of it may still be believed. Everything before ECS looks at the action itself.
//!
//! The nonce is checked last and kept only when all else was right, so a refused request does not use it up.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use crate::access_key::{AccessKey, Revocation};
use crate::answer::Refusal;
use crate::call::Call;
use crate::signature::v1;
use crate::time::{from_request, whole_seconds};

/// How far a Timestamp may lie ahead of ECS's clock. The pages name 15 minutes for both directions; the longer 31
/// hold for the past only.
const AHEAD_SECONDS: u32 = 15 * 60;

/// What every signed request says; that of version 3 says it in headers.
const COMMON: [&str; 5] = ["Action", "Version", "AccessKeyId", "SignatureNonce", "Timestamp"];
/// What version 1 needs beside.
const VERSION_1: [&str; 3] = ["SignatureMethod", "SignatureVersion", "Signature"];

/// The `AccessKeys` and the nonces that were used.
pub(crate) struct Gate {
    keys: BTreeMap<String, Arc<AccessKey>>,
    validity_seconds: u32,
    used: HashSet<(String, String)>,
    /// The same pairs with the time from which a replay would be too old anyway.
    forget: VecDeque<(Timestamp, (String, String))>,
}

impl Gate {
    pub(crate) fn new(keys: Vec<AccessKey>, validity_seconds: u32) -> Self {
        let keys = keys.into_iter().map(|key| (key.access_key_id.clone(), Arc::new(key))).collect();
        Self { keys, validity_seconds, used: HashSet::new(), forget: VecDeque::new() }
    }

    pub(crate) fn put(&mut self, key: AccessKey) {
        self.keys.insert(key.access_key_id.clone(), Arc::new(key));
    }

    pub(crate) fn remove(&mut self, access_key_id: &str) {
        self.keys.remove(access_key_id);
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &AccessKey> {
        self.keys.values().map(Arc::as_ref)
    }

    pub(crate) fn get(&self, access_key_id: &str) -> Option<&AccessKey> {
        self.keys.get(access_key_id).map(Arc::as_ref)
    }

    /// Whether there is one with this id.
    pub(crate) fn revoke(&mut self, access_key_id: &str, how: Revocation) -> bool {
        let key = self.keys.get_mut(access_key_id);
        key.map(|key| Arc::make_mut(key).revoked = Some(how)).is_some()
    }

    pub(crate) fn is_revoked(&self, access_key_id: &str) -> bool {
        self.get(access_key_id).is_none_or(|key| key.revoked.is_some())
    }

    pub(crate) fn expire_temporary(&mut self) {
        for key in self.keys.values_mut().filter(|key| key.security_token.is_some()) {
            Arc::make_mut(key).revoked = Some(Revocation::Expired);
        }
    }

    /// Lets a request in and says in whose name.
    pub(crate) fn admit(&mut self, now: Timestamp, call: &Call) -> Result<Arc<AccessKey>, Refusal> {
        if !matches!(call.method.as_str(), "GET" | "POST") {
            return Err(Refusal::new("UnsupportedHTTPMethod", 403, "This http method is not supported."));
        }
        if let Some(Err(refusal)) = &call.v3 {
            return Err(refusal.clone());
        }
        let own: &[&str] = if call.v3.is_some() { &[] } else { &VERSION_1 };
        if let Some(name) = COMMON.iter().chain(own).find(|name| call.get(name).is_none()) {
            return Err(Refusal::missing(name));
        }
        let wanted = |name: &str| call.get(name).ok_or_else(|| Refusal::missing(name));
        self.check_time(now, wanted("Timestamp")?)?;
        let access_key_id = wanted("AccessKeyId")?;
        let key =
            self.keys.get(access_key_id).cloned().ok_or_else(|| {
                Refusal::new("InvalidAccessKeyId.NotFound", 404, "Specified access key is not found.")
            })?;
        check_revocation(&key)?;
        self.check_token(now, &key, call.get("SecurityToken"))?;
        check_signature(&key, call)?;
        self.use_up(now, access_key_id, wanted("SignatureNonce")?)?;
        Ok(key)
    }

    pub(crate) fn check_time(&self, now: Timestamp, text: &str) -> Result<(), Refusal> {
        let Some(at) = from_request(text) else {
            return Err(Refusal::new("InvalidTimeStamp.Format", 400, "Specified time stamp is not well formatted."));
        };
        let age = now.duration_since(at);
        if age > whole_seconds(self.validity_seconds) || -age > whole_seconds(AHEAD_SECONDS) {
            let message = "Specified time stamp or date value is expired.";
            return Err(Refusal::new("InvalidTimeStamp.Expired", 400, message));
        }
        Ok(())
    }

    /// A token that belongs to another key is a mix-up of two snapshots; one that nobody has is not a token.
    fn check_token(&self, now: Timestamp, key: &AccessKey, token: Option<&str>) -> Result<(), Refusal> {
        let refuse = |code, message| Err(Refusal::new(code, 400, message));
        match (key.security_token.as_deref(), token) {
            (None, None) => Ok(()),
            (Some(_), None) => refuse("MissingSecurityToken", "SecurityToken is mandatory for this action."),
            (Some(known), Some(given)) if known == given => match key.security_token_expires {
                Some(end) if end <= now => Err(token_expired()),
                _ => Ok(()),
            },
            (_, Some(given)) if self.keys().all(|other| other.security_token.as_deref() != Some(given)) => {
                refuse("InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.")
            }
            _ => refuse(
                "InvalidSecurityToken.MismatchWithAccessKey",
                "Specified SecurityToken mismatch with the AccessKey.",
            ),
        }
    }

    fn use_up(&mut self, now: Timestamp, access_key_id: &str, nonce: &str) -> Result<(), Refusal> {
        while self.forget.front().is_some_and(|(until, _)| *until < now) {
            if let Some((_, pair)) = self.forget.pop_front() {
                self.used.remove(&pair);
            }
        }
        let pair = (access_key_id.to_owned(), nonce.to_owned());
        if !self.used.insert(pair.clone()) {
            return Err(Refusal::new("SignatureNonceUsed", 400, "Specified signature nonce was used already."));
        }
        let lasts = whole_seconds(self.validity_seconds.saturating_add(AHEAD_SECONDS));
        self.forget.push_back((now.checked_add(lasts).unwrap_or(Timestamp::MAX), pair));
        Ok(())
    }
}

fn check_revocation(key: &AccessKey) -> Result<(), Refusal> {
    match key.revoked {
        None => Ok(()),
        Some(Revocation::Disabled) => {
            Err(Refusal::new("Forbidden.AccessKeyDisabled", 403, "The Access Key is disabled."))
        }
        Some(Revocation::Inactive) => {
            Err(Refusal::new("InvalidAccessKeyId.Inactive", 400, "Specified access key is disabled."))
        }
        Some(Revocation::Expired) => Err(token_expired()),
    }
}

fn token_expired() -> Refusal {
    Refusal::new("InvalidSecurityToken.Expired", 400, "Specified SecurityToken is expired.")
}

fn check_signature(key: &AccessKey, call: &Call) -> Result<(), Refusal> {
    // ECS echoes what it signed, the password too. This does the same, to prove that clients never copy it.
    let mismatch = |expected: &str| {
        let message =
            format!("Specified signature does not match our calculation. server string to sign is:{expected}");
        Err(Refusal::new("SignatureDoesNotMatch", 400, message))
    };
    if let Some(Ok(signature)) = &call.v3 {
        let right = signature.is_by(&key.access_key_secret);
        return if right { Ok(()) } else { mismatch(&signature.canonical_request) };
    }
    if call.get("SignatureMethod") != Some("HMAC-SHA1") {
        return Err(Refusal::new("InvalidSignatureMethod", 400, "Specified signature method is not valid."));
    }
    if call.get("SignatureVersion") != Some("1.0") {
        // Spelt as ECS spells it.
        let message = "The specified parameter \"SignatureVersion\" is not valid.";
        return Err(Refusal::new("InvalidParamater", 400, message));
    }
    let expected = v1::string_to_sign(&call.method, call.all());
    let right = v1::matches(&key.access_key_secret, &expected, call.get("Signature").unwrap_or_default());
    if right { Ok(()) } else { mismatch(&expected) }
}
