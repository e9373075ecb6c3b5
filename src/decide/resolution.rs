//! A person's decision on an instance whose outcome is Unknown: the annotation `resolve-unknown`.
//!
//! It counts only while the claim that it names is Unknown, after a restart request or a loss of memory, and drained. An annotation that
//! stays on the object, or comes twice, decides nothing a second time. One on a claim that is to come keeps it from being made: see the
//! gates of `reset::eligibility`.

use jiff::Timestamp;

use crate::api::reset_record::{Owner, Phase, ResetRecord};
use crate::api::{HAPPENED, RESOLVE_UNKNOWN, RESTART_AGAIN, Reason};
use crate::decide::is_drained;

/// What was decided, and on which claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The instance.
    pub instance_id: String,
    /// The claim's number.
    pub claim: i64,
    /// The decision.
    pub decision: Decision,
}

/// What a person may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The restart happened: the password is in effect.
    Happened,
    /// It did not: reset the instance again, restart included.
    RestartAgain,
}

impl Resolution {
    /// Reads `<instanceID>/<claim>=Happened|RestartAgain`. `None`: it has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let (target, decision) = text.trim().split_once('=')?;
        let (instance_id, claim) = target.split_once('/')?;
        let decision = match decision {
            HAPPENED => Decision::Happened,
            RESTART_AGAIN => Decision::RestartAgain,
            _ => return None,
        };
        Some(Self { instance_id: instance_id.to_owned(), claim: claim.parse().ok()?, decision })
    }

    /// Whether it decides on the claim that `record` holds for `owner`.
    pub fn counts(&self, record: &ResetRecord, owner: &Owner, now: Timestamp) -> bool {
        let spec = &record.spec;
        let names_it = spec.instance_id == self.instance_id && spec.claim == self.claim && spec.owner.is(owner);
        names_it
            && record.status.as_ref().is_some_and(|status| {
                let is_lost = status.row.as_ref().is_some_and(|row| row.reason().is_some_and(Reason::is_decidable));
                let is_decidable = status.start_time_before.is_some() || is_lost;
                status.phase == Phase::Unknown && is_decidable && is_drained(status, now)
            })
    }
}

/// The command by which a person records that a claim's restart happened.
pub fn happened_command(owner: &Owner, instance_id: &str, claim: i64) -> String {
    let Owner { namespace, name, .. } = owner;
    format!(
        "kubectl annotate --overwrite -n {namespace} passwordreset {name} {RESOLVE_UNKNOWN}={instance_id}/{claim}={HAPPENED}"
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::decide::fixtures::{at, claimed, owner};

    fn unknown() -> ResetRecord {
        let mut record = claimed();
        let status = record.status.as_mut().unwrap();
        status.phase = Phase::Unknown;
        status.start_time_before = Some(Time(at(-600)));
        record
    }

    #[test]
    fn only_the_documented_form_is_read() {
        let resolution = Resolution::parse(" i-bp1a0000/7=RestartAgain ").unwrap();
        let expected = Resolution { instance_id: "i-bp1a0000".to_owned(), claim: 7, decision: Decision::RestartAgain };
        assert_eq!(resolution, expected);
        for wrong in ["", "i-1=Happened", "i-1/x=Happened", "i-1/1=happened", "i-1/1", "i-1/1=Happened,i-2/1=Happened"]
        {
            assert_eq!(Resolution::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn it_counts_while_that_very_claim_is_unknown_and_drained() {
        let resolution = Resolution::parse("i-bp1a0000/1=Happened").unwrap();
        let (record, drained) = (unknown(), at(1_920));
        assert!(resolution.counts(&record, &owner("web"), drained));
        assert!(!resolution.counts(&record, &owner("web"), drained - jiff::SignedDuration::from_secs(1)));
        assert!(!resolution.counts(&record, &owner("other"), drained));
        let mut later = unknown();
        later.spec.claim = 2;
        assert!(!resolution.counts(&later, &owner("web"), drained), "another claim");
        let mut password = unknown();
        password.status.as_mut().unwrap().start_time_before = None;
        assert!(!resolution.counts(&password, &owner("web"), drained), "no restart was requested");
        let mut ended = unknown();
        ended.status.as_mut().unwrap().phase = Phase::InEffect;
        assert!(!resolution.counts(&ended, &owner("web"), drained));
    }
}
