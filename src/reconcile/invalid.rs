//! What is said on an object that is stored in a form that this version cannot read. It is all that can be done for it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::api::conditions::{self, Claim, Truth};
use crate::api::reasons;

/// A merge patch for the object's status, with the conditions that the kind has beside Stalled: all of them are False.
/// `observedGeneration` is part of it: without it kstatus would keep waiting.
#[must_use]
pub fn status(kinds: &[&'static str], why: &str, generation: Option<i64>, now: Timestamp) -> Value {
    let message = format!("this version of the controller cannot read the object: {why}; apply it again");
    let claim = |kind, truth| Claim { kind, truth, reason: reasons::INVALID_SPEC, message: message.clone() };
    let mut claims: Vec<Claim> = kinds.iter().map(|kind| claim(kind, Truth::False)).collect();
    claims.push(claim(conditions::STALLED, Truth::True));
    let conditions = conditions::set(&[], claims, generation, &Time(now));
    json!({"status": {"observedGeneration": generation, "conditions": conditions}})
}
