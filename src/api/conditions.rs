//! The condition types, and the one place where a list of conditions is changed.
//!
//! kube has no such helper. The rules are Kubernetes' own: one entry for each type, `lastTransitionTime` moves only when
//! the status does, every entry carries the generation that it speaks of.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::Reason;

/// The object's bottom line; what `kubectl wait --for=condition=Ready` waits for.
pub const READY: &str = "Ready";
/// kstatus: work is going on.
pub const RECONCILING: &str = "Reconciling";
/// kstatus: a person must act.
pub const STALLED: &str = "Stalled";
/// The convention's name for bounded work that is done.
pub const SUCCEEDED: &str = "Succeeded";
/// The account can be used.
pub const ACCOUNT_READY: &str = "AccountReady";
/// The password can be read and fits ECS's rules.
pub const PASSWORD_READY: &str = "PasswordReady";
/// Every instance was found.
pub const TARGETS_RESOLVED: &str = "TargetsResolved";
/// The instances that are done have the password that the Secret holds now.
pub const SECRET_IN_SYNC: &str = "SecretInSync";

/// The status that the schema gives an object which the controller has not seen yet: kstatus, and with it Helm and Flux, must
/// not take a new object for done.
pub fn unseen_status() -> serde_json::Value {
    serde_json::json!({
        "observedGeneration": -1,
        "conditions": [{
            "type": READY, "status": "Unknown", "reason": Reason::Pending.as_str(),
            "message": "waiting for the controller", "lastTransitionTime": "1970-01-01T00:00:00Z"
        }]
    })
}

/// A condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// `True`.
    True,
    /// `False`.
    False,
    /// `Unknown`.
    Unknown,
}

impl ConditionStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What a condition says, without the bookkeeping that [`set`] adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionUpdate {
    /// The condition's type.
    pub kind: &'static str,
    /// Its status.
    pub status: ConditionStatus,
    /// Its reason.
    pub reason: Reason,
    /// Its message for people.
    pub message: String,
}

/// The whole list of conditions after `updates`: in their order, since kstatus reads in list order; types without an
/// update are removed; `lastTransitionTime` is kept where the status has not changed.
#[must_use]
pub fn set(before: &[Condition], updates: Vec<ConditionUpdate>, generation: Option<i64>, now: &Time) -> Vec<Condition> {
    updates
        .into_iter()
        .map(|ConditionUpdate { kind, status, reason, message }| {
            let last_transition_time = before
                .iter()
                .find(|condition| condition.type_ == kind && condition.status == status.as_str())
                // The schema's default carries the year 1970: the first real write says when it was made.
                .filter(|condition| condition.observed_generation.is_some())
                .map_or_else(|| now.clone(), |condition| condition.last_transition_time.clone());
            Condition {
                type_: kind.to_owned(),
                status: status.as_str().to_owned(),
                reason: reason.to_string(),
                message,
                last_transition_time,
                observed_generation: generation,
            }
        })
        .collect()
}

/// Status and reason of Ready, for a metric: in words of closed sets, whoever wrote the conditions.
pub fn ready(conditions: &[Condition]) -> (&'static str, &'static str) {
    let Some(condition) = find(conditions, READY) else { return ("Unknown", Reason::Pending.as_str()) };
    let status = ["True", "False"].into_iter().find(|status| *status == condition.status).unwrap_or("Unknown");
    (status, Reason::parse(&condition.reason).map_or("other", Reason::as_str))
}

/// Whether something in the way is being retried.
pub fn is_retried(conditions: &[Condition]) -> bool {
    find(conditions, RECONCILING).is_some_and(|condition| condition.reason == Reason::ProgressingWithRetry)
}

/// The condition of a type, if the list has it.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(second: i64) -> Time {
        Time(jiff::Timestamp::from_second(second).unwrap())
    }

    fn ready(status: ConditionStatus, message: &str) -> ConditionUpdate {
        ConditionUpdate { kind: READY, status, reason: Reason::Pending, message: message.to_owned() }
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let first = set(&[], vec![ready(ConditionStatus::Unknown, "one")], Some(1), &time(10));
        let same = set(&first, vec![ready(ConditionStatus::Unknown, "two")], Some(2), &time(20));
        assert_eq!(same[0].last_transition_time, time(10));
        assert_eq!((same[0].message.as_str(), same[0].observed_generation), ("two", Some(2)));
        let moved = set(&same, vec![ready(ConditionStatus::True, "three")], Some(2), &time(30));
        assert_eq!(moved[0].last_transition_time, time(30));
    }

    #[test]
    fn ready_has_words_of_closed_sets() {
        let told = |status, reason| {
            super::ready(&set(&[], vec![ConditionUpdate { reason, ..ready(status, "") }], None, &time(1)))
        };
        assert_eq!(told(ConditionStatus::False, Reason::PausedOnFailure), ("False", "PausedOnFailure"));
        let mut by_hand = set(&[], vec![ready(ConditionStatus::True, "")], None, &time(1));
        by_hand[0].reason = "TypedByHand".to_owned();
        assert_eq!(super::ready(&by_hand), ("True", "other"));
        assert_eq!(super::ready(&[]), ("Unknown", "Pending"));
    }

    #[test]
    fn a_type_without_an_update_is_removed() {
        let stalled = ConditionUpdate { kind: STALLED, ..ready(ConditionStatus::True, "") };
        let before = set(&[], vec![ready(ConditionStatus::False, ""), stalled], Some(1), &time(1));
        let after = set(&before, vec![ready(ConditionStatus::True, "")], Some(1), &time(2));
        assert!(find(&after, STALLED).is_none() && find(&after, READY).is_some());
    }

    #[test]
    fn the_time_of_the_schema_default_is_not_kept() {
        let default = Condition {
            observed_generation: None,
            ..set(&[], vec![ready(ConditionStatus::Unknown, "")], None, &time(0))[0].clone()
        };
        let after = set(&[default], vec![ready(ConditionStatus::Unknown, "")], Some(1), &time(5));
        assert_eq!(after[0].last_transition_time, time(5));
    }
}
