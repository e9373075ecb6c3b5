//! The endings of a reset, each on real parts: what a user applies, what the instance then has, and what the status says.

use std::time::Duration;

use crate::common::{
    ACCOUNT, AccessKey, Config, Fault, Instance, PASSWORD, REGION, Rule, SECRET, SYSTEM_NAMESPACE, Setup, Status,
    World, condition, eventually, row,
};
use serde_json::{Value, json};

// === Ends ===

#[test]
fn running_instance_is_restarted_and_password_in_effect() {
    let world = World::with([Instance::running("i-running1", REGION).named("web-1")]);
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"]}));
    // What a pipeline runs, itself: it returns when the run has ended, and not before.
    world.kubectl(&["wait", "--for=condition=Ready", "--timeout=120s", "pwr/web", "--namespace=prod"]);
    let status = world.status("web");

    world.assert_reset_and_restarted_once(&status, "i-running1", PASSWORD);
    let row = row(&status, "i-running1");
    assert_eq!(row["reason"], "RestartProven");
    assert_eq!(
        (&row["name"], &row["osType"], &row["initialStatus"]),
        (&json!("web-1"), &json!("linux"), &json!("Running"))
    );
    assert_eq!(condition(&status, "Ready")["reason"], "Succeeded");
    assert_eq!(condition(&status, "Succeeded")["status"], "True");
    assert_eq!((condition(&status, "Reconciling"), condition(&status, "Stalled")), (&Value::Null, &Value::Null));
    let columns = world.kubectl(&["get", "pwr", "web", "--namespace=prod", "--no-headers"]);
    assert_eq!(columns.split_whitespace().take(5).collect::<Vec<_>>(), ["web", "True", "Succeeded", "1/1", SECRET]);
}

#[test]
fn stopped_or_policy_never_takes_effect_at_next_start() {
    let world = World::with([Instance::stopped("i-stopped1", REGION), Instance::running("i-running1", REGION)]);
    world.apply_reset("stopped", json!({"instanceIDs": ["i-stopped1"]}));
    world.apply_reset("quiet", json!({"instanceIDs": ["i-running1"], "restart": {"policy": "Never"}}));

    let (stopped, quiet) = (world.wait_for("stopped", "Ready"), world.wait_for("quiet", "Ready"));
    world.assert_reset_but_not_restarted(&stopped, "i-stopped1", PASSWORD);
    world.assert_reset_but_not_restarted(&quiet, "i-running1", PASSWORD);
    assert_eq!(row(&stopped, "i-stopped1")["reason"], "SetWhileStopped");
    assert_eq!(row(&quiet, "i-running1")["reason"], "RestartPolicyNever");
    assert_eq!(world.ecs().core().status("i-stopped1"), Some(Status::Stopped), "nobody starts what is Stopped");
}

#[test]
fn a_starting_instance_is_waited_for_and_then_reset() {
    let world = World::with([Instance::starting("i-starting1", REGION).held()]);
    world.apply_reset("web", json!({"instanceIDs": ["i-starting1"]}));

    let waiting = world.wait_for_state("web", "i-starting1", "WaitingForStableState");
    assert!(waiting["message"].as_str().unwrap().contains("Starting"), "{waiting:#}");
    assert_eq!(condition(&world.status("web"), "Ready")["reason"], "WaitingForStableState");
    assert_eq!(world.record("i-starting1"), Value::Null, "an instance is not claimed before it can be reset");
    world.assert_untouched("i-starting1");

    world.begin_a_minute();
    world.release("i-starting1");
    world.wait_for_state("web", "i-starting1", "PasswordSet");
    let started = world.ecs().core().start_time("i-starting1").unwrap();
    world.advance(60);
    let status = world.wait_for("web", "Ready");
    // A StartTime has the precision of a minute: a restart in the minute of the start before could not be proven.
    let restarted = world.journal(|journal| journal.calls("RebootInstance", "i-starting1").next().map(|it| it.at));
    let minute = |at: jiff::Timestamp| at.as_second() / 60;
    assert!(minute(restarted.unwrap()) > minute(started));
    world.assert_reset_and_restarted_once(&status, "i-starting1", PASSWORD);
}

#[test]
fn a_key_pair_is_noted_in_the_row_and_in_an_event() {
    let world = World::with([Instance::running("i-running1", REGION).with_key_pair("ops")]);
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"]}));
    let status = world.wait_for("web", "Ready");
    assert_eq!(row(&status, "i-running1")["keyPairName"], "ops");
    let event = eventually("an event about password logon", || {
        world.events("web").into_iter().find(|event| event["reason"] == "PasswordLogonEnabled")
    });
    assert!(event["note"].as_str().unwrap().contains("ops"), "{event:#}");
}

#[test]
fn an_instance_id_from_before_2014_is_reset_once() {
    const OLD: &str = "AY121018033933eae8689";
    let world = World::with([Instance::running(OLD, REGION)]);
    world.apply_reset("web", json!({"instanceIDs": [OLD]}));
    world.assert_reset_and_restarted_once(&world.wait_for("web", "Ready"), OLD, PASSWORD);
    // A name takes no capitals; the spec and the calls have the id as it is.
    let record = world.get_in(SYSTEM_NAMESPACE, "resetrecord", &format!("{REGION}.ay121018033933eae8689"));
    assert_eq!(record["spec"]["instanceID"], OLD);

    // The memory is found again, by the name that was made of the id.
    world.advance(60);
    world.apply_reset("web", json!({"instanceIDs": [OLD], "runID": "again"}));
    world.wait_for_run("web", 2);
    assert_eq!((world.modifies(OLD), world.reboots(OLD)), (2, 2));
    let record = world.get_in(SYSTEM_NAMESPACE, "resetrecord", &format!("{REGION}.ay121018033933eae8689"));
    assert_eq!(record["spec"]["claim"], 2);
}

// === What cannot be reset ===

#[test]
fn missing_and_unpermitted_instance_have_two_reasons() {
    let world = World::with([]);
    let spec = json!({"instanceIDs": ["i-nowhere1"], "stableStateTimeoutSeconds": 2});
    world.apply_reset("typo", spec.clone());
    let status = world.wait_for("typo", "Stalled");
    assert_failed_by_name(&status, "i-nowhere1", "InstanceNotFound");
    assert_eq!(condition(&status, "TargetsResolved")["status"], "False");

    world.ecs().core().put_access_key(AccessKey::testing().deny("DescribeInstances", None));
    world.apply_reset("blind", json!({"instanceIDs": ["i-nowhere2"], "stableStateTimeoutSeconds": 2}));
    let status = world.wait_for("blind", "Stalled");
    assert_failed_by_name(&status, "i-nowhere2", "NotPermitted");
    assert!(condition(&status, "Ready")["message"].as_str().unwrap().contains("ecs:DescribeInstances"));

    world.assert_untouched("i-nowhere1");
    world.assert_untouched("i-nowhere2");
}

#[test]
fn reads_refused_by_ram_stall_the_object_until_granted() {
    let blind = AccessKey::testing().deny("DescribeInstances", None);
    let ecs = Config { access_keys: vec![blind], ..Config::default() }.with(Instance::running("i-running1", REGION));
    let world = World::start(Setup { ecs: ecs.refusing_unpermitted_reads(), ..Setup::default() });
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"]}));
    let ready = world.wait_for_reason("web", "NotPermitted");
    assert!(ready["message"].as_str().unwrap().contains("Forbidden.RAM"), "{ready:#}");
    let lack = json!([format!("ecs:DescribeInstances in {REGION}")]);
    eventually("the account shows the lack", || {
        (world.get("ecsaccount", ACCOUNT)["status"]["missingPermissions"] == lack).then_some(())
    });
    world.assert_untouched("i-running1");

    world.ecs().core().put_access_key(AccessKey::testing());
    world.assert_reset_and_restarted_once(&world.wait_for("web", "Ready"), "i-running1", PASSWORD);
}

#[test]
fn a_claim_that_admission_refuses_shows_the_policys_words() {
    let world = World::without_controller(Setup {
        ecs: Config::default().with(Instance::running("i-running1", REGION)),
        ..Setup::default()
    });
    let freeze = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": "change-freeze"},
            "spec": spec,
        })
    };
    world.apply(&freeze(
        "ValidatingAdmissionPolicy",
        json!({
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["ecs.password-reset.dev"], "apiVersions": ["*"], "resources": ["resetrecords"], "operations": ["CREATE"],
            }]},
            "validations": [{"expression": "false", "message": "change freeze until Monday, ask the platform team"}],
        }),
    ));
    let binding = json!({"policyName": "change-freeze", "validationActions": ["Deny"]});
    world.apply(&freeze("ValidatingAdmissionPolicyBinding", binding));
    // Admission is asked about what the schema takes.
    let probe = json!({
        "apiVersion": "ecs.password-reset.dev/v1alpha1",
        "kind": "ResetRecord",
        "metadata": {"namespace": SYSTEM_NAMESPACE, "name": format!("{REGION}.i-probe0001")},
        "spec": {
            "accountName": ACCOUNT, "regionID": REGION, "instanceID": "i-probe0001", "claim": 1,
            "claimTime": "2026-01-01T00:00:00Z", "fingerprint": {"keyID": "k", "value": "v"},
            "owner": {"namespace": "prod", "name": "probe", "uid": "u"},
            "passwordSecretRef": {"namespace": "prod", "name": "probe", "key": "password"},
            "restartPolicy": "IfRunning", "maxUnavailable": 1, "minReadySeconds": 0,
            "stableStateTimeoutSeconds": 600, "stateSeen": "Running", "timeoutSeconds": 900, "tokens": [],
        },
    });
    eventually("the policy is in force", || {
        let created = world.try_kubectl(&["create", "--dry-run=server", "--filename=-"], &probe.to_string());
        created.err().filter(|refused| refused.contains("change freeze")).map(drop)
    });
    let _controller = world.spawn_controller(&[]);
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"]}));
    let row = world.wait_for_reset("web", "the row says why", |object| {
        let row = row(&object["status"], "i-running1");
        row["message"].as_str().is_some_and(|message| message.contains("could not be claimed")).then(|| row.clone())
    });
    let message = row["message"].as_str().unwrap();
    for words in ["ResetRecord", "'change-freeze'", "change freeze until Monday, ask the platform team"] {
        assert!(message.contains(words), "{words}: {message}");
    }
    world.assert_untouched("i-running1");

    world.kubectl(&["delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", "change-freeze"]);
    world.assert_reset_and_restarted_once(&world.wait_for("web", "Ready"), "i-running1", PASSWORD);
}

#[test]
fn locked_and_expired_instances_fail_before_any_call() {
    let mut expired = Instance::running("i-expired1", REGION);
    expired.expired_time = Some("2020-01-01T00:00:00Z".parse().unwrap());
    let world = World::with([Instance::running("i-locked01", REGION).locked("security"), expired]);
    for (name, id) in [("locked", "i-locked01"), ("expired", "i-expired1")] {
        world.apply_reset(name, json!({"instanceIDs": [id], "stableStateTimeoutSeconds": 2}));
    }
    let (locked, expired) = (world.wait_for("locked", "Stalled"), world.wait_for("expired", "Stalled"));
    assert_failed_by_name(&locked, "i-locked01", "InstanceLocked");
    assert!(row(&locked, "i-locked01")["message"].as_str().unwrap().contains("security"));
    assert_failed_by_name(&expired, "i-expired1", "InstanceExpired");
    world.assert_untouched("i-locked01");
    world.assert_untouched("i-expired1");
}

#[test]
fn a_refusal_by_ram_fails_the_instance_and_says_so() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    world.ecs().core().put_access_key(AccessKey::testing().deny("ModifyInstanceAttribute", Some("i-running1")));
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"]}));
    let status = world.wait_for("web", "Stalled");
    assert_failed_by_name(&status, "i-running1", "NotPermitted");
    let message = row(&status, "i-running1")["message"].as_str().unwrap();
    let request_id = world.journal(|journal| {
        journal.calls("ModifyInstanceAttribute", "i-running1").next().map(|refused| refused.request_id.clone())
    });
    assert!(message.contains("Forbidden.RAM") && message.contains(&request_id.unwrap()), "{message}");
    assert_eq!((world.modifies("i-running1"), world.calls("RebootInstance", "i-running1")), (0, 0));
}

/// The one instance is Failed for `reason`, and what a person reads first names it.
#[track_caller]
fn assert_failed_by_name(status: &Value, instance_id: &str, reason: &str) {
    let (row, ready) = (row(status, instance_id), condition(status, "Ready"));
    assert_eq!((&row["state"], &row["reason"]), (&json!("Failed"), &json!(reason)), "{row:#}");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!(reason)), "{ready:#}");
    assert!(ready["message"].as_str().is_some_and(|message| message.contains(instance_id)), "{ready:#}");
    assert_eq!(condition(status, "Succeeded")["status"], "False");
    assert_eq!(condition(status, "Reconciling"), &Value::Null);
}

// === Trouble that goes away ===

#[test]
fn a_missing_secret_is_waited_for() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"], "passwordSecretRef": {"name": "later"}}));
    let ready = world.wait_for_reason("web", "SecretNotFound");
    assert_eq!(ready["status"], "Unknown");
    assert!(ready["message"].as_str().unwrap().contains("later"), "{ready:#}");
    assert_eq!(condition(&world.status("web"), "Reconciling")["reason"], "ProgressingWithRetry");

    world.apply_secret("later", &json!({"passphrase": PASSWORD}));
    let ready = world.wait_for_reason("web", "SecretKeyNotFound");
    assert!(ready["message"].as_str().unwrap().contains("password"), "{ready:#}");
    world.assert_untouched("i-running1");

    world.apply_secret("later", &json!({"password": PASSWORD}));
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, "i-running1", PASSWORD);
}

#[test]
fn an_account_that_is_not_ready_is_waited_for() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    world.ecs().core().remove_access_key("testid");
    world.wait_for_account("Stalled");
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"]}));
    let ready = world.wait_for_reason("web", "AccountNotReady");
    assert_eq!(ready["status"], "Unknown");
    assert_eq!(condition(&world.status("web"), "AccountReady")["status"], "False");
    world.assert_untouched("i-running1");

    world.ecs().core().put_access_key(AccessKey::testing());
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, "i-running1", PASSWORD);
}

#[test]
fn namespace_gets_nothing_until_account_allows_it() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    let mut account = world.account();
    account["spec"]["allowedNamespaces"] = json!({"names": ["elsewhere"]});
    world.apply(&account);
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"]}));
    let ready = world.wait_for_reason("web", "NamespaceNotAllowed");
    assert!(ready["message"].as_str().unwrap().contains("prod"), "{ready:#}");
    world.assert_untouched("i-running1");

    account["spec"]["allowedNamespaces"] = json!({"from": "All"});
    world.apply(&account);
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, "i-running1", PASSWORD);
}

#[test]
fn throttled_calls_are_made_again_and_carried_out_once() {
    let world = World::with([Instance::running("i-running1", REGION)]);
    for action in ["DescribeInstances", "ModifyInstanceAttribute", "RebootInstance"] {
        let fault = Fault::Throttle { retry_after_milliseconds: Some(500) };
        world.ecs().core().inject(Rule::once(action, fault));
    }
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"]}));
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, "i-running1", PASSWORD);
    assert_eq!(world.calls("ModifyInstanceAttribute", "i-running1"), 2);
    assert_eq!(world.calls("RebootInstance", "i-running1"), 2);
}

// === How a person steers it ===

#[test]
fn suspend_starts_nothing_new_and_lets_what_is_in_flight_finish() {
    let ids = ["i-running1", "i-running2"];
    let world = World::with(ids.map(|id| Instance::running(id, REGION)));
    let spec = |suspend| json!({"instanceIDs": ids, "suspend": suspend});
    world.apply_reset("web", spec(true));
    let ready = world.wait_for_reason("web", "Suspended");
    assert_eq!(ready["status"], "Unknown");
    for id in ids {
        world.assert_untouched(id);
    }

    world.hold("i-running1");
    world.apply_reset("web", spec(false));
    eventually("the first one is in its restart", || (world.reboots("i-running1") == 1).then_some(()));
    world.apply_reset("web", spec(true));
    world.release("i-running1");
    world.wait_for_state("web", "i-running1", "InEffect");
    world.wait_for_reason("web", "Suspended");
    world.assert_untouched("i-running2");

    world.apply_reset("web", spec(false));
    let status = world.wait_until_done("web");
    for id in ids {
        world.assert_reset_and_restarted_once(&status, id, PASSWORD);
    }
}

#[test]
fn max_unavailable_bounds_how_many_are_away_at_once() {
    let ids = ["i-running1", "i-running2", "i-running3", "i-running4"];
    let world = World::with(ids.map(|id| Instance::running(id, REGION).held()));
    world.apply_reset("web", json!({"instanceIDs": ids, "restart": {"maxUnavailable": "50%"}}));
    let away = || ids.into_iter().filter(|id| world.reboots(id) > 0).collect::<Vec<_>>();
    eventually("two are away", || (away().len() == 2).then_some(()));
    let waiting = ids.into_iter().find(|id| !away().contains(id)).unwrap();
    world.wait_for_reset("web", "the others wait for a slot", |object| {
        (row(&object["status"], waiting)["reason"] == "WaitingForSlot").then_some(())
    });

    for id in ids {
        world.release(id);
    }
    let status = world.wait_for("web", "Ready");
    for id in ids {
        world.assert_reset_and_restarted_once(&status, id, PASSWORD);
    }
    assert_eq!(world.journal(ecs_simulator::Journal::max_away), 2);
}

#[test]
fn waiting_row_names_holder_and_gets_its_slot_if_delisted() {
    let ids = ["i-running1", "i-running2"];
    let world = World::with(ids.map(|id| Instance::running(id, REGION)));
    let spec = |ids: &[&str]| json!({"instanceIDs": ids, "restart": {"maxUnavailable": 1, "minReadySeconds": 3600}});
    world.apply_reset("web", spec(&ids));
    world.wait_for_state("web", "i-running1", "InEffect");
    world.wait_for_reset("web", "the holder is named", |object| {
        let message = row(&object["status"], "i-running2")["message"].as_str()?.to_owned();
        message.contains("i-running1 has been Running for 3600 s").then_some(())
    });
    world.apply_reset("web", spec(&["i-running2"]));
    // The record is checked each minute, and when it is touched.
    world.advance(0);
    world.wait_for_state("web", "i-running2", "InEffect");
    assert_eq!(ids.map(|id| world.reboots(id)), [1, 1]);
}

#[test]
fn refused_claims_show_in_rows_and_are_made_later() {
    let ids = ["i-running1", "i-running2"];
    let world = World::with(ids.map(|id| Instance::running(id, REGION)));
    let role = world.get_in(SYSTEM_NAMESPACE, "role", "ecs-password-reset-controller");
    let mut without = role.clone();
    for rule in without["rules"].as_array_mut().unwrap() {
        if rule["resources"] == json!(["resetrecords"]) {
            rule["verbs"].as_array_mut().unwrap().retain(|verb| verb != "create");
        }
    }
    assert_ne!(role["rules"], without["rules"]);
    let set = |role: &Value| {
        let patch = json!({"rules": role["rules"]}).to_string();
        let name = "ecs-password-reset-controller";
        world.kubectl(&["patch", "role", name, "-n", SYSTEM_NAMESPACE, "--type=merge", "-p", &patch]);
    };
    set(&without);
    world.apply_reset("web", json!({"instanceIDs": ids, "restart": {"maxUnavailable": 2}}));
    for id in ids {
        world.wait_for_reset("web", "its row says that it could not be claimed", |object| {
            let message = row(&object["status"], id)["message"].as_str()?.to_owned();
            message.starts_with("it could not be claimed: the controller may not create").then_some(())
        });
    }
    set(&role);
    let status = world.wait_for("web", "Ready");
    for id in ids {
        world.assert_reset_and_restarted_once(&status, id, PASSWORD);
    }
}

#[test]
fn instance_without_owner_is_watched_for_one_more_hour() {
    let id = "i-running1";
    let world = World::with([Instance::running(id, REGION)]);
    world.apply_reset("web", json!({"instanceIDs": [id], "restart": {"minReadySeconds": 86_400}}));
    world.wait_for("web", "Ready");
    let is_available = |world: &World| world.record(id)["status"]["availableTime"].is_string();
    let pass = |world: &World, seconds| {
        let passes = || world.metric("controller_runtime_reconcile_total", "controller=\"reset_record\"");
        let before = passes();
        world.advance(seconds);
        eventually("the record was looked at", || (passes() > before + 0.5).then_some(()));
    };
    // Long after the end: it is the owner that is missed, and not the claim that is old.
    pass(&world, 7_200);
    world.delete_reset("web");
    let objects = || world.metric("passwordreset_objects", "kind=\"PasswordReset\"");
    eventually("the deletion is known", || (objects() < 0.5).then_some(()));
    pass(&world, 10);
    pass(&world, 3_500);
    assert!(!is_available(&world), "whoever replaces an object deletes it first");
    world.advance(100);
    eventually("its slot is given up", || is_available(&world).then_some(()));
}

#[test]
fn deleted_object_is_forgotten_at_once() {
    // Nothing but the deletions themselves can tell: no look is due within the hour.
    let ecs = Config { instances: vec![Instance::running("i-running1", REGION)], ..Config::default() };
    let mut world = World::without_controller(Setup { ecs, account_check_seconds: 3_600, ..Setup::default() });
    world.start_controller();
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"]}));
    world.wait_for("web", "Ready");
    let instances = || world.metric("passwordreset_instances", "InEffect");
    let objects = |labels| world.metric("passwordreset_objects", labels);
    let (reset, account) = ("kind=\"PasswordReset\",ready=\"True\"", "kind=\"ECSAccount\",ready=\"True\"");
    eventually("object, instance and account are counted", || {
        (instances() > 0.5 && objects(reset) > 0.5 && objects(account) > 0.5).then_some(())
    });
    world.delete_reset("web");
    eventually("the object is not counted any more", || (instances() + objects(reset) < 0.5).then_some(()));

    // A restart that is due when the account goes; not in the minute of the last one, where it would wait.
    world.ecs().advance(Duration::from_mins(1));
    let refusal = Fault::Refuse { code: "IncorrectInstanceStatus".to_owned(), http: 403, message: String::new() };
    world.ecs().core().inject(Rule::once("RebootInstance", refusal).times(10_000));
    world.apply_reset("again", json!({"instanceIDs": ["i-running1"]}));
    let asked = || world.calls("RebootInstance", "i-running1");
    let before = asked();
    eventually("the restart was asked for", || (asked() > before).then_some(()));
    world.kubectl(&["delete", "ecsaccount", ACCOUNT]);
    world.wait_for_reset("again", "the object is told", |object| {
        (condition(&object["status"], "AccountReady")["reason"] == "AccountNotFound").then_some(())
    });
    let (asked_at_last, passes) = (asked(), world.passes());
    world.ecs().core().clear_faults();
    eventually("everything was looked at again", || (world.passes() > passes + 8.0).then_some(()));
    assert_eq!(asked(), asked_at_last, "a restart was requested for an account that is gone");
    assert_eq!(world.reboots("i-running1"), 1, "only the first run has restarted it");
    assert!(objects("kind=\"ECSAccount\"") < 0.5, "the account is counted");

    // Whoever replaces an account deletes it first.
    assert_eq!(row(&world.status("again"), "i-running1")["state"], "PasswordSet");
    world.apply(&world.account());
    world.wait_for("again", "Ready");
    assert_eq!(world.reboots("i-running1"), 2);
}

#[test]
fn ended_claims_stay_while_ecs_time_is_not_known() {
    let mut world = World::with([Instance::running("i-running1", REGION)]);
    world.apply_reset("web", json!({"instanceIDs": ["i-running1"]}));
    world.wait_for("web", "Ready");
    let ended = || world.record("i-running1")["status"]["availableTime"].is_string();
    eventually("the slot is free", || ended().then_some(()));
    world.kill_controller();
    world.ecs().core().inject(Rule::once("GetCallerIdentity", Fault::LoseRequest).times(10_000));
    world.start_controller();
    let looks = || world.metric("controller_runtime_reconcile_total", "controller=\"reset_record\"");
    eventually("the record was looked at", || (looks() > 0.5).then_some(()));
    let (before, asked) = (looks(), || world.journal(|journal| journal.asked("GetCallerIdentity")));
    let at_first = asked();
    // Once a second. A record that has not ended would be looked at every five; some of the first looks may be late.
    eventually("ECS's time was asked for, again and again", || (asked() > at_first + 24).then_some(()));
    assert!(looks() < before + 3.5, "{} looks at a record that has ended", looks());
}

#[test]
fn two_objects_that_name_one_instance_take_turns() {
    let world = World::with([Instance::running("i-running1", REGION).held()]);
    world.apply_secret("other", &json!({"password": "Green-Teapot-8"}));
    world.apply_reset("first", json!({"instanceIDs": ["i-running1"]}));
    eventually("the first one restarts the instance", || (world.reboots("i-running1") == 1).then_some(()));
    let spec = json!({"instanceIDs": ["i-running1"], "passwordSecretRef": {"name": "other"}});
    world.apply_reset("second", spec);
    let waiting = world.wait_for_reset("second", "its row says why it waits", |object| {
        let row = row(&object["status"], "i-running1");
        (row["reason"] == "InstanceBusy").then(|| row.clone())
    });
    assert_eq!(waiting["state"], "Pending");
    assert_eq!((world.modifies("i-running1"), world.reboots("i-running1")), (1, 1));

    world.begin_a_minute();
    world.release("i-running1");
    world.wait_for_state("second", "i-running1", "PasswordSet");
    world.advance(60);
    world.wait_for("second", "Ready");
    world.wait_for_state("second", "i-running1", "InEffect");
    world.wait_for_state("first", "i-running1", "Superseded");
    assert_eq!(condition(&world.wait_until_done("first"), "Ready")["status"], "True");
    assert_eq!((world.modifies("i-running1"), world.reboots("i-running1")), (2, 2));
    assert!(world.ecs().core().in_effect_password("i-running1") == Some("Green-Teapot-8"));
}

#[test]
fn deletion_is_immediate_and_the_claim_is_finished() {
    let ids = ["i-running1", "i-running2"];
    let world = World::with(ids.map(|id| Instance::running(id, REGION)));
    world.hold("i-running1");
    world.apply_reset("web", json!({"instanceIDs": ids}));
    eventually("the first one is in its restart", || (world.reboots("i-running1") == 1).then_some(()));

    world.delete_reset("web");
    world.release("i-running1");
    eventually("the record has ended", || (world.record("i-running1")["status"]["phase"] == "InEffect").then_some(()));
    assert_eq!((world.modifies("i-running1"), world.reboots("i-running1")), (1, 1));
    assert!(world.ecs().core().in_effect_password("i-running1") == Some(PASSWORD));
    world.assert_untouched("i-running2");
}
