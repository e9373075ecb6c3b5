//! Views of the past: every event of every watch dropped, doubled, swapped, held back, or replaced by an end or a 410; and an
//! API server that lags behind for the process that takes over. The plans are made from a run without faults.

use crate::crash_matrix::{LIMIT, calm, worlds};
use crate::plan::{Class, Fault, Lag, Ms, Plan, Stage, WatchFault};
use crate::suite::{self, Case};
use crate::world::Asked;

const SEED: u64 = 1;
/// Later than the longest run without a crash.
const RELIST: Ms = 30 * 60_000;

#[test]
fn every_event_of_a_watch_may_be_late_twice_out_of_order_or_the_last() {
    const FAULTS: [WatchFault; 6] = [
        WatchFault::Drop,
        WatchFault::Double,
        WatchFault::Swap,
        WatchFault::Hold(15_000),
        WatchFault::Break,
        WatchFault::Gone,
    ];
    let cases = worlds().flat_map(|(name, scenario)| {
        calm(&scenario).watch_events.into_iter().flat_map(move |event| {
            let (name, scenario) = (name.clone(), scenario.clone());
            FAULTS.map(move |fault| Case {
                name: format!("watch, {name}, {event} {fault:?}"),
                scenario: scenario.clone(),
                // What is dropped without a word, or shown in the wrong order, stays so until somebody lists again.
                plan: Plan { relist: Some(RELIST), ..Plan::calm(SEED).with_watch_fault(&event, fault) },
                limit: LIMIT,
                must_end: true,
            })
        })
    });
    suite::run("faults of watches", 5, cases);
}

#[test]
fn a_process_that_takes_over_may_see_the_past() {
    let cases = worlds().flat_map(|(name, scenario)| {
        let is_record_write = |it: &Asked| it.class == Class::Write && it.key.contains("resetrecords");
        let writes = calm(&scenario).requests.into_iter().filter(is_record_write);
        writes.flat_map(move |write| {
            let (name, scenario) = (name.clone(), scenario.clone());
            [(0, 15_000), (1, 0), (1, 15_000), (3, 15_000)].map(move |(versions, events)| Case {
                name: format!("lag, {name}, crash at {}, {versions} versions, {events} ms", write.key),
                scenario: scenario.clone(),
                plan: Plan {
                    lag: Some(Lag { versions, events }),
                    ..Plan::calm(SEED).with_crash(&write.key, Stage::Answered)
                },
                limit: LIMIT,
                must_end: true,
            })
        })
    });
    suite::run("a lagging API server", 3, cases);
}

#[test]
fn every_reading_may_be_old_or_empty() {
    let cases = worlds().flat_map(|(name, scenario)| {
        let reads = calm(&scenario).requests.into_iter().filter(|it| it.key.starts_with("DescribeInstances"));
        reads.flat_map(move |read| {
            let (name, scenario) = (name.clone(), scenario.clone());
            [Fault::Stale(20_000), Fault::Stale(60_000), Fault::Empty].map(move |fault| Case {
                name: format!("reading, {name}, {} {fault:?}", read.key),
                scenario: scenario.clone(),
                plan: Plan::calm(SEED).with_fault(&read.key, fault),
                limit: LIMIT,
                must_end: true,
            })
        })
    });
    suite::run("stale readings", 3, cases);
}
