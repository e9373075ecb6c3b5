//! Every write meets a conflict, gets lost, is made but not answered, or is made after its sender has given up; and every
//! changing call to ECS meets what can happen to one.

use crate::crash_matrix::cases;
use crate::plan::{Class, Fault, Plan};
use crate::suite::{self, Case};
use crate::world::Asked;

const SEED: u64 = 1;

/// The runs in which each of the requests of a class meets each of the faults.
fn each(class: Class, faults: &'static [Fault]) -> impl Iterator<Item = Case> + Send {
    cases(move |calm| {
        let of = |Asked { key, .. }: Asked| {
            let met = |fault: &Fault| (format!("{key} {fault:?}"), Plan::calm(SEED).with_fault(&key, *fault));
            faults.iter().map(met).collect::<Vec<_>>()
        };
        calm.requests.into_iter().filter(|request| request.class == class).flat_map(of).collect::<Vec<_>>()
    })
}

#[test]
fn every_write_may_conflict_be_lost_or_stay_unanswered() {
    const FAULTS: &[Fault] = &[
        Fault::Conflict,
        Fault::Unavailable,
        Fault::LoseRequest,
        Fault::LoseAnswer,
        Fault::GatewayTimeout,
        Fault::Late(12_000),
        Fault::Slow(30_000),
    ];
    suite::run("faults of writes", 5, each(Class::Write, FAULTS));
}

#[test]
fn every_changing_call_may_be_lost_refused_or_late() {
    const FAULTS: &[Fault] = &[
        Fault::LoseRequest,
        Fault::LoseAnswer,
        Fault::NotSent,
        Fault::Late(30_000),
        Fault::Late(600_000),
        Fault::Late(30 * 60_000),
        Fault::Late(40 * 60_000),
        Fault::Slow(20_000),
        Fault::Slow(120_000),
        Fault::Refuse("IncorrectInstanceStatus", 403),
        Fault::Refuse("Throttling.User", 400),
        Fault::Refuse("InvalidTimeStamp.Expired", 400),
        Fault::Refuse("InternalError", 500),
        Fault::Refuse("Forbidden.RAM", 403),
    ];
    suite::run("faults of changing calls", 2, each(Class::Change, FAULTS));
}

#[test]
fn every_other_request_may_fail_or_take_its_time() {
    const FAULTS: &[Fault] = &[Fault::LoseAnswer, Fault::Slow(30_000)];
    let reads = [Class::Get, Class::List, Class::Watch, Class::Read].into_iter().flat_map(|class| each(class, FAULTS));
    suite::run("faults of reads", 11, reads);
}
