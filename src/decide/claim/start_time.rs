//! Whether a region's StartTime follows reboots: ECS's documents do not say, so it is learnt from restarts of ours.
//!
//! It decides whether an unmoved StartTime proves that a lost restart was not carried out. So it is believed only after
//! several instances, and one that speaks against it counts for good.

use jiff::Timestamp;

use crate::api::ecs_account::StartTimeFollowsReboot;
use crate::api::reset_record::{Phase, ResetRecord, ResetRecordStatus, StartTimeEvidence};
use crate::decide::minute;

/// How many instances have to agree.
const INSTANCES: usize = 3;

/// What is known of an account's region after `records`, which may also be of other accounts and regions.
#[must_use]
pub fn learn(
    known: StartTimeFollowsReboot,
    account_name: &str,
    region_id: &str,
    records: &[&ResetRecord],
) -> StartTimeFollowsReboot {
    let is_there =
        |record: &&&ResetRecord| record.spec.account_name == account_name && record.spec.region_id == region_id;
    let there = records.iter().filter(is_there);
    let evidence: Vec<_> = there.filter_map(|record| record.status.as_ref()?.start_time_evidence).collect();
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
    use crate::decide::fixtures::claimed;

    fn record(evidence: Option<StartTimeEvidence>) -> ResetRecord {
        let mut record = claimed();
        record.status.as_mut().unwrap().start_time_evidence = evidence;
        record
    }

    fn known_after(known: StartTimeFollowsReboot, evidence: &[Option<StartTimeEvidence>]) -> StartTimeFollowsReboot {
        let records: Vec<_> = evidence.iter().map(|evidence| record(*evidence)).collect();
        learn(known, "default", "cn-hangzhou", &records.iter().collect::<Vec<_>>())
    }

    const MOVED: Option<StartTimeEvidence> = Some(StartTimeEvidence::Moved);

    #[test]
    fn three_instances_make_it_known_and_fewer_do_not() {
        let unknown = StartTimeFollowsReboot::Unknown;
        assert_eq!(known_after(unknown, &[MOVED, MOVED, Some(StartTimeEvidence::Inconclusive), None]), unknown);
        assert_eq!(known_after(unknown, &[MOVED, MOVED, MOVED]), StartTimeFollowsReboot::Observed);
    }

    #[test]
    fn other_accounts_and_regions_teach_nothing() {
        let moved = record(MOVED);
        for (account, region) in [("default", "cn-beijing"), ("other", "cn-hangzhou")] {
            let known = learn(StartTimeFollowsReboot::Unknown, account, region, &[&moved, &moved, &moved]);
            assert_eq!(known, StartTimeFollowsReboot::Unknown);
        }
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
