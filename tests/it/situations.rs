//! What a person sees who looks at an object, in each situation in which one can be: a page each in `tests/words/situations`, from a
//! real API server and the real `kubectl`. After a change run these with `INSTA_UPDATE=always`, and read the diff of the pages.

use serde_json::{Value, json};

use ecs_simulator::Revocation;

use crate::common::{
    AccessKey, Config, Fault, Instance, NAMESPACE, PASSWORD, Page, REGION, Rule, SECRET, SYSTEM_NAMESPACE, Setup,
    World, condition, eventually, manifests,
};

/// A namespace with the same rights as `prod`.
const TEAM_B: &str = "team-b";
/// A namespace whose Secrets the controller may not read.
const TEAM_C: &str = "team-c";

/// A world whose controller does not run yet, with these instances and a second access key.
fn world(instances: Vec<Instance>) -> World {
    let ecs = Config { instances, ..Config::default() }.with_access_key(AccessKey::new("otherid", "othersecret"));
    World::without_controller(Setup { ecs, ..Setup::default() })
}

fn running(id: &str) -> Instance {
    Instance::running(id, REGION)
}

fn starting(id: &str) -> Instance {
    Instance::starting(id, REGION).held()
}

fn reset(name: &str, spec: Value) -> Value {
    manifests::password_reset(NAMESPACE, name, spec)
}

/// Another account with the same credentials, with these fields on top.
fn account(world: &World, name: &str, more: &Value) -> Value {
    let mut account = world.account();
    account["metadata"]["name"] = json!(name);
    let names = json!({"names": [NAMESPACE, TEAM_B, TEAM_C]});
    account["spec"]["allowedNamespaces"] = names;
    for (field, value) in more.as_object().unwrap() {
        account["spec"][field] = value.clone();
    }
    account
}

fn page_of_account(world: &World, file: &str, name: &str, story: &str) {
    world.page_of(&Page { file, story, namespace: None, kind: "ecsaccount", name });
}

/// ECS refuses a call for good.
fn refuse(world: &World, action: &str, id: &str) {
    let refusal = Fault::Refuse { code: "OperationDenied.NoStock".to_owned(), http: 403, message: String::new() };
    world.ecs().core().inject(Rule::once(action, refusal).on(id));
}

/// Objects that wait, or have ended, at once: no time has to pass for them.
#[test]
#[expect(clippy::too_many_lines, reason = "a list of situations")]
fn pages_of_what_waits_and_of_what_is_done() {
    let mut expired = running("i-expired001");
    expired.expired_time = Some("2020-01-01T00:00:00Z".parse().unwrap());
    let mut instances: Vec<Instance> = [
        "i-first00001",
        "i-slot000002",
        "i-ready00001",
        "i-ready00002",
        "i-window0001",
        "i-before0001",
        "i-toolate001",
        "i-suspend001",
        "i-account001",
        "i-fleet00001",
        "i-fleet00002",
        "i-fleet00003",
        "i-paused0001",
        "i-paused0002",
        "i-paused0003",
        "i-secret0001",
        "i-super00001",
        "i-many000001",
        "i-many000002",
        "i-many000003",
        "i-rotate0001",
        "i-rotate0003",
        "i-between001",
        "i-others0001",
        "i-mine000001",
        "i-throttle01",
        "i-throttle02",
        "i-refused001",
    ]
    .map(running)
    .into();
    for id in ["i-many000001", "i-many000002", "i-many000003"] {
        instances.iter_mut().filter(|it| it.instance_id == id).for_each(|it| *it = it.clone().tagged("app", "many"));
    }
    instances.extend([
        starting("i-starting01"),
        running("i-locked0001").locked("security"),
        expired,
        running("i-slot000001").held(),
        running("i-planned001").with_key_pair("ops"),
        Instance::stopped("i-planned002", REGION),
        running("i-effect0001").with_key_pair("ops"),
        Instance::stopped("i-stopped001", REGION),
        running("i-busy000001").held(),
        running("i-rotate0002").held(),
        running("i-memory0001").held(),
        running("i-bound00001").held(),
        running("i-bound00002"),
        starting("i-keyed00001"),
        starting("i-minute0001"),
        starting("i-braked0001"),
    ]);
    let mut world = world(instances);
    world.create_namespace(TEAM_B);
    world.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM_C}}));
    world.apply(&account(&world, "default", &json!({})));
    world.apply_reset("web", json!({"instanceIDs": ["i-first00001"], "runID": "1"}));
    world.page("01-no-controller", "web", "Pending", "Nothing runs that could work: the controller is not there yet.");

    let password = |namespace, name, password: &str| manifests::secret(namespace, name, &json!({"password": password}));
    world.apply_all([
        password(TEAM_B, SECRET, PASSWORD),
        password(TEAM_C, SECRET, PASSWORD),
        password(NAMESPACE, "rotated", PASSWORD),
        password(NAMESPACE, "short", "short"),
        manifests::secret(NAMESPACE, "passphrase", &json!({"passphrase": PASSWORD, "user": "root"})),
        manifests::secret(
            SYSTEM_NAMESPACE,
            "wrong-key",
            &json!({"accessKeyID": "nosuchid", "accessKeySecret": "none"}),
        ),
        account(&world, "refused", &json!({"credentials": {"secretRef": {"name": "wrong-key"}}})),
        account(&world, "suspended", &json!({"suspend": true})),
        account(&world, "theirs", &json!({"allowedNamespaces": {"names": [TEAM_B]}})),
        account(&world, "elsewhere", &json!({"regions": ["cn-shanghai"]})),
        account(&world, "unreachable", &json!({"endpoint": {"url": "http://127.0.0.1:1"}})),
        account(&world, "by-rules", &json!({"rules": [{"instanceTags": {"team": "prod"}}]})),
        account(
            &world,
            "bounded",
            &json!({"limits": {"requestsPerSecond": 100, "maxUnavailable": 1, "minRestartIntervalSeconds": 0}}),
        ),
        account(&world, "slow", &json!({"limits": {"requestsPerSecond": 100, "minRestartIntervalSeconds": 3600}})),
        manifests::secret(
            SYSTEM_NAMESPACE,
            "other-key",
            &json!({"accessKeyID": "otherid", "accessKeySecret": "othersecret"}),
        ),
        account(&world, "keyed", &json!({"credentials": {"secretRef": {"name": "other-key"}}})),
        account(&world, "throttled", &json!({})),
    ]);
    world.start_controller();
    world.wait_for_account("Ready");
    world.wait_for("web", "Ready");
    refuse(&world, "RebootInstance", "i-fleet00002");
    refuse(&world, "ModifyInstanceAttribute", "i-paused0001");

    let account = |name: &str| json!({"name": name});
    let of_account = |name: &str| json!({"instanceIDs": ["i-account001"], "accountRef": account(name)});
    let of_secret = |name: &str| json!({"instanceIDs": ["i-secret0001"], "passwordSecretRef": {"name": name}});
    world.apply_all([
        reset("starting", json!({"instanceIDs": ["i-starting01"]})),
        reset("locked", json!({"instanceIDs": ["i-locked0001"]})),
        reset("lapsed", json!({"instanceIDs": ["i-expired001"]})),
        reset("slots", json!({"instanceIDs": ["i-slot000001", "i-slot000002"]})),
        reset("ready", json!({"instanceIDs": ["i-ready00001", "i-ready00002"], "restart": {"minReadySeconds": 3600}})),
        reset(
            "window",
            json!({"instanceIDs": ["i-window0001"],
            "windows": [{"schedule": "0 3 1 1 *", "duration": "1h", "timeZone": "Asia/Shanghai"}]}),
        ),
        reset("not-before", json!({"instanceIDs": ["i-before0001"], "notBefore": "2100-01-01T00:00:00Z"})),
        reset("expired", json!({"instanceIDs": ["i-toolate001"], "notAfter": "2020-01-01T00:00:00Z"})),
        reset("suspended", json!({"instanceIDs": ["i-suspend001"], "suspend": true})),
        reset("plan", json!({"instanceIDs": ["i-planned001", "i-planned002", "i-nosuch0001"], "mode": "Plan"})),
        reset("done", json!({"instanceIDs": ["i-effect0001"], "runID": "2026-11"})),
        reset("stopped", json!({"instanceIDs": ["i-stopped001"]})),
        reset("fleet", json!({"instanceIDs": ["i-fleet00001", "i-fleet00002", "i-fleet00003"], "maxFailures": 1})),
        reset("paused", json!({"instanceIDs": ["i-paused0001", "i-paused0002", "i-paused0003"], "maxFailures": 0})),
        reset("no-secret", of_secret("nosuch")),
        reset("no-key", of_secret("passphrase")),
        reset("invalid", of_secret("short")),
        manifests::password_reset(TEAM_C, "no-right", json!({"instanceIDs": ["i-secret0001"]})),
        reset("no-account", of_account("nosuch")),
        reset("account-refused", of_account("refused")),
        reset("account-suspended", of_account("suspended")),
        reset("account-of-others", of_account("theirs")),
        reset("account-of-other-region", of_account("elsewhere")),
        reset("unreachable", of_account("unreachable")),
        reset("by-rules", json!({"instanceIDs": ["i-others0001"], "accountRef": account("by-rules")})),
        reset("not-found", json!({"instanceIDs": ["i-nosuch0001"]})),
        reset("busy-first", json!({"instanceIDs": ["i-busy000001"]})),
        reset("superseded", json!({"instanceIDs": ["i-super00001"]})),
        reset("too-many", json!({"selector": {"tags": {"app": "many"}, "maxTargets": 2}})),
        reset("no-match", json!({"selector": {"tags": {"app": "nosuch"}, "maxTargets": 2}})),
        reset(
            "rotated",
            json!({"instanceIDs": ["i-rotate0001", "i-rotate0002", "i-rotate0003"],
            "passwordSecretRef": {"name": "rotated"}, "runID": "1"}),
        ),
        reset("memory", json!({"instanceIDs": ["i-memory0001"]})),
        reset("bounded-first", json!({"instanceIDs": ["i-bound00001"], "accountRef": account("bounded")})),
        reset("interval", json!({"instanceIDs": ["i-between001"], "accountRef": account("slow")})),
        reset("keyed", json!({"instanceIDs": ["i-keyed00001"], "accountRef": account("keyed")})),
        reset("minute", json!({"instanceIDs": ["i-minute0001"]})),
        reset("braked", json!({"instanceIDs": ["i-braked0001"]})),
    ]);
    world.wait_for_reason("starting", "WaitingForStableState");
    world.page(
        "02-waiting-for-stable-state",
        "starting",
        "WaitingForStableState",
        "The instance is Starting, and does not get any further.",
    );
    world.page("03-locked", "locked", "InstanceLocked", "ECS has locked the instance for security.");
    world.page("04-instance-expired", "lapsed", "InstanceExpired", "The instance's subscription has expired.");
    world.wait_for_state("slots", "i-slot000001", "Restarting");
    world.page(
        "05-waiting-for-slot",
        "slots",
        "Restarting",
        "The first of two instances restarts; one at a time is allowed.",
    );
    world.wait_for_reason("ready", "WaitingForMinReady");
    world.page(
        "06-waiting-for-min-ready",
        "ready",
        "WaitingForMinReady",
        "The first of two instances is back, for less than minReadySeconds.",
    );
    world.page("07-waiting-for-window", "window", "WaitingForWindow", "The maintenance window is not open.");
    world.page("08-not-before", "not-before", "NotBefore", "It is not notBefore yet.");
    world.page("09-expired", "expired", "Expired", "The object was first applied after notAfter.");
    world.page("10-suspended", "suspended", "Suspended", "The object is suspended before anything has begun.");
    world.wait_for("plan", "Ready");
    world.page(
        "11-plan",
        "plan",
        "Planned",
        "mode is Plan: one instance Running, one Stopped, one that does not exist.",
    );
    world.wait_for("done", "Ready");
    world.page("12-in-effect", "done", "Succeeded", "All went well; the instance has a key pair.");
    world.wait_for("stopped", "Ready");
    world.page("13-effective-at-next-start", "stopped", "Succeeded", "The instance was Stopped.");
    world.wait_for_reason("fleet", "PartiallyFailed");
    world.page(
        "14-one-of-three-failed",
        "fleet",
        "PartiallyFailed",
        "ECS refused the restart of the second of three instances; maxFailures is 1.",
    );
    world.wait_for_reason("paused", "PausedOnFailure");
    world.page(
        "15-paused-on-failure",
        "paused",
        "PausedOnFailure",
        "ECS refused the password of the first of three instances; maxFailures is 0.",
    );
    world.page("16-secret-missing", "no-secret", "SecretNotFound", "The Secret does not exist.");
    world.page("17-key-missing", "no-key", "SecretKeyNotFound", "The Secret has other keys.");
    world.page("18-invalid-password", "invalid", "InvalidPassword", "The password is too short.");
    let story = "The namespace's owner has not allowed the controller to read Secrets.";
    let no_right = Page {
        file: "19-secret-not-permitted",
        story,
        namespace: Some(TEAM_C),
        kind: "passwordreset",
        name: "no-right",
    };
    world.page_of(&no_right);
    world.page("20-account-missing", "no-account", "AccountNotFound", "The ECSAccount does not exist.");
    world.page(
        "21-account-not-ready",
        "account-refused",
        "AccountNotReady",
        "Alibaba Cloud does not know the account's access key.",
    );
    page_of_account(&world, "22-account-refused", "refused", "The same, for the account's administrator.");
    world.page(
        "23-account-suspended",
        "account-suspended",
        "Suspended",
        "The account's administrator has suspended it.",
    );
    page_of_account(&world, "24-suspended-account", "suspended", "The same, for the account's administrator.");
    world.page(
        "25-namespace-not-allowed",
        "account-of-others",
        "NamespaceNotAllowed",
        "The account does not allow the namespace.",
    );
    world.page(
        "26-region-not-allowed",
        "account-of-other-region",
        "RegionNotAllowed",
        "The account does not allow the region.",
    );
    world.page("27-ecs-unreachable", "unreachable", "AccountNotReady", "Nothing listens at the account's endpoint.");
    page_of_account(&world, "28-account-unreachable", "unreachable", "The same, for the account's administrator.");
    world.page(
        "29-instance-not-allowed",
        "by-rules",
        "InstanceNotAllowed",
        "The account has rules, and none covers the instance.",
    );
    world.page("30-instance-not-found", "not-found", "InstanceNotFound", "There is no such instance.");
    world.page(
        "31-too-many-targets",
        "too-many",
        "TooManyTargets",
        "The selector matches three instances, and maxTargets is 2.",
    );
    world.page("32-no-targets", "no-match", "NoTargets", "The selector matches nothing.");

    world.wait_for_state("busy-first", "i-busy000001", "Restarting");
    let busy = json!({"instanceIDs": ["i-busy000001"]});
    world.apply(&reset("busy", busy.clone()));
    world.apply(&manifests::password_reset(TEAM_B, "busy", busy));
    world.page(
        "33-instance-busy",
        "busy",
        "InstanceBusy",
        "Another object of the namespace is at work on the instance.",
    );
    let story = "An object of another namespace is at work on the instance.";
    let elsewhere = Page {
        file: "34-instance-busy-elsewhere",
        story,
        namespace: Some(TEAM_B),
        kind: "passwordreset",
        name: "busy",
    };
    world.page_of(&elsewhere);

    world.wait_for("superseded", "Ready");
    world.apply(&reset("superseding", json!({"instanceIDs": ["i-super00001"]})));
    world.wait_for_state("superseded", "i-super00001", "Superseded");
    world.page("35-superseded", "superseded", "Succeeded", "Another object has reset the instance since.");

    world.wait_for_state("rotated", "i-rotate0002", "Restarting");
    world.set_password_of("rotated", "Green-Teapot-8");
    eventually("the change is seen", || {
        (condition(&world.status("rotated"), "SecretInSync")["reason"] == "SecretChanged").then_some(())
    });
    world.page(
        "36-secret-changed",
        "rotated",
        "Restarting",
        "The Secret was changed while the second of three instances restarts.",
    );
    world.release("i-rotate0002");
    world.wait_for_reason("rotated", "SecretChangedDuringRun");
    world.page("37-secret-changed-during-run", "rotated", "SecretChangedDuringRun", "The same, a little later.");

    world.wait_for_state("memory", "i-memory0001", "Restarting");
    let record = format!("{REGION}.i-memory0001");
    world.kubectl(&["delete", "resetrecord", &record, "--namespace", SYSTEM_NAMESPACE]);
    world.wait_for_reason("memory", "OutcomeUnknown");
    world.page(
        "38-memory-lost",
        "memory",
        "OutcomeUnknown",
        "Somebody has deleted the ResetRecord while the instance restarts.",
    );

    world.wait_for_state("bounded-first", "i-bound00001", "Restarting");
    world.apply(&reset("bounded", json!({"instanceIDs": ["i-bound00002"], "accountRef": account("bounded")})));
    world.page(
        "39-waiting-for-account-slot",
        "bounded",
        "WaitingForAccountSlot",
        "The account lets one instance be away, and another object has one.",
    );

    world.wait_for("interval", "Ready");
    world.apply(&reset(
        "interval",
        json!({"instanceIDs": ["i-between001"], "accountRef": account("slow"), "runID": "2"}),
    ));
    world.page(
        "40-min-restart-interval",
        "interval",
        "MinRestartInterval",
        "The instance was restarted a moment ago, and the account wants an hour between two restarts.",
    );

    world.wait_for_reason("keyed", "WaitingForStableState");
    world.ecs().core().revoke("otherid", Revocation::Disabled);
    eventually("the account shows it", || {
        (condition(&world.get("ecsaccount", "keyed")["status"], "Ready")["status"] == "False").then_some(())
    });
    // Its readings may tell of it first.
    eventually("the object shows it", || {
        (condition(&world.status("keyed"), "AccountReady")["status"] == "False").then_some(())
    });
    world.page(
        "46-key-disabled",
        "keyed",
        "AccountNotReady",
        "Somebody has disabled the account's access key in mid-run.",
    );
    page_of_account(&world, "47-account-key-disabled", "keyed", "The same, for the account's administrator.");

    // The two instances start in one minute of ECS's clock, so their restarts wait for the next one.
    world.begin_a_minute();
    world.release("i-minute0001");
    world.release("i-braked0001");
    for name in ["minute", "braked"] {
        world.wait_for_reason(name, "WaitingForRestart");
    }
    // Before the first page is taken, which may last: the brake holds the restart longer than the minute does.
    world.kubectl(&[
        "patch",
        "pwr",
        "braked",
        "-n",
        NAMESPACE,
        "--type=merge",
        "--patch",
        r#"{"spec":{"suspend":true}}"#,
    ]);
    world.page(
        "41-waiting-for-restart",
        "minute",
        "WaitingForRestart",
        "The password is set, in the minute in which the instance started.",
    );
    world.wait_for_reason("braked", "Suspended");
    world.page(
        "42-suspended-in-mid-run",
        "braked",
        "Suspended",
        "The object was suspended when the password was set and no restart requested.",
    );

    // Untold, it would be to the end of ECS's minute.
    let throttle = Fault::Throttle { retry_after_milliseconds: Some(600_000) };
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", throttle).on("i-throttle01"));
    let of_throttled = |id: &str| json!({"instanceIDs": [id], "accountRef": account("throttled")});
    world.apply(&reset("throttled", of_throttled("i-throttle01")));
    world.wait_for_reason("throttled", "Throttled");
    world.apply(&reset("behind", of_throttled("i-throttle02")));
    world.wait_for_reason("behind", "HeldBack");
    world.page("43-throttled", "throttled", "Throttled", "ECS has throttled the call that sets the password.");
    world.page("44-held-back", "behind", "HeldBack", "ECS has throttled a call for another object of the account.");
    page_of_account(&world, "45-account-throttled", "throttled", "The same, for the account's administrator.");
}

/// Objects for which time has to pass: what ends by a deadline, and what is not known then.
#[test]
#[expect(clippy::too_many_lines, reason = "a list of situations")]
fn pages_of_what_ends_by_a_deadline() {
    let mut world = world(vec![
        running("i-unknown001"),
        running("i-unknown002"),
        running("i-stuck00001").held(),
        running("i-stuck00002"),
        running("i-released01").held(),
        running("i-released02"),
        running("i-halfway001"),
        running("i-halfway002"),
        starting("i-starting01"),
        running("i-account001"),
        running("i-poison0001"),
        Instance::stopped("i-stopping01", REGION),
    ]);
    world.apply(&manifests::secret(
        SYSTEM_NAMESPACE,
        "wrong-key",
        &json!({"accessKeyID": "nosuchid", "accessKeySecret": "none"}),
    ));
    world.apply(&account(&world, "refused", &json!({"credentials": {"secretRef": {"name": "wrong-key"}}})));
    world.start_controller();
    world.wait_for_account("Ready");
    let lost = Rule::once("RebootInstance", Fault::LoseRequest).on("i-unknown001");
    world.ecs().core().inject(lost);
    let garbled = Fault::RawAnswer { http: 502, body: "<html>bad gateway".to_owned(), after_effect: false };
    world.ecs().core().inject(Rule::once("ModifyInstanceAttribute", garbled).on("i-halfway001").times(1_000));
    let timeout = json!({"timeoutSeconds": 60});
    world.apply_all([
        reset("unknown", json!({"instanceIDs": ["i-unknown001", "i-unknown002"], "maxFailures": 0})),
        reset("stuck", json!({"instanceIDs": ["i-stuck00001", "i-stuck00002"], "restart": timeout, "maxFailures": 1})),
        reset("released", json!({"instanceIDs": ["i-released01", "i-released02"], "restart": timeout, "maxFailures": 1})),
        reset("starting", json!({"instanceIDs": ["i-starting01"], "stableStateTimeoutSeconds": 60})),
        reset("halfway", json!({"instanceIDs": ["i-halfway001", "i-halfway002"], "stableStateTimeoutSeconds": 60})),
        reset("refused", json!({"instanceIDs": ["i-account001"], "accountRef": {"name": "refused"}, "stableStateTimeoutSeconds": 60})),
    ]);
    eventually("the request is lost", || (world.calls("RebootInstance", "i-unknown001") > 0).then_some(()));
    world.wait_for_state("unknown", "i-unknown001", "Restarting");
    world.page("50-restart-not-answered", "unknown", "Restarting", "A restart was requested, and no answer came.");
    world.wait_for_state("stuck", "i-stuck00001", "Restarting");
    world.wait_for_state("released", "i-released01", "Restarting");
    world.wait_for_reason("starting", "WaitingForStableState");
    world.wait_for_reason("refused", "AccountNotReady");
    world.wait_for_state("halfway", "i-halfway001", "SettingPassword");
    world.page(
        "51-password-not-answered",
        "halfway",
        "SettingPasswords",
        "A gateway answers in ECS's place to the call that sets the password.",
    );

    world.ecs().with_core(|core, now| core.remove_instance(now, "i-released01"));
    world.page(
        "52-released",
        "released",
        "PartiallyFailed",
        "The first of two instances was released while it restarted.",
    );
    // Less than the validity of requests at a time, or ECS would refuse what is under way. More than V + M in all: no copy of a request
    // can be carried out any more, and what it did shows; and more than the timeouts above.
    world.advance(40);
    world.advance(40);
    world.page("53-restart-unknown", "unknown", "PausedOnFailure", "The same as in 50, a minute later.");
    world.page(
        "54-slot-held",
        "stuck",
        "SlotHeld",
        "ECS accepted the restart of the first of two instances, and it did not return within timeoutSeconds.",
    );
    world.page(
        "55-stable-state-timeout",
        "starting",
        "StableStateTimeout",
        "The instance was Starting for longer than stableStateTimeoutSeconds.",
    );
    eventually("the account's trouble has lasted", || {
        (condition(&world.status("refused"), "Ready")["status"] == "False").then_some(())
    });
    world.page(
        "56-account-not-ready-for-long",
        "refused",
        "AccountNotReady",
        "The account's access key has been wrong for longer than stableStateTimeoutSeconds.",
    );
    world.ecs().core().clear_faults();

    world.release("i-stuck00001");
    world.page(
        "57-returned-late",
        "stuck",
        "OutcomeUnknown",
        "The instance of 54 has returned by itself, and the second was reset.",
    );

    // As a later version of the CRD may have left it.
    let schema = "/spec/versions/0/schema/openAPIV3Schema";
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let loosen = json!([
        {"op": "replace", "path": format!("{schema}/properties/spec"), "value": anything},
        {"op": "remove", "path": format!("{schema}/x-kubernetes-validations")},
    ]);
    let crd = "resetrecords.ecs.password-reset.dev";
    world.kubectl(&["patch", "crd", crd, "--type=json", "--patch", &loosen.to_string()]);
    let record = json!({
        "apiVersion": "ecs.password-reset.dev/v1alpha1",
        "kind": "ResetRecord",
        "metadata": {"namespace": SYSTEM_NAMESPACE, "name": format!("{REGION}.i-poison0001")},
        "spec": {"claim": "one"},
    });
    eventually("the record is let in", || {
        world.try_kubectl(&["create", "--validate=ignore", "--filename=-"], &record.to_string()).ok()
    });
    world.apply(&reset("unreadable", json!({"instanceIDs": ["i-poison0001"]})));
    eventually("its instance was read", || {
        (condition(&world.status("unreadable"), "TargetsResolved")["status"] == "True").then_some(())
    });
    world.page(
        "58-record-unreadable",
        "unreadable",
        "RecordUnusable",
        "The ResetRecord of the instance is of another version.",
    );
}

/// A page that nothing writes any more would be read all the same.
#[test]
fn each_page_is_of_a_situation() {
    let here = include_str!("situations.rs");
    for page in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/words/situations")).unwrap() {
        let page = page.unwrap().path();
        let name = page.file_stem().unwrap().to_str().unwrap();
        assert!(here.contains(&format!("\"{name}\"")), "{name} is written by nothing: delete it");
    }
}
