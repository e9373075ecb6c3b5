//! What becomes of a reset when ECS refuses, throttles, answers nonsense or does not answer: exactly what can be proven,
//! and never a second restart.

mod common;

use common::{PASSWORD, REGION, Setup, World, condition, eventually, row};
use ecs_simulator::{Config, Fault, Instance, Rule};
use serde_json::{Value, json};

const ONE: &str = "i-running1";

/// A world in which one call of `action` meets `fault`, and an object that resets [`ONE`].
fn world_with(action: &str, fault: Fault) -> World {
    let world = World::with([Instance::running(ONE, REGION)]);
    world.ecs().core().inject(Rule::once(action, fault).on(ONE));
    world.apply_reset("web", json!({"instanceIDs": [ONE]}));
    world
}

fn refuse(code: &str) -> Fault {
    Fault::Refuse { code: code.to_owned(), http: 403, message: "refused by the test".to_owned() }
}

fn assert_in_effect(world: &World, status: &Value, modifies: usize, reboots: usize) {
    assert_eq!(row(status, ONE)["state"], "InEffect");
    let calls = (world.calls("ModifyInstanceAttribute", ONE), world.calls("RebootInstance", ONE));
    assert_eq!(calls, (modifies, reboots));
    assert!(world.ecs().core().in_effect_password(ONE) == Some(PASSWORD));
}

#[test]
fn a_restart_whose_answer_was_lost_is_proven_by_the_start_time_and_not_repeated() {
    let world = world_with("RebootInstance", Fault::LoseAnswerAfterEffect);
    let status = world.wait_until_done("web");
    assert_in_effect(&world, &status, 1, 1);
    assert_eq!(row(&status, ONE)["restartRequestID"], Value::Null, "no answer told it");
}

#[test]
fn a_restart_that_was_lost_on_the_way_ends_unknown_and_is_not_repeated() {
    let world = world_with("RebootInstance", Fault::LoseRequest);
    eventually("the restart was requested", || (world.calls("RebootInstance", ONE) == 1).then_some(()));
    eventually("its answer is not known", || {
        (world.record(ONE)["status"]["phase"] == "RestartRequested").then_some(())
    });
    // V and M of this world are 60 and 2 seconds.
    world.advance(70);
    let status = world.wait_for("web", "Stalled");
    assert_eq!(condition(&status, "Ready")["reason"], "OutcomeUnknown");
    let row = row(&status, ONE);
    assert_eq!((row["state"].as_str(), row["reason"].as_str()), (Some("Unknown"), Some("RestartOutcomeUnknown")));
    assert_eq!((world.calls("RebootInstance", ONE), world.reboots(ONE)), (1, 0));
}

#[test]
fn a_password_call_whose_answer_was_lost_is_made_again_and_the_instance_is_restarted_once() {
    let world = world_with("ModifyInstanceAttribute", Fault::LoseAnswerAfterEffect);
    let status = world.wait_until_done("web");
    assert_in_effect(&world, &status, 2, 1);
    let unanswered = &world.record(ONE)["status"]["unansweredUntil"];
    assert!(unanswered.is_string(), "a late copy of the first call may still come: {unanswered}");
}

#[test]
fn no_other_claim_is_made_while_a_copy_of_a_password_call_may_be_alive() {
    let world = world_with("ModifyInstanceAttribute", Fault::LoseAnswerAfterEffect);
    world.wait_until_done("web");
    world.apply_reset("web", json!({"instanceIDs": [ONE], "runID": "2"}));
    world.wait_for_reset("web", "it waits until the copy is dead", |object| {
        (row(&object["status"], ONE)["reason"] == "AnswerOutstanding").then_some(())
    });
    assert_eq!(world.calls("ModifyInstanceAttribute", ONE), 2);
    world.advance(120);
    let status = world.wait_until_done("web");
    assert_in_effect(&world, &status, 3, 2);
}

#[test]
fn a_gateways_page_instead_of_an_answer_is_no_answer() {
    let page = Fault::RawAnswer { http: 502, body: "<html>Bad Gateway</html>".to_owned(), after_effect: false };
    let world = world_with("ModifyInstanceAttribute", page);
    let status = world.wait_until_done("web");
    assert_in_effect(&world, &status, 2, 1);
}

#[test]
fn a_restart_that_is_refused_for_the_moment_is_requested_again() {
    let world = world_with("RebootInstance", refuse("IncorrectInstanceStatus"));
    let status = world.wait_until_done("web");
    assert_in_effect(&world, &status, 1, 2);
    assert_eq!(world.reboots(ONE), 1);
}

#[test]
fn a_throttled_call_is_made_again_later() {
    for action in ["ModifyInstanceAttribute", "RebootInstance"] {
        let world = world_with(action, Fault::Throttle { retry_after_milliseconds: Some(1_500) });
        let status = world.wait_until_done("web");
        assert_eq!(row(&status, ONE)["state"], "InEffect");
        assert_eq!((world.modifies(ONE), world.reboots(ONE)), (1, 1));
    }
}

#[test]
fn a_restart_that_is_refused_for_good_fails_and_says_that_the_password_waits_for_the_next_start() {
    let world = world_with("RebootInstance", refuse("InstanceExpiredOrInArrears"));
    let status = world.wait_for("web", "Stalled");
    let row = row(&status, ONE);
    assert_eq!((row["state"].as_str(), row["reason"].as_str()), (Some("Failed"), Some("RestartRefused")));
    assert!(row["message"].as_str().is_some_and(|message| message.contains("takes effect at the next start")));
    assert_eq!(world.calls("RebootInstance", ONE), 1);
}

#[test]
fn a_refused_right_is_named_with_the_code_and_the_request_id() {
    let world = world_with("ModifyInstanceAttribute", refuse("Forbidden.RAM"));
    let status = world.wait_for("web", "Stalled");
    let row = row(&status, ONE);
    assert_eq!(row["reason"], "NotPermitted");
    let message = row["message"].as_str().unwrap_or_default();
    assert!(message.contains("Forbidden.RAM") && message.contains("request "), "{message}");
    assert_eq!(condition(&status, "Ready")["reason"], "NotPermitted");
    assert_eq!(world.calls("RebootInstance", ONE), 0);
}

#[test]
fn a_restart_that_does_not_finish_in_time_is_stuck_and_never_forced() {
    let world = World::with([Instance::running(ONE, REGION).held()]);
    world.apply_reset("web", json!({"instanceIDs": [ONE], "restart": {"timeoutSeconds": 60}}));
    eventually("the instance has left Running", || (world.record(ONE)["status"]["leftRunning"] == true).then_some(()));
    world.advance(70);
    let status = world.wait_for("web", "Stalled");
    assert_eq!(row(&status, ONE)["reason"], "RestartStuck");
    let forced = world.journal(|journal| journal.requests().filter(|it| it.force_stop).count());
    assert_eq!((world.calls("RebootInstance", ONE), forced), (1, 0));
}

#[test]
fn more_failures_than_allowed_pause_the_rest_until_a_retry() {
    let ids = [ONE, "i-running2", "i-running3"];
    let world = World::with(ids.map(|id| Instance::running(id, REGION)));
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", refuse("Forbidden.RAM")).on(ONE));
    world.apply_reset("web", json!({"instanceIDs": ids}));
    let status = world.wait_for("web", "Stalled");
    assert_eq!(condition(&status, "Ready")["reason"], "PausedOnFailure");
    for id in &ids[1..] {
        world.assert_untouched(id);
    }
    world.annotate("web", "retry-requested-at", Some("1"));
    let status = world.wait_until_done("web");
    for id in ids {
        assert_eq!(row(&status, id)["state"], "InEffect");
        assert_eq!((world.modifies(id), world.reboots(id)), (1, 1));
    }
}

#[test]
fn a_restart_is_proven_without_a_start_time_that_moves() {
    let mut instance = Instance::running(ONE, REGION);
    instance.start_time_follows_reboot = false;
    instance.reboot_takes_seconds = 2.0;
    let world = World::start(Setup { ecs: Config::default().with(instance), ..Setup::default() });
    world.apply_reset("web", json!({"instanceIDs": [ONE]}));
    let status = world.wait_until_done("web");
    world.assert_reset_and_restarted_once(&status, ONE, PASSWORD);
}
