//! Lost, late, mangled and refused calls: whatever happens to a request, there is one restart at most, and the status
//! says no more than can be proven.

use std::time::Duration;

use crate::common::{
    Fault, Instance, PASSWORD, REGION, Rule, SYSTEM_NAMESPACE, Setup, World, condition, eventually, manifests, row,
};
use serde_json::{Value, json};

const ID: &str = "i-running1";

fn world() -> World {
    World::with([Instance::running(ID, REGION)])
}

/// Lets one fault meet the next call of `action`, and asks for a reset.
fn reset_with(world: &World, action: &str, fault: Fault) {
    world.ecs().core().inject(Rule::once(action, fault));
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
}

fn refusal(code: &str) -> Fault {
    Fault::Refuse { code: code.to_owned(), http: 403, message: "refused by the test".to_owned() }
}

/// In effect, by the row and by the instance, after one restart.
#[track_caller]
fn assert_in_effect(world: &World, status: &Value) {
    assert_eq!(row(status, ID)["state"], "InEffect", "{:#}", row(status, ID));
    assert_eq!(world.reboots(ID), 1);
    assert!(world.ecs().core().in_effect_password(ID) == Some(PASSWORD));
}

// === The restart ===

#[test]
fn restart_with_lost_answer_is_proven_by_start_time() {
    let world = world();
    reset_with(&world, "RebootInstance", Fault::LoseAnswerAfterEffect);
    let status = world.wait_for("web", "Ready");
    assert_in_effect(&world, &status);
    assert_eq!(world.calls("RebootInstance", ID), 1);
    assert_eq!(row(&status, ID)["reason"], "RestartProven");
    assert_eq!(row(&status, ID)["restartRequestID"], Value::Null, "nobody has told it");
}

#[test]
fn late_restart_is_proven_and_not_requested_again() {
    let world = world();
    reset_with(&world, "RebootInstance", Fault::LateEffect { after_seconds: 3.0 });
    let status = world.wait_for("web", "Ready");
    assert_in_effect(&world, &status);
    assert_eq!(world.calls("RebootInstance", ID), 1);
}

#[test]
fn restart_that_never_reached_ecs_ends_unknown() {
    let world = world();
    reset_with(&world, "RebootInstance", Fault::LoseRequest);
    eventually("the request is lost", || (world.calls("RebootInstance", ID) == 1).then_some(()));
    world.wait_for_state("web", ID, "Restarting");
    world.advance(70); // More than V + M: no copy of the request can be carried out any more.

    let status = world.wait_for("web", "Stalled");
    assert_eq!(condition(&status, "Ready")["reason"], "OutcomeUnknown");
    assert_eq!(row(&status, ID)["state"], "Unknown", "{:#}", row(&status, ID));
    assert_eq!((world.calls("RebootInstance", ID), world.modifies(ID)), (1, 1));

    // The way out is a new run, which a person asks for.
    world.apply_reset("web", json!({"instanceIDs": [ID], "runID": "2"}));
    let status = world.wait_for_run("web", 2);
    assert_in_effect(&world, &status);
    assert_eq!(world.modifies(ID), 2);
}

#[test]
fn restart_refused_for_the_state_is_requested_again() {
    let world = world();
    reset_with(&world, "RebootInstance", refusal("IncorrectInstanceStatus"));
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, ID, PASSWORD);
    assert_eq!(world.calls("RebootInstance", ID), 2);
}

#[test]
fn restart_refused_for_good_fails_with_password_waiting() {
    let world = world();
    reset_with(&world, "RebootInstance", refusal("Forbidden.RAM"));
    let status = world.wait_for("web", "Stalled");
    let row = row(&status, ID);
    assert_eq!((&row["state"], &row["reason"]), (&json!("Failed"), &json!("RestartRefused")), "{row:#}");
    assert!(row["message"].as_str().is_some_and(|message| message.contains("next start")), "{row:#}");
    assert_eq!((world.modifies(ID), world.calls("RebootInstance", ID)), (1, 1));
    assert!(world.ecs().core().pending_password(ID) == Some(PASSWORD));
}

/// What ECS said of the last call of `action`, as the row has to tell it.
fn last_request_id(world: &World, action: &str) -> String {
    world.journal(|journal| journal.requests().filter(|it| it.action == action).last().unwrap().request_id.clone())
}

#[track_caller]
fn assert_tells(row: &Value, parts: &[&str]) {
    let message = row["message"].as_str().unwrap();
    for part in parts {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("not answered") && !message.contains("no answer"), "{message}");
}

#[test]
fn a_restart_refused_with_an_undocumented_code_fails_at_once() {
    let world = world();
    let message = "The resource is out of usage.".to_owned();
    reset_with(&world, "RebootInstance", Fault::Refuse { code: "OperationDenied".to_owned(), http: 403, message });
    let status = world.wait_for("web", "Stalled");
    let row = row(&status, ID);
    assert_eq!((&row["state"], &row["reason"]), (&json!("Failed"), &json!("RestartRefused")), "{row:#}");
    let request_id = last_request_id(&world, "RebootInstance");
    assert_tells(row, &["HTTP 403", "OperationDenied", &request_id, "next start"]);
    assert_eq!((world.modifies(ID), world.calls("RebootInstance", ID)), (1, 1));
    assert_eq!(world.record(ID)["status"]["unansweredUntil"], Value::Null, "nothing is waited for");
}

#[test]
fn restart_that_failed_at_ecs_is_reported_as_answered() {
    let world = world();
    reset_with(
        &world,
        "RebootInstance",
        Fault::Refuse { code: "Quite.New".to_owned(), http: 500, message: String::new() },
    );
    world.wait_for_reset("web", "the row says what was heard", |object| {
        row(&object["status"], ID)["message"].as_str()?.contains("HTTP 500").then_some(())
    });
    let request_id = last_request_id(&world, "RebootInstance");
    let heard = ["answered with HTTP 500", "Quite.New", &request_id, "outcome not known"];
    assert_tells(row(&world.status("web"), ID), &heard);
    world.advance(70);
    let status = world.wait_for("web", "Stalled");
    let row = row(&status, ID);
    assert_eq!((&row["state"], &row["reason"]), (&json!("Unknown"), &json!("RestartOutcomeUnknown")), "{row:#}");
    assert_tells(row, &heard);
    assert_eq!(world.calls("RebootInstance", ID), 1);
    assert!(world.metric("passwordreset_provider_api_calls_total", "code=\"NoAnswer\"") < 0.5);
}

#[test]
fn a_restart_that_does_not_finish_is_stuck_and_never_forced() {
    let world = world();
    world.hold(ID);
    world.apply_reset("web", json!({"instanceIDs": [ID], "restart": {"timeoutSeconds": 60}}));
    eventually("the restart is accepted", || (world.reboots(ID) == 1).then_some(()));
    world.wait_for_state("web", ID, "Restarting");
    world.advance(70);
    let status = world.wait_for("web", "Stalled");
    let row = row(&status, ID);
    assert_eq!((&row["state"], &row["reason"]), (&json!("Unknown"), &json!("RestartStuck")), "{row:#}");
    assert_eq!(world.calls("RebootInstance", ID), 1);
    assert!(world.journal(|journal| journal.requests().all(|it| !it.force_stop && it.action != "StopInstance")));
}

#[test]
fn instance_stopped_after_its_restart_is_left_stopped() {
    let world = world();
    world.hold(ID);
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    eventually("the restart is accepted", || (world.reboots(ID) == 1).then_some(()));
    world.ecs().with_core(|core, now| core.power_off(now, ID)).unwrap();
    let row = world.wait_for_state("web", ID, "EffectiveAtNextStart");
    assert_eq!(row["reason"], "StoppedAfterRestart");
    assert_eq!((world.calls("RebootInstance", ID), world.calls("StartInstance", ID)), (1, 0));
}

// === The password ===

#[test]
fn a_password_whose_answer_was_lost_is_sent_again() {
    let world = world();
    reset_with(&world, "ModifyInstanceAttribute", Fault::LoseAnswerAfterEffect);
    let status = world.wait_for("web", "Ready");
    assert_in_effect(&world, &status);
    assert_eq!((world.calls("ModifyInstanceAttribute", ID), world.modifies(ID)), (2, 2));
}

#[test]
fn no_claim_while_a_password_copy_may_still_arrive() {
    let world = world();
    reset_with(&world, "ModifyInstanceAttribute", Fault::LoseAnswerAfterEffect);
    world.wait_for("web", "Ready");
    world.apply_reset("web", json!({"instanceIDs": [ID], "runID": "2"}));
    world.wait_for_reset("web", "it waits until no copy can arrive", |object| {
        (row(&object["status"], ID)["reason"] == "AnswerOutstanding").then_some(())
    });
    assert_eq!(world.modifies(ID), 2);
    world.ecs().advance(Duration::from_secs(70));
    let status = world.wait_for_run("web", 2);
    assert_eq!(row(&status, ID)["state"], "InEffect");
    assert_eq!((world.modifies(ID), world.reboots(ID)), (3, 2));
}

#[test]
fn html_from_gateway_is_unknown_and_password_is_resent() {
    let world = world();
    let body = "<html><title>502 Bad Gateway</title>".to_owned();
    reset_with(&world, "ModifyInstanceAttribute", Fault::RawAnswer { http: 502, body, after_effect: false });
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, ID, PASSWORD);
    assert_eq!(world.calls("ModifyInstanceAttribute", ID), 2);
}

#[test]
fn a_password_that_ecs_refuses_fails_and_nothing_is_restarted() {
    let world = world();
    reset_with(&world, "ModifyInstanceAttribute", refusal("InvalidPassword.Malformed"));
    let status = world.wait_for("web", "Stalled");
    let row = row(&status, ID);
    assert_eq!((&row["state"], &row["reason"]), (&json!("Failed"), &json!("PasswordRefused")), "{row:#}");
    assert!(row["message"].as_str().is_some_and(|message| message.contains("InvalidPassword.Malformed")), "{row:#}");
    assert_eq!((world.calls("ModifyInstanceAttribute", ID), world.calls("RebootInstance", ID)), (1, 0));
}

#[test]
fn a_password_refused_with_an_undocumented_code_fails_at_once() {
    let world = world();
    let message = "The resource is out of usage.".to_owned();
    let refusal = Fault::Refuse { code: "OperationDenied".to_owned(), http: 403, message };
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", refusal).times(1_000));
    world.apply_reset("web", json!({"instanceIDs": [ID], "stableStateTimeoutSeconds": 20}));
    let status = world.wait_for("web", "Stalled");
    let row = row(&status, ID);
    assert_eq!((&row["state"], &row["reason"]), (&json!("Failed"), &json!("PasswordRefused")), "{row:#}");
    let request_id = last_request_id(&world, "ModifyInstanceAttribute");
    assert_tells(row, &["HTTP 403", "OperationDenied", &request_id]);
    assert_eq!((world.calls("ModifyInstanceAttribute", ID), world.calls("RebootInstance", ID)), (1, 0));
}

#[test]
fn unclear_password_answer_ends_unknown_and_says_so() {
    let world = world();
    let body = "<html><title>403 Forbidden</title>".to_owned();
    let fault = Fault::RawAnswer { http: 403, body, after_effect: true };
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", fault).times(1_000));
    world.apply_reset("web", json!({"instanceIDs": [ID], "stableStateTimeoutSeconds": 20}));
    world.wait_for_reset("web", "the row says what was heard", |object| {
        row(&object["status"], ID)["message"].as_str()?.contains("answered with HTTP 403").then_some(())
    });
    world.advance(100);
    world.advance(100);
    let status = world.wait_for("web", "Stalled");
    let row = row(&status, ID);
    assert_eq!((&row["state"], &row["reason"]), (&json!("Unknown"), &json!("PasswordOutcomeUnknown")), "{row:#}");
    assert_tells(row, &["answered with HTTP 403", "outcome not known"]);
}

// === What ECS shows ===

#[test]
fn empty_answer_does_not_prove_that_an_instance_is_gone() {
    let world = world();
    world.hold(ID);
    world.ecs().core().inject(Rule::once("DescribeInstances", Fault::EmptyDescribe).times(10));
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    eventually("the restart is accepted", || (world.reboots(ID) == 1).then_some(()));
    world.ecs().core().inject(Rule::once("DescribeInstances", Fault::EmptyDescribe).times(10));
    world.release(ID);
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, ID, PASSWORD);
}

#[test]
fn a_stale_answer_proves_nothing_that_has_not_happened() {
    // Readings from after M are taken not to lag: all stale ones come before that.
    let mut setup = Setup { restart_settle_seconds: 60, ..Setup::default() };
    setup.ecs.instances = vec![Instance::running(ID, REGION).held()];
    let world = World::start(setup);
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    eventually("the restart is accepted", || (world.reboots(ID) == 1).then_some(()));
    // As before the restart: Running. Were that taken for "back again", the password would be called in effect.
    world.ecs().core().inject(Rule::once("DescribeInstances", Fault::StaleDescribe { seconds: 3_000.0 }).times(20));
    let asked = || world.journal(|journal| journal.requests().filter(|it| it.fault == Some("StaleDescribe")).count());
    eventually("the stale answers are used up", || (asked() == 20).then_some(()));
    assert_eq!(world.wait_for_state("web", ID, "Restarting")["reason"], "Restarting");
    world.release(ID);
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, ID, PASSWORD);
}

#[test]
fn a_restart_is_proven_without_a_start_time_that_moves() {
    let mut instance = Instance::running(ID, REGION).rebooting(0.5, 2.0);
    instance.start_time_follows_reboot = false;
    let world = World::with([instance]);
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, ID, PASSWORD);
}

// === Reads that are refused for good ===

fn reads(world: &World) -> usize {
    world.journal(|journal| journal.requests().filter(|it| it.action == "DescribeInstances").count())
}

#[test]
fn unknown_region_stalls_the_object_and_slows_polling() {
    let world = world();
    world.apply_reset("web", json!({"regionID": "cn-hangzou", "instanceIDs": [ID], "stableStateTimeoutSeconds": 5}));
    let status = world.wait_for("web", "Stalled");
    let ready = condition(&status, "Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("ReadRefused")), "{ready:#}");
    let message = ready["message"].as_str().unwrap();
    for part in ["cn-hangzou", "InvalidRegionId.NotFound", "HTTP 404", "check regionID"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("repeat"), "{message}");
    assert_eq!(row(&status, ID)["state"], "WaitingForStableState", "it goes on once that is right");
    // Twenty a second were asked for before.
    assert!(reads(&world) <= 30, "{} reads", reads(&world));
    eventually("a person is told", || {
        let asked = |event: &Value| event["reason"] == "ReadRefused" && event["type"] == "Warning";
        world.events("web").iter().any(asked).then_some(())
    });
}

#[test]
fn endpoint_not_serving_the_region_stalls_and_recovers() {
    let world = world();
    let code = "InvalidOperation.NotSupportedEndpoint".to_owned();
    let refusal = Fault::Refuse { code, http: 403, message: "refused by the test".to_owned() };
    world.ecs().core().inject(Rule::once("DescribeInstances", refusal).times(1_000_000));
    world.apply_reset("web", json!({"instanceIDs": [ID], "stableStateTimeoutSeconds": 3}));
    let status = world.wait_for("web", "Stalled");
    let message = condition(&status, "Ready")["message"].as_str().unwrap();
    assert!(message.contains(REGION) && message.contains("NotSupportedEndpoint"), "{message}");
    world.assert_untouched(ID);

    world.ecs().core().clear_faults();
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, ID, PASSWORD);
}

#[test]
fn account_never_ready_stalls_objects_which_recover() {
    let world = world();
    let wrong = json!({"accessKeyID": "testid", "accessKeySecret": "wrong"});
    world.apply(&manifests::secret(SYSTEM_NAMESPACE, "ecs-credentials", &wrong));
    world.wait_for_account("Stalled");
    world.apply_reset("web", json!({"instanceIDs": [ID], "stableStateTimeoutSeconds": 3}));
    let status = world.wait_for("web", "Stalled");
    let ready = condition(&status, "Ready");
    assert_eq!(ready["reason"], "AccountNotReady", "{ready:#}");
    assert!(ready["message"].as_str().unwrap().contains("CredentialsRefused"), "{ready:#}");

    world.install_credentials();
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, ID, PASSWORD);
}

#[test]
fn a_claim_ends_although_nothing_has_ever_told_ecs_time() {
    let mut world = world();
    world.hold(ID);
    world.apply_reset("web", json!({"instanceIDs": [ID], "restart": {"timeoutSeconds": 60}}));
    world.wait_for_state("web", ID, "Restarting");
    eventually("the restart is accepted", || world.record(ID)["status"]["acceptedAt"].is_string().then_some(()));
    world.kill_controller();
    world.kubectl(&["delete", "secret", "ecs-credentials", "--namespace", SYSTEM_NAMESPACE]);
    let asked = world.journal(|journal| journal.requests().count());
    world.start_controller();
    let row = world.wait_for_state("web", ID, "Unknown");
    assert_eq!(row["reason"], "RestartStuck", "{row:#}");
    assert_eq!(world.journal(|journal| journal.requests().count()), asked, "nothing was asked of ECS or STS");
    world.wait_for("web", "Stalled");
}

// === More than one instance ===

#[test]
fn too_many_failures_pause_the_rest_until_a_retry_is_asked_for() {
    let ids = ["i-running1", "i-running2", "i-running3"];
    let world = World::with(ids.map(|id| Instance::running(id, REGION)));
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", refusal("Forbidden.RAM")));
    world.apply_reset("web", json!({"instanceIDs": ids}));
    let status = world.wait_for("web", "Stalled");
    assert_eq!(condition(&status, "Ready")["reason"], "PausedOnFailure");
    assert_eq!((&status["counts"]["failed"], &status["counts"]["pending"]), (&json!(1), &json!(2)));
    let untouched = ids.into_iter().filter(|id| row(&status, id)["state"] == "Pending");
    untouched.for_each(|id| world.assert_untouched(id));

    world.annotate("web", "retry-requested-at", Some("today"));
    let status = world.wait_for("web", "Ready");
    for id in ids {
        world.assert_reset_and_restarted_once(&status, id, PASSWORD);
    }
}
