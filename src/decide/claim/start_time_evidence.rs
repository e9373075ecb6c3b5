//! Whether a region's StartTime follows reboots: ECS's documents do not say, so it is learnt from restarts of ours.
//!
//! It decides whether an unmoved StartTime proves that a lost restart was not carried out. It is therefore believed only after
//! several instances, and one that speaks against it counts for good.

use jiff::{SignedDuration, Timestamp};

use crate::api::ecs_account::StartTimeFollowsReboot;
use crate::api::reset_record::{Phase, ResetRecord, ResetRecordStatus, StartTimeEvidence};
use crate::decide::minute;

/// How many instances have to agree.
const INSTANCES: usize = 3;

/// How many records speak for and against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Instances whose StartTime moved with a restart of ours.
    pub moved: usize,
    /// Instances whose StartTime did not.
    pub not_moved: usize,
}

impl Evidence {
    /// What one record says.
    pub fn of(record: &ResetRecord) -> Self {
        let says = |kind| usize::from(record.status.as_ref().and_then(|it| it.start_time_evidence) == Some(kind));
        Self { moved: says(StartTimeEvidence::Moved), not_moved: says(StartTimeEvidence::NotMoved) }
    }

    /// With another record's.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { moved: self.moved + other.moved, not_moved: self.not_moved + other.not_moved }
    }

    /// Without another record's, which was in it.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self {
            moved: self.moved.saturating_sub(other.moved),
            not_moved: self.not_moved.saturating_sub(other.not_moved),
        }
    }
}

/// Whether StartTime follows reboots in an account's region, given the evidence of its records there.
pub fn learn(known: StartTimeFollowsReboot, evidence: Evidence) -> StartTimeFollowsReboot {
    match known {
        StartTimeFollowsReboot::NotObserved | StartTimeFollowsReboot::Unrecognized => {
            StartTimeFollowsReboot::NotObserved
        }
        _ if evidence.not_moved > 0 => StartTimeFollowsReboot::NotObserved,
        StartTimeFollowsReboot::Observed => StartTimeFollowsReboot::Observed,
        StartTimeFollowsReboot::Unknown if evidence.moved >= INSTANCES => StartTimeFollowsReboot::Observed,
        StartTimeFollowsReboot::Unknown => StartTimeFollowsReboot::Unknown,
    }
}

/// What the restart in `status` says now that it is proven: by the StartTime `moved_to`, or, where that has not moved, by
/// a reading that was sent too late to lag.
pub fn evidence(status: &ResetRecordStatus, moved_to: Option<Timestamp>) -> Option<StartTimeEvidence> {
    if status.phase != Phase::Restarting || status.start_time_evidence.is_some() {
        return status.start_time_evidence;
    }
    let Some(start_time) = moved_to else { return Some(StartTimeEvidence::NotMoved) };
    // Another start than ours may have moved it, unless it came after our send.
    let sent = status.attempt.as_ref()?.timestamp.0;
    Some(if start_time >= minute(sent) { StartTimeEvidence::Moved } else { StartTimeEvidence::Inconclusive })
}

/// How long the restart of a claim took, from its acceptance to the proof; `None`: the claim has not ended by one.
pub fn restart_took(record: &ResetRecord) -> Option<SignedDuration> {
    let status = record.status.as_ref().filter(|status| status.phase == Phase::InEffect)?;
    let proven = status.row.as_ref()?.state_time.as_ref()?.0;
    let took = proven.duration_since(status.accepted_at.as_ref()?.0);
    took.is_positive().then_some(took)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixtures::claimed;

    fn record(evidence: Option<StartTimeEvidence>) -> ResetRecord {
        let mut record = claimed();
        record.status.as_mut().unwrap().start_time_evidence = evidence;
        record
    }

    fn known_after(known: StartTimeFollowsReboot, evidence: &[Option<StartTimeEvidence>]) -> StartTimeFollowsReboot {
        let sum = evidence.iter().map(|evidence| Evidence::of(&record(*evidence)));
        learn(known, sum.fold(Evidence::default(), Evidence::and))
    }

    const MOVED: Option<StartTimeEvidence> = Some(StartTimeEvidence::Moved);

    #[test]
    fn three_instances_make_it_known_and_fewer_do_not() {
        let unknown = StartTimeFollowsReboot::Unknown;
        assert_eq!(known_after(unknown, &[MOVED, MOVED, Some(StartTimeEvidence::Inconclusive), None]), unknown);
        assert_eq!(known_after(unknown, &[MOVED, MOVED, MOVED]), StartTimeFollowsReboot::Observed);
    }

    #[test]
    fn one_instance_speaks_against_it_for_good() {
        let not = StartTimeFollowsReboot::NotObserved;
        let against = Some(StartTimeEvidence::NotMoved);
        assert_eq!(known_after(StartTimeFollowsReboot::Observed, &[MOVED, MOVED, MOVED, against]), not);
        assert_eq!(known_after(not, &[MOVED, MOVED, MOVED]), not);
    }

    #[test]
    fn what_was_known_outlives_the_records() {
        assert_eq!(known_after(StartTimeFollowsReboot::Observed, &[]), StartTimeFollowsReboot::Observed);
    }
}
