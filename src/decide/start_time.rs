//! Whether a region's StartTime follows reboots: ECS's documents do not say, so it is learnt from restarts of ours.
//!
//! It decides whether an unmoved StartTime proves that a lost restart was not carried out. So it is believed only after
//! several instances, and one that speaks against it counts for good.

use jiff::Timestamp;

use super::minute;
use crate::api::ecs_account::StartTimeFollowsReboot;
use crate::api::reset_record::{Phase, ResetRecord, ResetRecordStatus, StartTimeEvidence};

/// How many instances have to agree.
const INSTANCES: usize = 3;

/// What is known of a region after `records`, which are those of its account.
#[must_use]
pub fn learn<'a>(
    known: StartTimeFollowsReboot,
    region_id: &str,
    records: impl IntoIterator<Item = &'a ResetRecord>,
) -> StartTimeFollowsReboot {
    let of_region = records.into_iter().filter(|record| record.spec.region_id == region_id);
    let evidence: Vec<_> = of_region.filter_map(|record| record.status.as_ref()?.start_time_evidence).collect();
    let count = |kind| evidence.iter().filter(|evidence| **evidence == kind).count();
    match known {
        StartTimeFollowsReboot::NotObserved | StartTimeFollowsReboot::Unrecognized => {
            StartTimeFollowsReboot::NotObserved
        }
        _ if count(StartTimeEvidence::NotMoved) > 0 => StartTimeFollowsReboot::NotObserved,
        StartTimeFollowsReboot::Observed => StartTimeFollowsReboot::Observed,
        StartTimeFollowsReboot::Unknown if count(StartTimeEvidence::Moved) >= INSTANCES => {
            StartTimeFollowsReboot::Observed
        }
        StartTimeFollowsReboot::Unknown => StartTimeFollowsReboot::Unknown,
    }
}

/// What the restart in `status` says now that it is proven: by the StartTime `moved_to`, or, where that has not moved, by
/// a reading that was sent too late to lag.
#[must_use]
pub fn evidence(status: &ResetRecordStatus, moved_to: Option<Timestamp>) -> Option<StartTimeEvidence> {
    if status.phase != Phase::Restarting || status.start_time_evidence.is_some() {
        return status.start_time_evidence;
    }
    let Some(start_time) = moved_to else { return Some(StartTimeEvidence::NotMoved) };
    // Another start than ours may have moved it, unless it came after our send.
    let sent = status.attempt.as_ref()?.timestamp.0;
    Some(if start_time >= minute(sent) { StartTimeEvidence::Moved } else { StartTimeEvidence::Inconclusive })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::instance::tests::claimed;

    const REGION: &str = "cn-hangzhou";

    fn record(evidence: Option<StartTimeEvidence>) -> ResetRecord {
        let mut record = claimed();
        record.status.as_mut().unwrap().start_time_evidence = evidence;
        record
    }

    fn known_after(known: StartTimeFollowsReboot, evidence: &[StartTimeEvidence]) -> StartTimeFollowsReboot {
        let records: Vec<_> = evidence.iter().map(|evidence| record(Some(*evidence))).collect();
        learn(known, REGION, &records)
    }

    #[test]
    fn three_instances_make_it_known_and_fewer_do_not() {
        use StartTimeEvidence::{Inconclusive, Moved};
        let unknown = StartTimeFollowsReboot::Unknown;
        assert_eq!(known_after(unknown, &[Moved, Moved, Inconclusive]), unknown);
        assert_eq!(known_after(unknown, &[Moved, Moved, Moved]), StartTimeFollowsReboot::Observed);
        assert_eq!(learn(unknown, "cn-beijing", &[Moved; 3].map(|evidence| record(Some(evidence)))), unknown);
        assert_eq!(learn(unknown, REGION, &[record(None), record(None), record(None)]), unknown);
    }

    #[test]
    fn one_instance_speaks_against_it_for_good() {
        use StartTimeEvidence::{Moved, NotMoved};
        let not = StartTimeFollowsReboot::NotObserved;
        assert_eq!(known_after(StartTimeFollowsReboot::Observed, &[Moved, Moved, Moved, NotMoved]), not);
        assert_eq!(known_after(not, &[Moved, Moved, Moved]), not);
    }

    #[test]
    fn what_was_known_outlives_the_records() {
        assert_eq!(known_after(StartTimeFollowsReboot::Observed, &[]), StartTimeFollowsReboot::Observed);
    }
}
