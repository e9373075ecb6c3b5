//! Killed and stopped at the points that a clean run has passed.

use std::collections::BTreeSet;
use std::path::Path;

use crate::common::{Controller, World, eventually};
use crate::scenario::{Run, Scenario};
use crate::{number_from, world};

const POINT: &str = "ECS_PASSWORD_RESET_FAILPOINT";
const TRACE: &str = "ECS_PASSWORD_RESET_FAILPOINT_TRACE";
/// How many points of a scenario are tried where nothing else is said, and how many of so many have to be reached: the three
/// scenarios together are 171 kills.
const FULL: usize = 66;
const REACHED_OF_FULL: usize = 57;

/// The points that a clean run of the scenario passes, in their order, and as many of them as are to be tried.
fn points(world: &World, scenario: Scenario, stages: &[&str]) -> Vec<String> {
    let trace = world.file("trace");
    let mut controller = world.spawn_controller(&[(TRACE, trace.to_str().unwrap())]);
    assert!(controller.ready_or_ended());
    let run = Run::new(world, scenario, 0);
    run.apply();
    run.wait_for_the_end();
    run.judge();
    drop(controller);
    run.clean_up();
    let passed: Vec<String> = read(&trace).into_iter().filter(|point| is_worth_a_try(point, stages)).collect();
    let wanted = wanted().min(passed.len());
    (0..wanted).map(|n| passed[n * passed.len() / wanted].clone()).collect()
}

fn wanted() -> usize {
    number_from("CHAOS_POINTS", FULL)
}

/// Fails when too few of the points were reached for the figure to mean anything: how often something is read depends on
/// time, so not every point of a clean run comes in the next one.
fn enough(tried: usize, reached: usize) {
    let least = if wanted() >= FULL { REACHED_OF_FULL } else { tried * 8 / 10 };
    assert!(reached >= least, "{reached} of {tried} points were reached, and at least {least} have to be");
}

/// Every write and every changing call, and the first few of each read.
fn is_worth_a_try(point: &str, stages: &[&str]) -> bool {
    let (request, rest) = point.split_once('@').unwrap();
    let (count, stage) = rest.split_once(':').unwrap();
    let is_read = request.starts_with("get ") || request.contains("Describe") || request.contains("Identity");
    let is_account = request.contains("ECSAccount") || request.contains("Identity");
    let most = if is_account {
        1
    } else if is_read {
        4
    } else {
        u32::MAX
    };
    stages.contains(&stage) && count.parse::<u32>().unwrap() <= most
}

/// The trace, with the point `sent` of each request put between its two.
fn read(trace: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(trace).unwrap();
    let mut seen = BTreeSet::new();
    let with_sent = text.lines().flat_map(|line| match line.strip_suffix(":answered") {
        Some(request) => vec![format!("{request}:sent"), line.to_owned()],
        None => vec![line.to_owned()],
    });
    with_sent.filter(|point| seen.insert(point.clone())).collect()
}

/// Starts the controller with a point armed, and asks for the reset once it is ready. Returns whether it came to the
/// point.
fn reaches(world: &World, run: &Run, armed: &str) -> (Controller, bool) {
    let mut controller = world.spawn_controller(&[(POINT, armed)]);
    controller.ready_or_ended();
    run.apply();
    eventually("the point is reached, or the run is over", || (!controller.runs() || run.has_ended()).then_some(()));
    let reached = !controller.runs();
    (controller, reached)
}

fn kill_everywhere(scenario: Scenario) {
    let world = world(&[]);
    let points = points(&world, scenario, &["before", "sent", "answered"]);
    let (mut reached, mut unknown) = (0, 0);
    for (number, point) in points.iter().enumerate() {
        let run = Run::new(&world, scenario, number + 1);
        println!("{scenario:?} {number}: kill {point}");
        let (controller, killed) = reaches(&world, &run, &format!("kill {point}"));
        drop(controller);
        reached += usize::from(killed);
        let another = world.spawn_controller(&[]);
        run.wait_for_the_end();
        drop(another);
        unknown += run.judge();
        run.clean_up();
    }
    println!("{scenario:?}: {} points tried, {reached} kills, {unknown} instances ended Unknown", points.len());
    enough(points.len(), reached);
}

#[test]
fn killed_anywhere_while_instances_are_restarted_in_turn() {
    kill_everywhere(Scenario::InTurn);
}

#[test]
fn killed_anywhere_during_resets_of_all_kinds() {
    kill_everywhere(Scenario::Mixed);
}

#[test]
fn killed_anywhere_while_an_answer_is_lost() {
    kill_everywhere(Scenario::LostAnswer);
}

/// When a leader that was stopped goes on.
#[derive(Clone, Copy, Debug)]
enum Wakes {
    /// As soon as the other one leads: it has everything to do yet.
    OnceTheOtherLeads,
    /// In the middle of what the other one does: it has just changed an instance.
    OnceTheOtherHasChangedAnInstance,
    /// When all is over.
    AfterTheEnd,
}

impl Wakes {
    /// In turn; the two points of a request, before and after it, are one after the other.
    fn at(number: usize) -> Self {
        [Self::OnceTheOtherLeads, Self::OnceTheOtherHasChangedAnInstance, Self::AfterTheEnd][number / 2 % 3]
    }

    /// Waits for that. The first leader is stopped, so whatever is changed meanwhile, the other one changes.
    fn wait(self, world: &World, run: &Run, other: &Controller) {
        let before = world.changing_calls();
        match self {
            Self::OnceTheOtherLeads => other.wait_until_it_works(),
            Self::OnceTheOtherHasChangedAnInstance => {
                eventually("the other one changes an instance, or all is over", || {
                    (world.changing_calls() > before || run.has_ended()).then_some(())
                });
            }
            Self::AfterTheEnd => run.wait_for_the_end(),
        }
        // At the last points the run is over before the other one leads.
        other.wait_until_it_works();
    }
}

#[test]
fn leader_stopped_anywhere_does_no_harm_on_resume() {
    let world = world(&[
        "--leader-elect-lease-duration-seconds=4",
        "--leader-elect-renew-deadline-seconds=3",
        "--leader-elect-retry-period-seconds=1",
        "--ecs-connect-timeout-seconds=1",
    ]);
    // A request on its way cannot be stopped: before and after are the moments that differ.
    let points = points(&world, Scenario::InTurn, &["before", "answered"]);
    let (mut reached, mut in_mid_run, mut unknown) = (0, 0, 0);
    for (number, point) in points.iter().enumerate() {
        let wakes = Wakes::at(number);
        let run = Run::new(&world, Scenario::InTurn, number + 1);
        println!("two leaders {number}: stop {point}, goes on {wakes:?}");
        let (mut first, stopped) = reaches(&world, &run, &format!("stop {point}"));
        reached += usize::from(stopped);
        let second = world.spawn_controller(&[]);
        if stopped {
            wakes.wait(&world, &run, &second);
            in_mid_run += usize::from(!run.has_ended());
            first.resume();
            eventually("a leader that has lost its Lease ends", || first.ended());
        }
        run.wait_for_the_end();
        drop((first, second));
        unknown += run.judge();
        run.clean_up();
    }
    println!(
        "two leaders: {} points tried, {reached} stops, {in_mid_run} went on in mid-run, {unknown} instances ended Unknown",
        points.len()
    );
    enough(points.len(), reached);
    assert!(in_mid_run * 3 >= reached, "of {reached} that went on, only {in_mid_run} did so in mid-run");
}
