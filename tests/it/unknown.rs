//! What becomes of a restart whose outcome nobody knows: requested again where that is proven to be safe, else left to a
//! person, whose word counts once.

use crate::common::{
    Fault, Instance, NAMESPACE, PASSWORD, REGION, Rule, SYSTEM_NAMESPACE, World, condition, eventually, row,
};
use serde_json::{Value, json};

const ID: &str = "i-running1";
const RESOLVE: &str = "resolve-unknown";

/// More than V + M: no copy of a request can be carried out any more, and what it did shows.
const DEAD: u64 = 70;

/// Resets `instance`, whose restart is lost on its way.
fn lose_the_restart(world: &World, name: &str, instance: &str) {
    let calls = world.calls("RebootInstance", instance);
    world.ecs().core().inject(Rule::once("RebootInstance", Fault::LoseRequest).on(instance));
    world.apply_reset(name, json!({"instanceIDs": [instance]}));
    eventually("the request is lost", || (world.calls("RebootInstance", instance) > calls).then_some(()));
    world.wait_for_state(name, instance, "Restarting");
    world.advance(DEAD);
}

/// A world in which the restart of the one instance has ended as Unknown.
fn unknown() -> World {
    let world = World::with([Instance::running(ID, REGION)]);
    lose_the_restart(&world, "web", ID);
    let status = world.wait_for("web", "Stalled");
    assert_eq!(condition(&status, "Ready")["reason"], "OutcomeUnknown");
    let log = world.log();
    let failed = log.lines().filter(|line| line.contains(r#""msg":"the claim has failed""#));
    let failed: Vec<&str> = failed.filter(|line| line.contains(r#""phase":"Unknown""#)).collect();
    assert_eq!(failed.len(), 1, "{log}");
    assert!(failed[0].starts_with(r#"{"level":"warn""#) && failed[0].contains(r#""name":"web""#), "{failed:?}");
    assert_eq!((world.calls("RebootInstance", ID), world.reboots(ID)), (1, 0));
    world
}

fn start_time_follows_reboot(world: &World) -> Value {
    let account = world.get("ecsaccount", "default");
    account.pointer("/status/regions/0/startTimeFollowsReboot").cloned().unwrap_or_default()
}

#[test]
fn lost_restart_repeats_where_start_time_is_known_to_follow() {
    let learning = ["i-learn0001", "i-learn0002", "i-learn0003"];
    let instances = learning.iter().chain(&[ID]).map(|id| Instance::running(id, REGION));
    let world = World::with(instances);
    world.apply_reset("learning", json!({"instanceIDs": learning, "restart": {"maxUnavailable": 3}}));
    world.wait_for("learning", "Ready");
    eventually("it is learnt", || (start_time_follows_reboot(&world) == "Observed").then_some(()));

    lose_the_restart(&world, "web", ID);
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, ID, PASSWORD);
    assert_eq!(world.calls("RebootInstance", ID), 2, "one was lost, one was carried out");
}

#[test]
fn region_with_fixed_start_times_is_known_by_first_restart() {
    let mut instance = Instance::running(ID, REGION);
    instance.start_time_follows_reboot = false;
    let world = World::with([instance]);
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, ID, PASSWORD);
    eventually("it is learnt", || (start_time_follows_reboot(&world) == "NotObserved").then_some(()));
}

/// The two commands that the row's message advises: that it happened, and to restart again.
fn advice(world: &World) -> (String, String) {
    let message = row(&world.status("web"), ID)["message"].as_str().unwrap().to_owned();
    let (_, happened) = message.split_once("if it was started after that: ").unwrap_or_else(|| panic!("{message}"));
    let (command, _) = happened.rsplit_once('=').unwrap();
    (happened.to_owned(), format!("{command}=RestartAgain"))
}

#[test]
fn a_person_can_say_that_it_happened() {
    let world = unknown();
    world.paste(&advice(&world).0).unwrap();
    let status = world.wait_for("web", "Ready");
    assert_eq!(
        (&row(&status, ID)["state"], &row(&status, ID)["reason"]),
        (&json!("InEffect"), &json!("ResolvedByPerson"))
    );
    assert_eq!((world.calls("RebootInstance", ID), world.modifies(ID)), (1, 1), "nothing was sent for it");
}

#[test]
fn a_word_on_an_unknown_ends_no_run_that_was_asked_for_since() {
    let mut world = unknown();
    world.kill_controller();
    world.apply_reset("web", json!({"instanceIDs": [ID], "runID": "2", "suspend": true}));
    world.annotate("web", RESOLVE, Some("i-running1/1=Happened"));
    world.start_controller();
    eventually("the word is written down", || {
        (world.record(ID)["status"]["completed"][0]["row"]["reason"] == "ResolvedByPerson").then_some(())
    });
    let passes = world.passes();
    world.annotate("web", RESOLVE, None);
    eventually("it was looked at again", || (world.passes() > passes + 1.5).then_some(()));
    world.wait_for_reason("web", "Suspended");
    let status = world.status("web");
    assert_eq!((&row(&status, ID)["state"], &status["run"]["number"]), (&json!("Pending"), &json!(1)));

    world.advance(60);
    world.apply_reset("web", json!({"instanceIDs": [ID], "runID": "2", "suspend": false}));
    let status = world.wait_for_run("web", 2);
    assert_eq!(status["run"]["trigger"], "RunID", "it counted as run before it was");
}

#[test]
fn a_person_can_have_it_restarted_again_and_that_counts_once() {
    let mut world = unknown();
    world.paste(&advice(&world).1).unwrap();
    let status = world.wait_for("web", "Ready");
    assert_eq!(row(&status, ID)["state"], "InEffect");
    assert_eq!((world.reboots(ID), world.modifies(ID)), (1, 2), "set anew and restarted");
    assert_eq!(world.record(ID)["spec"]["claim"], 2);

    // The annotation stays on the object; a controller that starts afresh reads it again.
    world.kill_controller();
    world.assert_starts_nothing("web", World::start_controller);
}

#[test]
fn outcome_that_does_not_fit_decides_nothing_and_is_reported() {
    let world = unknown();
    let change = format!("ecs.password-reset.dev/{RESOLVE}=i-running1/1=Perhaps");
    let annotate = ["annotate", "passwordreset", "web", "--namespace", NAMESPACE, &change];
    let said = world.try_kubectl(&annotate, "").unwrap_err();
    assert!(said.contains("to <instanceID>/<claim>=Happened or <instanceID>/<claim>=RestartAgain"), "{said}");

    world.annotate("web", RESOLVE, Some("i-running1/7=Happened"));
    eventually("it is told", || {
        let status = world.status("web");
        let told = "names claim 7 of i-running1; this object's last claim on it is 1";
        condition(&status, "Ready")["message"].as_str()?.contains(told).then_some(())
    });
    assert_eq!(row(&world.status("web"), ID)["state"], "Unknown");
    assert_eq!((world.calls("RebootInstance", ID), world.modifies(ID)), (1, 1));
}

#[test]
fn decision_on_a_claim_to_come_lets_it_not_begin() {
    let world = World::with([Instance::running(ID, REGION)]);
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    world.wait_for("web", "Ready");
    world.annotate("web", RESOLVE, Some("i-running1/2=RestartAgain"));
    world.apply_reset("web", json!({"instanceIDs": [ID], "runID": "2"}));
    let ready = world.wait_for_reason("web", "DecidedBeforehand");
    let message = ready["message"].as_str().unwrap().to_owned();
    assert_eq!((&ready["status"], world.modifies(ID)), (&json!("False"), 1), "{message}");

    let (_, command) = message.split_once("to go on: ").unwrap();
    world.advance(60);
    world.paste(command).unwrap();
    world.wait_for_run("web", 2);
    assert_eq!(world.modifies(ID), 2);
}

#[test]
fn annotation_left_on_object_counts_once_without_record() {
    let world = unknown();
    world.annotate("web", RESOLVE, Some("i-running1/1=RestartAgain"));
    world.wait_for("web", "Ready");
    let record = format!("{REGION}.{ID}");
    world.kubectl(&["delete", "resetrecord", &record, "--namespace", SYSTEM_NAMESPACE]);

    // Claims go on being counted where the object's status left off, so the word is of another one.
    world.advance(60);
    world.ecs().core().inject(Rule::once("RebootInstance", Fault::LoseRequest));
    world.apply_reset("web", json!({"instanceIDs": [ID], "runID": "2"}));
    eventually("the request is lost", || (world.calls("RebootInstance", ID) == 3).then_some(()));
    world.wait_for_state("web", ID, "Restarting");
    assert_eq!(world.record(ID)["spec"]["claim"], 3);
    world.advance(DEAD);
    let status = world.wait_for("web", "Stalled");
    assert_eq!(condition(&status, "Ready")["reason"], "OutcomeUnknown");
    assert_eq!((world.calls("RebootInstance", ID), world.reboots(ID)), (3, 1));
}
