//! Many runs: on all cores, with one verdict, and the story of the first run that went wrong.
//!
//! Every run has a name in its suite. `RUN='<suite>: <name>'` makes that run alone and prints its story, whatever comes of it.
//! How many of the runs are made is a matter of `SIM`: `whole` makes all of them, `ci` as many as a few minutes allow, and
//! without it there is a sample, enough to see that none of them has rotted.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use crate::plan::{Ms, Plan};
use crate::run::{Report, simulate};
use crate::scenario::Scenario;
use crate::story::Story;

/// The titles of the suites.
const SUITES: [&str; 26] = [
    "crash matrix",
    "lost restarts",
    "pairs of crashes",
    "faults of writes",
    "faults of changing calls",
    "faults of reads",
    "faults of watches",
    "a lagging API server",
    "stale readings",
    "long readings",
    "wrong clocks",
    "clocks too wrong",
    "two controllers",
    "two controllers with an election",
    "two controllers, one stopped",
    "two controllers with an election, one stopped",
    "restores",
    "windows at each step",
    "the brake at each step",
    "Secrets at each step",
    "slots of an account",
    "a selector at each step",
    "a selector and a crash",
    "a selector and a page that fails",
    "seeds, safety",
    "seeds, liveness",
];

/// One run to be made.
#[derive(Clone)]
pub struct Case {
    /// All that is needed to make it again, within its suite.
    pub name: String,
    pub scenario: Scenario,
    pub plan: Plan,
    /// How long it may take.
    pub limit: Ms,
    /// Whether it has to come to rest in that time.
    pub must_end: bool,
    pub ends: Ends,
}

/// How the claims of a run may end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// In any way that the contract knows.
    Any,
    /// The same, but that what became of a request is known of each.
    Known,
    /// As the scenario's do when nothing goes wrong.
    AsWithoutFaults,
    /// In any way, and then each instance has the last value of the Secret.
    WithLastPassword,
}

/// What came of all runs together.
#[derive(Default)]
struct Tally {
    runs: usize,
    requests: usize,
    /// How claims ended.
    ends: BTreeMap<String, usize>,
    failures: Vec<Case>,
    /// The run that was asked for by name.
    story: String,
}

/// Each failure is said when it is found, and the first is shown in the end. After so many no more runs are made.
const ENOUGH: usize = 20;

/// How many runs are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// A sample.
    Sample,
    /// What a few minutes allow.
    Ci,
    /// All of them.
    Whole,
}

/// A sample is one of so many runs of some of the worlds. A prime, so that it is not always the same kind.
const SAMPLED: usize = 131;

/// What was asked for.
pub fn size() -> Size {
    match std::env::var("SIM").as_deref() {
        Ok("whole") => Size::Whole,
        Ok("ci") => Size::Ci,
        Ok(other) => panic!("SIM is {other}; it must be whole or ci"),
        Err(_) => Size::Sample,
    }
}

/// What runs are made from. For a sample, one of `step`: each costs a run by itself, to find where things can go wrong in it.
pub fn origins<I: Iterator>(all: I, step: usize) -> impl Iterator<Item = I::Item> {
    let is_sample = size() == Size::Sample && std::env::var_os("RUN").is_none();
    all.step_by(if is_sample { step } else { 1 })
}

/// The run that was asked for by name: its suite and what it is called there.
fn asked_for() -> Option<(String, String)> {
    let run = std::env::var("RUN").ok()?;
    let parts = run.split_once(": ").filter(|(suite, _)| SUITES.contains(suite));
    let (suite, name) =
        parts.unwrap_or_else(|| panic!("RUN='{run}' must be '<suite>: <name>', with one of {SUITES:?}"));
    Some((suite.to_owned(), name.to_owned()))
}

/// Makes runs, prints what came of them, and fails if anything did not hold in any of them. For `SIM=ci` it is one of
/// `ci_step` runs. Returns how many there were; `None` where a run or a seed was asked for, and so not those of this suite.
pub fn run(title: &str, ci_step: usize, cases: impl Iterator<Item = Case> + Send) -> Option<usize> {
    let is_one = std::env::var_os("RUN").is_some();
    if !is_one && std::env::var_os("SEED").is_some() {
        return None;
    }
    let step = match size() {
        _ if is_one => 1,
        Size::Sample => SAMPLED,
        Size::Ci => ci_step,
        Size::Whole => 1,
    };
    make_all(title, cases.step_by(step), |case| format!("RUN='{title}: {}'", case.name))
}

/// The same of seeds, always of all that are given.
pub fn run_seeds(title: &str, cases: impl Iterator<Item = Case> + Send) {
    make_all(title, cases, |case| format!("SEED={}", case.plan.seed));
}

fn make_all(
    title: &str,
    cases: impl Iterator<Item = Case> + Send,
    again: impl Fn(&Case) -> String + Sync,
) -> Option<usize> {
    assert!(SUITES.contains(&title), "{title} is none of the suites");
    let one = asked_for();
    if one.as_ref().is_some_and(|(suite, _)| suite != title) {
        return None;
    }
    let told = one.is_some() || std::env::var_os("SEED").is_some();
    let cases = Mutex::new(cases.filter(|case| one.as_ref().is_none_or(|(_, name)| case.name == *name)));
    let tally = Mutex::new(Tally::default());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    // Enough is enough: the first failures tell what is wrong.
                    let enough = tally.lock().unwrap().failures.len() >= ENOUGH;
                    let next = if enough { None } else { cases.lock().unwrap().next() };
                    let Some(case) = next else { return };
                    let outcome = make(&case, if told { Story::told() } else { Story::untold() });
                    tally.lock().unwrap().add(case, outcome, &again);
                }
            });
        }
    });
    let Tally { runs, requests, ends, failures, story } = tally.into_inner().unwrap();
    println!("{title}: {runs} runs, {requests} requests, {} failed; claims ended {ends:?}", failures.len());
    if told {
        print!("{story}");
    }
    if let Some(first) = failures.first() {
        let story = if told { String::new() } else { make(first, Story::told()).1 };
        println!("{story}\n{title}: the story of the first failure is above: {}", again(first));
        panic!("{title}: {} of {runs} runs failed", failures.len());
    }
    assert!(runs > 0, "{title}: there is no such run, so nothing was shown");
    one.is_none().then_some(runs)
}

/// Makes one run; what did not hold, and its story.
fn make(case: &Case, story: Story) -> (Result<Report, String>, String) {
    let made = catch_unwind(AssertUnwindSafe(|| simulate(&case.scenario, case.plan.clone(), story, case.limit)));
    match made {
        Ok(report) => {
            let story = report.story.clone();
            (Ok(report), story)
        }
        Err(_) => (Err("the simulation itself panicked".to_owned()), String::new()),
    }
}

impl Tally {
    /// Takes in what came of a run, and says what did not hold: hours may pass until all are made.
    fn add(&mut self, case: Case, (outcome, story): (Result<Report, String>, String), again: impl Fn(&Case) -> String) {
        self.story.push_str(&story);
        self.runs += 1;
        let mut wrong = Vec::new();
        match outcome {
            Ok(report) => {
                self.requests += report.requests.len();
                let unknown = report.ends.keys().any(|end| end.starts_with("Unknown"));
                let is_as_told = match case.ends {
                    Ends::Any => true,
                    Ends::Known => !unknown,
                    Ends::AsWithoutFaults => report.ends == case.scenario.ends(),
                    Ends::WithLastPassword => {
                        wrong.extend(report.outdated.iter().map(|id| format!("I2: {id} has an earlier password")));
                        true
                    }
                };
                if !is_as_told {
                    wrong.push(format!("claims ended {:?}", report.ends));
                }
                for (end, count) in report.ends {
                    *self.ends.entry(end).or_default() += count;
                }
                wrong.extend(report.violations);
                if case.must_end && !report.at_rest {
                    wrong.push(format!("I6: not at rest after {} s", report.ended / 1000));
                }
            }
            Err(panicked) => wrong.push(panicked),
        }
        if !wrong.is_empty() {
            println!("violated: {}\n    again: {}", wrong.join("; "), again(&case));
            self.failures.push(case);
        }
    }
}
