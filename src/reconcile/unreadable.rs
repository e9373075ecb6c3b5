//! What is said on an object that is stored in a form that this version cannot read: it is that object's problem alone.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::api::conditions::{self, Claim, Truth};
use crate::api::reasons;

/// The patch of its status. The generation is told too, else kstatus would wait for one.
#[must_use]
pub fn status_patch(why: &str, generation: Option<i64>, now: Timestamp) -> Value {
    let message = format!("this version of the controller cannot read the object: {why}; apply it again");
    let claim = |kind, truth| Claim { kind, truth, reason: reasons::INVALID_SPEC, message: message.clone() };
    let claims = vec![
        claim(conditions::READY, Truth::False),
        claim(conditions::STALLED, Truth::True),
        claim(conditions::SUCCEEDED, Truth::False),
    ];
    let conditions = conditions::set(&[], claims, generation, &Time(now));
    json!({"status": {"observedGeneration": generation, "conditions": conditions}})
}
