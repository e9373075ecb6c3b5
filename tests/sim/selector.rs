//! What a selector matches changes while it is looked up, page by page: at each moment, with a crash at each request, and with a
//! page that fails. A run has one list all the same, and each of its instances is restarted once.

use serde_json::json;

use crate::crash_matrix::{LIMIT, calm};
use crate::plan::{Class, Fault, Ms, Plan, RIGHT, STAGES};
use crate::run::Report;
use crate::scenario::{CONSENT, Do, Scenario, When, reset};
use crate::scenarios::{running, scenario};
use crate::suite::{self, Case, Ends};

const SEED: u64 = 1;
/// Without the tag at first; it comes before all others, and behind them.
const FIRST: &str = "i-0";
const LAST: &str = "i-6";
const TAGGED: [&str; 5] = ["i-1", "i-2", "i-3", "i-4", "i-5"];
/// When a person asks for another run.
const AGAIN: Ms = 3 * 60_000;
/// How far apart the moments are that are tried; a page takes longer.
const STEP: usize = 15;
/// How a page fails.
const FAILURES: [Fault; 3] =
    [Fault::Refuse("InternalError", 500), Fault::Refuse("Throttling.User", 400), Fault::LoseAnswer];

/// What a person does to the fleet; each of it with a name.
fn changes() -> [(&'static str, Vec<Do>); 6] {
    let tag = |id: &str, has: bool| Do::Tag(id.to_owned(), has);
    [
        ("one more behind", vec![tag(LAST, true)]),
        ("one more in front", vec![tag(FIRST, true)]),
        ("the second less", vec![tag("i-2", false)]),
        ("the last less", vec![tag("i-5", false)]),
        ("the second for the first", vec![tag("i-2", false), tag(FIRST, true)]),
        ("the fourth released", vec![Do::Release("i-4".to_owned())]),
    ]
}

/// Five instances with the tag and two without, of which ECS shows two a page.
fn fleet(is_asked_again: bool) -> Scenario {
    let (key, value) = CONSENT;
    let restart = json!({"maxUnavailable": 5, "minReadySeconds": 5});
    let selector = json!({"tags": {key: value}, "maxTargets": 10});
    let web =
        |run: &str| reset("web", json!({"selector": selector, "restart": restart, "maxFailures": 5, "runID": run}));
    let tagged = TAGGED.map(|id| running(id).tagged(key, value));
    let instances: Vec<_> = tagged.into_iter().chain([running(FIRST), running(LAST)]).collect();
    let pages = Do::Ecs("ECS shows two instances a page", |ecs, _| ecs.set_page_max(2));
    let mut script = vec![(When::At(0), pages)];
    script.extend(is_asked_again.then(|| (When::At(AGAIN), Do::Apply(web("2")))));
    let runs = if is_asked_again { 2 } else { 1 };
    Scenario {
        script,
        runs: TAGGED.into_iter().chain([FIRST, LAST]).map(|id| (id, runs)).collect(),
        ends: vec![("InEffect RestartProven", runs * TAGGED.len())],
        ..scenario("a fleet by its tag", &instances, &[web("1")])
    }
}

/// A run for each thing that a person may do to the fleet, at one moment.
fn with_each_change(scenario: &Scenario, at: Ms, name: &str, plan: &Plan) -> Vec<Case> {
    let case = |(what, acts): (&str, Vec<Do>)| {
        let mut scenario = scenario.clone();
        scenario.script.extend(acts.into_iter().map(|act| (When::At(at), act)));
        let name = format!("{name}, {what}");
        Case { name, scenario, plan: plan.clone(), limit: LIMIT, must_end: true, ends: Ends::Any }
    };
    changes().into_iter().map(case).collect()
}

/// From when a selector is looked up until some moment after the first claim, in a run in which nobody changes anything.
fn look_up(report: &Report, from: Ms) -> std::ops::Range<Ms> {
    let mut later = report.requests.iter().filter(|it| it.at >= from);
    let claim = later.find(|it| it.class == Class::Write && it.key.contains("resetrecords"));
    from..claim.expect("something is claimed").at + 100
}

#[test]
fn fleet_without_changes_is_reset_once_for_each_run() {
    for is_asked_again in [false, true] {
        let scenario = fleet(is_asked_again);
        let report = calm(&scenario);
        assert!(report.violations.is_empty() && report.at_rest, "violated: {:?}", report.violations);
        assert_eq!(report.ends, scenario.ends());
    }
}

#[test]
fn fleet_that_changes_at_any_moment_has_one_list_for_a_run() {
    let two = || Plan { clocks: vec![RIGHT, RIGHT], ..Plan::calm(SEED) };
    let worlds = [
        (fleet(false), 0, "one controller", Plan::calm(SEED)),
        (fleet(true), AGAIN, "one controller", Plan::calm(SEED)),
        (fleet(false), 0, "two controllers", two()),
    ];
    let cases = worlds.into_iter().flat_map(|(scenario, from, controllers, plan)| {
        suite::origins(look_up(&calm(&scenario), from).step_by(STEP), 7)
            .flat_map(move |at| with_each_change(&scenario, at, &format!("{controllers}, {at} ms"), &plan))
    });
    suite::run("a selector at each step", 1, cases);
}

/// The process dies at a request, and the fleet changes before another one begins.
#[test]
fn crash_while_a_selector_is_looked_up_leaves_one_list() {
    let scenario = fleet(false);
    let report = calm(&scenario);
    let until = look_up(&report, 0).end;
    let requests = report.requests.into_iter().filter(move |it| it.at < until);
    let cases = suite::origins(requests, 5).flat_map(|request| {
        let scenario = scenario.clone();
        STAGES.into_iter().flat_map(move |stage| {
            let plan = Plan::calm(SEED).with_crash(&request.key, stage);
            with_each_change(&scenario, request.at + 500, &format!("{} {stage:?}", request.key), &plan)
        })
    });
    suite::run("a selector and a crash", 1, cases);
}

/// Only whole answers count: the pages before the one that fails are read again.
#[test]
fn page_that_fails_counts_for_nothing() {
    let scenario = fleet(false);
    let report = calm(&scenario);
    let until = look_up(&report, 0).end;
    let pages = report.requests.into_iter().filter(move |it| it.at < until && it.key.starts_with("DescribeInstances"));
    let cases = pages.flat_map(|page| {
        let scenario = scenario.clone();
        FAILURES.into_iter().flat_map(move |failure| {
            let plan = Plan::calm(SEED).with_fault(&page.key, failure);
            with_each_change(&scenario, page.at + 200, &format!("{} {failure:?}", page.key), &plan)
        })
    });
    suite::run("a selector and a page that fails", 1, cases);
}
