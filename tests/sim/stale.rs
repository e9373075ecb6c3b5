//! Views of the past: every event of every watch dropped, doubled, swapped, held back, or replaced by an end or a 410; and an
//! API server that lags behind for the process that takes over. The plans are made from a run without faults.

use crate::crash_matrix::{LIMIT, calm, worlds};
use crate::plan::{Class, Fault, Lag, Plan, Stage, WatchFault};
use crate::suite::{self, Case};

const SEED: u64 = 1;

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
        let events = calm(&scenario).watch_events;
        (0..events).flat_map(move |event| {
            let (name, scenario) = (name.clone(), scenario.clone());
            FAULTS.map(move |fault| Case {
                name: format!("watch, {name}, event {event} {fault:?}"),
                scenario: scenario.clone(),
                plan: Plan::calm(SEED).with_watch_fault(event, fault),
                limit: LIMIT,
                // What is dropped without a word is gone for good: no watch comes back to it.
                must_end: fault != WatchFault::Drop,
            })
        })
    });
    suite::run("faults of watches", cases);
}

#[test]
fn a_process_that_takes_over_may_see_the_past() {
    let cases = worlds().flat_map(|(name, scenario)| {
        let requests = calm(&scenario).requests.into_iter().enumerate();
        let writes = requests.filter(|(_, (class, name))| *class == Class::Write && name.contains("resetrecords"));
        let numbers: Vec<usize> = writes.map(|(number, _)| number).collect();
        numbers.into_iter().flat_map(move |number| {
            let (name, scenario) = (name.clone(), scenario.clone());
            [(0, 15_000), (1, 0), (1, 15_000), (3, 15_000)].map(move |(versions, events)| Case {
                name: format!("lag, {name}, crash at request {number}, {versions} versions, {events} ms"),
                scenario: scenario.clone(),
                plan: Plan {
                    lag: Some(Lag { from: number + 1, versions, events }),
                    ..Plan::calm(SEED).with_crash(number, Stage::Answered)
                },
                limit: LIMIT,
                must_end: true,
            })
        })
    });
    suite::run("a lagging API server", cases);
}

#[test]
fn every_reading_may_be_old_or_empty() {
    let cases = worlds().flat_map(|(name, scenario)| {
        let requests = calm(&scenario).requests.into_iter().enumerate();
        let reads = requests.filter(|(_, (_, name))| name == "DescribeInstances");
        let numbers: Vec<usize> = reads.map(|(number, _)| number).collect();
        numbers.into_iter().flat_map(move |number| {
            let (name, scenario) = (name.clone(), scenario.clone());
            [Fault::Stale(20_000), Fault::Stale(60_000), Fault::Empty].map(move |fault| Case {
                name: format!("reading, {name}, request {number} {fault:?}"),
                scenario: scenario.clone(),
                plan: Plan::calm(SEED).with_fault(number, fault),
                limit: LIMIT,
                must_end: true,
            })
        })
    });
    suite::run("stale readings", cases);
}
