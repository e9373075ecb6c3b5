//! Views of the past: every event of every watch dropped, doubled, swapped, held back, or replaced by an end or a 410; and an
//! API server that lags behind for the process that takes over; and readings that are under way for long. The plans are made from a run
//! without faults.

use crate::crash_matrix::{LIMIT, cases, worlds_of};
use crate::plan::{Class, Fault, Lag, Ms, Plan, Stage, WatchFault};
use crate::run::simulate;
use crate::scenarios::one_running;
use crate::story::Story;
use crate::suite::{self, Case, Ends};
use crate::world::Asked;

const SEED: u64 = 1;
/// Later than the longest run without a crash.
const RELIST: Ms = 30 * 60_000;
/// Nearly as long as a reading is waited for.
const LONG: Ms = 9_000;

#[test]
fn every_watch_event_may_be_late_doubled_or_the_last() {
    const FAULTS: [WatchFault; 6] = [
        WatchFault::Drop,
        WatchFault::Double,
        WatchFault::Swap,
        WatchFault::Hold(15_000),
        WatchFault::Break,
        WatchFault::Gone,
    ];
    let cases = cases(|calm| {
        // An event that is dropped without a word, or shown in the wrong order, stays so until a client lists again.
        let plan =
            |event: &str, fault| Plan { relist: Some(RELIST), ..Plan::calm(SEED).with_watch_fault(event, fault) };
        let of = move |event: String| FAULTS.map(|fault| (format!("{event} {fault:?}"), plan(&event, fault)));
        calm.watch_events.into_iter().flat_map(of).collect::<Vec<_>>()
    });
    suite::run("faults of watches", 5, cases);
}

#[test]
fn a_process_that_takes_over_may_see_the_past() {
    const LAGS: [(u64, Ms); 5] = [(0, 15_000), (1, 0), (1, 15_000), (3, 15_000), (3, 1_000)];
    let cases = cases(|calm| {
        let is_record_write = |it: &Asked| it.class == Class::Write && it.key.contains("resetrecords");
        let after = |Asked { key, .. }: Asked| {
            LAGS.map(|(versions, events)| {
                let crash = Plan::calm(SEED).with_crash(&key, Stage::Answered);
                let plan = Plan { lag: Some(Lag { versions, events }), ..crash };
                (format!("crash at {key}, {versions} versions, {events} ms"), plan)
            })
        };
        calm.requests.into_iter().filter(is_record_write).flat_map(after).collect::<Vec<_>>()
    });
    suite::run("a lagging API server", 7, cases);
}

#[test]
fn every_reading_may_be_old_or_empty() {
    const FAULTS: [Fault; 3] = [Fault::Stale(20_000), Fault::Stale(60_000), Fault::Empty];
    let cases = cases(|calm| {
        let reads = calm.requests.into_iter().filter(|it| it.key.starts_with("DescribeInstances"));
        let of = |Asked { key, .. }: Asked| {
            FAULTS.map(|fault| (format!("{key} {fault:?}"), Plan::calm(SEED).with_fault(&key, fault)))
        };
        reads.flat_map(of).collect::<Vec<_>>()
    });
    // M bounds how late a reading lags and an accepted reboot begins together: what begins late is not read late as well.
    let begins_soon = |case: &Case| case.scenario.instances.iter().all(|it| it.reboot_begins_after_seconds < 60.0);
    suite::run("stale readings", 11, cases.filter(begins_soon));
}

/// The password is set while a reading is under way: that one was asked for before it, however late its answer comes.
#[test]
fn reading_begun_before_the_password_is_set_is_too_old() {
    let worlds = worlds_of(one_running()).flat_map(|world| (3..=5).map(move |times| (times, world.clone())));
    let cases = worlds.flat_map(|(times, (world, scenario))| {
        // Each password that does not leave is followed by another one, later and later, and so at last between two readings.
        let held_up = (1..=times).fold(Plan::calm(SEED), |plan, nth| {
            plan.with_fault(&format!("ModifyInstanceAttribute i-1 #{nth}"), Fault::NotSent)
        });
        let requests = simulate(&scenario, held_up.clone(), Story::untold(), LIMIT).requests;
        let reads = requests.into_iter().filter(|it| it.key.starts_with("DescribeInstances"));
        reads.map(move |Asked { key, .. }| Case {
            name: format!("{world}, {times} passwords not sent, {key} takes {LONG} ms"),
            scenario: scenario.clone(),
            plan: held_up.clone().with_fault(&key, Fault::Slow(LONG)),
            limit: LIMIT,
            must_end: true,
            ends: Ends::Known,
        })
    });
    suite::run("long readings", 1, cases);
}
