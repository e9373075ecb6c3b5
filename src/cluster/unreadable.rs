//! The conditions of an object that is stored in a form that this version cannot read. No other object is affected.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::{Value, json};

use crate::api::Reason;
use crate::api::conditions::{self, ConditionStatus, ConditionUpdate};

/// The longest text about what cannot be read, in characters.
const WHY_CHARS_MAX: usize = 300;

/// Why an object cannot be read, from the parser's text, cut to a bound. The parser repeats the value, which may be as large as the
/// object, and the API server would not store a status that repeats it.
pub fn why(error: &str) -> String {
    error.chars().filter(|char| !char.is_control()).take(WHY_CHARS_MAX).collect()
}

/// Its conditions.
pub fn conditions(why: &str, generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let message = format!("this version of the controller cannot read the object: {why}; apply it again");
    let update = |kind, status| ConditionUpdate { kind, status, reason: Reason::InvalidSpec, message: message.clone() };
    let updates = vec![
        update(conditions::READY, ConditionStatus::False),
        update(conditions::STALLED, ConditionStatus::True),
        update(conditions::SUCCEEDED, ConditionStatus::False),
    ];
    conditions::set(&[], updates, generation, &Time(now))
}

/// The patch of its status. It holds the generation because kstatus would wait for it otherwise.
pub fn status_patch(conditions: &[Condition], generation: Option<i64>) -> Value {
    json!({"status": {"observedGeneration": generation, "conditions": conditions}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::password_reset::PasswordReset;

    #[test]
    fn message_about_a_huge_value_is_short() {
        let object = json!({"metadata": {}, "spec": {"regionID": "cn-hangzhou", "instanceIDs": "x".repeat(1_000_000)}});
        let error = serde_json::from_value::<PasswordReset>(object).unwrap_err().to_string();
        assert!(error.len() > 1_000_000, "the parser repeats what it cannot read");
        let conditions = conditions(&why(&error), Some(1), Timestamp::UNIX_EPOCH);
        assert!(status_patch(&conditions, Some(1)).to_string().len() < 3_000);
    }
}
