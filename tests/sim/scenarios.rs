//! The scenarios: what people want, and what the world does by itself while they get it.

use ecs_simulator::{AccessKey, Fault, Instance, Rule};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::plan::Ms;
use crate::scenario::{
    CONSENT, Do, NAMESPACE, OTHER_PASSWORD, Power, REGION, SYSTEM_NAMESPACE, Scenario, When, installed, reset, secret,
};

const I1: &str = "i-1";
const I2: &str = "i-2";
const I3: &str = "i-3";

/// Just under two minutes: so late may an accepted reboot begin, less what a reading lags. In seconds.
pub const LATEST_BEGIN: f64 = 118.0;

/// All of them.
pub fn all() -> Vec<Scenario> {
    vec![
        one_running(),
        one_stopped(),
        restart_policy_never(),
        three_one_at_a_time(),
        three_two_at_a_time(),
        a_second_run(),
        two_owners(),
        two_owners_one_applied_again(),
        deleted_and_applied_again(),
        secret_edited(),
        secret_edited_in_mid_run(),
        starting_up(),
        restarted_by_somebody_else(),
        stopped_by_somebody_else(),
        tag_withdrawn(),
        does_not_come_back(),
        throttled(),
        refused_and_tried_again(),
        unknown_and_restarted_again(),
        one_exchanged_for_another(),
        stopped_and_started_by_somebody_else(),
        begins_late(),
        a_restart_lost(),
        a_restart_lost_twice(),
        refused_for_a_reason_of_its_own(),
        answered_with_nothing_to_go_by(),
        credentials_gone(),
        released_while_it_restarts(),
        released_with_its_password_set(),
        hidden_while_it_restarts(),
        suspended_with_its_password_set(),
        account_suspended_while_the_password_is_set(),
        window_closes(WINDOW_CLOSES - 6_000),
        account_with_one_slot(),
        account_slot_held(),
        account_with_one_slot_per_zone(),
        retagged_in_mid_run(),
        plan_turned_to_apply(),
        not_after_has_passed(),
        secret_resets(When::Phase(I1, "InEffect")),
        secret_resets(When::At(10 * 60_000)),
    ]
}

/// Those in which a restore differs from what people asked for.
pub fn restorable() -> Vec<Scenario> {
    vec![
        one_running(),
        one_stopped(),
        three_one_at_a_time(),
        three_two_at_a_time(),
        a_second_run(),
        another_run_in_mid_run(),
        two_owners(),
        a_restart_lost(),
    ]
}

pub fn scenario(name: &'static str, instances: &[Instance], resets: &[Value]) -> Scenario {
    let objects = installed().into_iter().chain(resets.iter().cloned()).collect();
    Scenario {
        name,
        instances: instances.to_vec(),
        objects,
        script: vec![],
        runs: vec![],
        ends: vec![],
        is_learnt: false,
        is_closed: |_| false,
        is_prompt: false,
        last_password: None,
    }
}

pub fn running(id: &str) -> Instance {
    // Away for longer than two readings are apart.
    Instance::running(id, REGION).rebooting(0.5, 25.0)
}

fn one() -> Value {
    reset("web", json!({"instanceIDs": [I1]}))
}

pub fn one_running() -> Scenario {
    Scenario {
        runs: vec![(I1, 1)],
        ends: vec![("InEffect RestartProven", 1)],
        ..scenario("one running", &[running(I1)], &[one()])
    }
}

fn one_stopped() -> Scenario {
    Scenario {
        // Should a person start it first.
        runs: vec![(I1, 1)],
        ends: vec![("EffectiveAtNextStart SetWhileStopped", 1)],
        ..scenario("one stopped", &[Instance::stopped(I1, REGION)], &[one()])
    }
}

fn restart_policy_never() -> Scenario {
    let web = reset("web", json!({"instanceIDs": [I1], "restart": {"policy": "Never"}}));
    Scenario {
        runs: vec![(I1, 0)],
        ends: vec![("EffectiveAtNextStart RestartPolicyNever", 1)],
        ..scenario("restart policy never", &[running(I1)], &[web])
    }
}

fn three(max_unavailable: u32) -> Value {
    let restart = json!({"maxUnavailable": max_unavailable, "minReadySeconds": 5});
    reset("web", json!({"instanceIDs": [I1, I2, I3], "restart": restart}))
}

pub fn three_one_at_a_time() -> Scenario {
    Scenario {
        runs: vec![(I1, 1), (I2, 1), (I3, 1)],
        ends: vec![("InEffect RestartProven", 3)],
        ..scenario("three, one at a time", &[running(I1), running(I2), running(I3)], &[three(1)])
    }
}

pub fn three_two_at_a_time() -> Scenario {
    Scenario {
        runs: vec![(I1, 1), (I2, 1), (I3, 1)],
        ends: vec![("InEffect RestartProven", 3)],
        ..scenario("three, two at a time", &[running(I1), running(I2), running(I3)], &[three(2)])
    }
}

pub fn a_second_run() -> Scenario {
    let again = reset("web", json!({"instanceIDs": [I1], "runID": "2"}));
    Scenario {
        script: vec![
            (When::Phase(I1, "InEffect"), Do::Apply(secret(OTHER_PASSWORD))),
            (When::Phase(I1, "InEffect"), Do::Apply(again)),
        ],
        runs: vec![(I1, 2)],
        ends: vec![("InEffect RestartProven", 2)],
        ..scenario("a second run", &[running(I1)], &[one()])
    }
}

/// The first instance waits for its second claim while the other one has the only slot.
fn another_run_in_mid_run() -> Scenario {
    let ids = json!([I1, I2]);
    let web = reset("web", json!({"instanceIDs": ids}));
    let again = reset("web", json!({"instanceIDs": ids, "runID": "2"}));
    Scenario {
        script: vec![(When::Phase(I1, "Restarting"), Do::Apply(again))],
        runs: vec![(I1, 2), (I2, 2)],
        ..scenario("another run in mid-run", &[running(I1), running(I2)], &[web])
    }
}

fn other() -> Value {
    reset("other", json!({"instanceIDs": [I1], "passwordSecretRef": {"name": "other-password"}}))
}

fn other_secret() -> Value {
    let mut secret = secret(OTHER_PASSWORD);
    secret["metadata"]["name"] = json!("other-password");
    secret
}

fn delete_web() -> Do {
    Do::Delete { plural: "passwordresets", namespace: NAMESPACE, name: "web" }
}

fn two_owners() -> Scenario {
    Scenario {
        script: vec![(When::Phase(I1, "SettingPassword"), Do::Apply(other()))],
        runs: vec![(I1, 2)],
        ends: vec![("InEffect RestartProven", 2)],
        ..scenario("two owners", &[running(I1)], &[one(), other_secret()])
    }
}

/// After both, only the record remembers who was done first: the object that is applied again has an empty status.
fn two_owners_one_applied_again() -> Scenario {
    Scenario {
        script: vec![
            (When::Phase(I1, "InEffect"), Do::Apply(other())),
            (When::At(5 * 60_000), delete_web()),
            (When::At(6 * 60_000), Do::Apply(one())),
        ],
        runs: vec![(I1, 2)],
        ends: vec![("InEffect RestartProven", 2)],
        ..scenario("two owners, one applied again", &[running(I1)], &[one(), other_secret()])
    }
}

fn deleted_and_applied_again() -> Scenario {
    Scenario {
        script: vec![
            (When::Phase(I1, "SettingPassword"), delete_web()),
            (When::Phase(I1, "Restarting"), Do::Apply(one())),
        ],
        runs: vec![(I1, 1)],
        ends: vec![("InEffect RestartProven", 1)],
        ..scenario("deleted and applied again", &[running(I1)], &[one()])
    }
}

fn secret_edited() -> Scenario {
    let web = reset("web", json!({"instanceIDs": [I1, I2]}));
    Scenario {
        script: vec![(When::Phase(I1, "SettingPassword"), Do::Apply(secret(OTHER_PASSWORD)))],
        runs: vec![(I1, 1), (I2, 1)],
        ends: vec![("Idle given back", 1), ("InEffect RestartProven", 2)],
        ..scenario("secret edited", &[running(I1), running(I2)], &[web])
    }
}

/// A run has one password: nothing more begins under it until a person asks for another run.
pub fn secret_edited_in_mid_run() -> Scenario {
    let restart = json!({"maxUnavailable": 1, "minReadySeconds": 5});
    let again = reset("web", json!({"instanceIDs": [I1, I2, I3], "restart": restart, "runID": "2"}));
    Scenario {
        script: vec![
            (When::Phase(I1, "InEffect"), Do::Apply(secret(OTHER_PASSWORD))),
            (When::At(10 * 60_000), Do::Apply(again)),
        ],
        runs: vec![(I1, 2), (I2, 2), (I3, 2)],
        ends: vec![("InEffect RestartProven", 4)],
        ..scenario("secret edited in mid-run", &[running(I1), running(I2), running(I3)], &[three(1)])
    }
}

fn starting_up() -> Scenario {
    let mut slow = Instance::starting(I1, REGION).rebooting(0.5, 25.0);
    slow.start_takes_seconds = 20.0;
    Scenario {
        runs: vec![(I1, 1)],
        ends: vec![("InEffect RestartProven", 1)],
        ..scenario("starting up", &[slow], &[one()])
    }
}

fn restarted_by_somebody_else() -> Scenario {
    let reboot = Do::Power(Power::Reboot, I1.to_owned());
    Scenario {
        script: vec![(When::Phase(I1, "PasswordSet"), reboot)],
        runs: vec![(I1, 1)],
        ends: vec![("InEffect RestartProven", 1)],
        ..scenario("restarted by somebody else", &[running(I1)], &[one()])
    }
}

fn stopped_by_somebody_else() -> Scenario {
    let stop = Do::Power(Power::Stop, I1.to_owned());
    Scenario {
        script: vec![(When::Phase(I1, "SettingPassword"), stop)],
        runs: vec![(I1, 1)],
        ends: vec![("EffectiveAtNextStart StoppedBeforeRestart", 1)],
        ..scenario("stopped by somebody else", &[running(I1)], &[one()])
    }
}

/// The account's owner takes back the consent of a machine while its password is being set.
fn tag_withdrawn() -> Scenario {
    Scenario {
        script: vec![(When::Phase(I1, "SettingPassword"), Do::Tag(I1.to_owned(), false))],
        // A reading may lag, and show the tag once more.
        runs: vec![(I1, 1)],
        ends: vec![("Failed RestartRefused", 1)],
        ..scenario("tag withdrawn", &[running(I1)], &[one()]).guarded()
    }
}

fn does_not_come_back() -> Scenario {
    let power_off = Do::Power(Power::Off, I1.to_owned());
    Scenario {
        script: vec![(When::Phase(I1, "Restarting"), power_off)],
        runs: vec![(I1, 1)],
        ends: vec![("EffectiveAtNextStart StoppedAfterRestart", 1)],
        ..scenario("does not come back", &[running(I1)], &[one()])
    }
}

fn throttled() -> Scenario {
    let quota = Do::Ecs("ECS takes one call a minute", |ecs, _| {
        ecs.set_quota("ModifyInstanceAttribute", Some(1));
        ecs.set_quota("RebootInstance", Some(1));
    });
    Scenario {
        script: vec![(When::At(0), quota)],
        runs: vec![(I1, 1), (I2, 1), (I3, 1)],
        ends: vec![("InEffect RestartProven", 3)],
        ..scenario("throttled", &[running(I1), running(I2), running(I3)], &[three(3)])
    }
}

fn refused_and_tried_again() -> Scenario {
    let refuse = Do::Ecs("ECS will refuse the password once", |ecs, _| {
        let refusal = Fault::Refuse { code: "Forbidden.RAM".to_owned(), http: 403, message: String::new() };
        ecs.inject(Rule::once("ModifyInstanceAttribute", refusal));
    });
    let mut again = one();
    again["metadata"]["annotations"] = json!({"ecs.password-reset.dev/retry-requested-at": "now"});
    Scenario {
        script: vec![(When::At(0), refuse), (When::Phase(I1, "Failed"), Do::Apply(again))],
        runs: vec![(I1, 1)],
        ends: vec![("Failed NotPermitted", 1), ("InEffect RestartProven", 1)],
        ..scenario("refused and tried again", &[running(I1)], &[one()])
    }
}

/// A person's word counts once: the second Unknown is another claim's.
fn unknown_and_restarted_again() -> Scenario {
    let lose = Do::Ecs("ECS will not hear of two restarts", |ecs, _| {
        ecs.inject(Rule::once("RebootInstance", Fault::LoseRequest).times(2));
    });
    let mut decided = one();
    decided["metadata"]["annotations"] = json!({"ecs.password-reset.dev/resolve-unknown": "i-1/1=RestartAgain"});
    Scenario {
        script: vec![(When::At(0), lose), (When::Phase(I1, "Unknown"), Do::Apply(decided))],
        runs: vec![(I1, 2)],
        ends: vec![("Unknown RestartOutcomeUnknown", 2)],
        ..scenario("unknown and restarted again", &[running(I1)], &[one()])
    }
}

/// The first instance is claimed, and holds the only slot, when the object names another one instead. A process that does not
/// see that claim yet makes one more: then each restart has to wait for the other.
fn one_exchanged_for_another() -> Scenario {
    let another = reset("web", json!({"instanceIDs": [I2]}));
    Scenario {
        script: vec![(When::Phase(I1, "SettingPassword"), Do::Apply(another))],
        runs: vec![(I1, 1), (I2, 1)],
        ends: vec![("InEffect RestartProven", 2)],
        ..scenario("one exchanged for another", &[running(I1), running(I2)], &[one()])
    }
}

/// Whoever restarts a machine by stopping and starting it leaves it Stopped for a while: that is not how the claim ends.
fn stopped_and_started_by_somebody_else() -> Scenario {
    let power = |power| Do::Power(power, I1.to_owned());
    Scenario {
        script: vec![(When::Phase(I1, "PasswordSet"), power(Power::Stop)), (When::At(75_000), power(Power::Start))],
        runs: vec![(I1, 1)],
        ends: vec![("InEffect RestartProven", 1)],
        ..scenario("stopped and started by somebody else", &[running(I1)], &[one()])
    }
}

/// What was accepted begins almost as late as it may.
fn begins_late() -> Scenario {
    Scenario {
        runs: vec![(I1, 1)],
        ends: vec![("InEffect RestartProven", 1)],
        ..scenario("begins late", &[running(I1).rebooting(LATEST_BEGIN, 25.0)], &[one()])
    }
}

/// ECS never sees the first request, which is requested again once it is known not to have been carried out.
fn a_restart_lost() -> Scenario {
    let lose = Do::Ecs("ECS will not hear of a restart", |ecs, _| {
        ecs.inject(Rule::once("RebootInstance", Fault::LoseRequest));
    });
    let restart = json!({"maxUnavailable": 1, "minReadySeconds": 5});
    let web = reset("web", json!({"instanceIDs": [I1, I2], "restart": restart}));
    let known = Scenario {
        script: vec![(When::At(0), lose)],
        runs: vec![(I1, 1), (I2, 1)],
        ends: vec![("InEffect RestartProven", 2)],
        ..scenario("a restart lost", &[running(I1), running(I2)], &[web])
    };
    known.learnt()
}

/// First the request is lost, then the answer to the second one.
pub fn a_restart_lost_twice() -> Scenario {
    let lose = Do::Ecs("ECS will not hear of a restart, and not answer the next", |ecs, _| {
        ecs.inject(Rule::once("RebootInstance", Fault::LoseRequest));
        ecs.inject(Rule::once("RebootInstance", Fault::LoseAnswerAfterEffect));
    });
    let known = Scenario {
        script: vec![(When::At(0), lose)],
        runs: vec![(I1, 1)],
        ends: vec![("InEffect RestartProven", 1)],
        ..scenario("a restart lost, and an answer", &[running(I1).rebooting(LATEST_BEGIN, 25.0)], &[one()])
    };
    known.learnt()
}

/// ECS refuses a restart with a code that no document names. That is an answer: nothing is waited for, and nothing is sent again.
fn refused_for_a_reason_of_its_own() -> Scenario {
    let refuse = Do::Ecs("ECS will refuse a restart with a new code", |ecs, _| {
        let refusal = Fault::Refuse { code: "OperationDenied.New".to_owned(), http: 403, message: String::new() };
        ecs.inject(Rule::once("RebootInstance", refusal));
    });
    Scenario {
        script: vec![(When::At(0), refuse)],
        runs: vec![(I1, 1)],
        ends: vec![("Failed RestartRefused", 1)],
        ..scenario("refused for a reason of its own", &[running(I1)], &[one()])
    }
}

/// Both restarts are carried out, and both answers look like refusals for the moment. The one comes with HTTP 500, the other
/// without a RequestId: neither says that nothing ran.
fn answered_with_nothing_to_go_by() -> Scenario {
    let mangle = Do::Ecs("ECS's answers to two restarts will tell nothing", |ecs, _| {
        let answer = |http, body: &str| Fault::RawAnswer { http, body: body.to_owned(), after_effect: true };
        let failed = answer(500, r#"{"Code":"IncorrectInstanceStatus","RequestId":"A-1"}"#);
        let in_front = answer(403, r#"{"Code":"IncorrectInstanceStatus"}"#);
        ecs.inject(Rule::once("RebootInstance", failed).on(I1));
        ecs.inject(Rule::once("RebootInstance", in_front).on(I2));
    });
    let web = reset("web", json!({"instanceIDs": [I1, I2]}));
    let known = Scenario {
        script: vec![(When::At(0), mangle)],
        runs: vec![(I1, 1), (I2, 1)],
        ends: vec![("InEffect RestartProven", 2)],
        ..scenario("answered with nothing to go by", &[running(I1), running(I2)], &[web])
    };
    known.learnt()
}

/// The account's credentials are deleted while the instance restarts, and nobody puts them back. A process that is started after
/// that never hears of ECS's time, and ends the claim all the same.
fn credentials_gone() -> Scenario {
    let gone = Do::Delete { plural: "secrets", namespace: SYSTEM_NAMESPACE, name: "ecs-credentials" };
    Scenario {
        script: vec![(When::Phase(I1, "Restarting"), gone)],
        runs: vec![(I1, 1)],
        ends: vec![("Unknown RestartStuck", 1)],
        ..scenario("credentials gone", &[running(I1).rebooting(0.5, 400.0)], &[one()])
    }
}

/// Its owner releases the first of three while it restarts: the others go on.
fn released_while_it_restarts() -> Scenario {
    released("released while it restarts", "Restarting", release())
}

/// The same before its restart is requested.
fn released_with_its_password_set() -> Scenario {
    released("released with its password set", "PasswordSet", release())
}

fn released(name: &'static str, phase: &'static str, release: Do) -> Scenario {
    let restart = json!({"maxUnavailable": 1, "minReadySeconds": 5, "timeoutSeconds": 300});
    let web = reset("web", json!({"instanceIDs": [I1, I2, I3], "maxFailures": 2, "restart": restart}));
    Scenario {
        script: vec![(When::Phase(I1, phase), release)],
        runs: vec![(I1, 1), (I2, 1), (I3, 1)],
        ends: vec![("Failed InstanceReleased", 1), ("InEffect RestartProven", 2)],
        ..scenario(name, &[running(I1), running(I2), running(I3)], &[web])
    }
}

fn release() -> Do {
    Do::Release(I1.to_owned())
}

/// The account loses the right to describe the first of three while it restarts: it is not taken for released, its slot is not
/// given to the others, and a person is asked.
fn hidden_while_it_restarts() -> Scenario {
    let hide = Do::Ecs("i-1 may not be described", |ecs, _| {
        ecs.put_access_key(AccessKey::testing().deny("DescribeInstances", Some(I1)));
    });
    Scenario { ends: vec![("Unknown RestartStuck", 1)], ..released("hidden while it restarts", "Restarting", hide) }
}

/// The brake: what is set stays set, and is restarted once it is released.
fn suspended_with_its_password_set() -> Scenario {
    suspended("suspended with its password set", When::Phase(I1, "PasswordSet"))
}

pub fn suspended(name: &'static str, when: When) -> Scenario {
    let suspended = |suspend: bool| Do::Apply(reset("web", json!({"instanceIDs": [I1, I2], "suspend": suspend})));
    Scenario {
        script: vec![(when, suspended(true)), (When::At(20 * 60_000), suspended(false))],
        runs: vec![(I1, 1), (I2, 1)],
        ends: vec![("InEffect RestartProven", 2)],
        ..scenario(name, &[running(I1), running(I2)], &[reset("web", json!({"instanceIDs": [I1, I2]}))])
    }
}

fn account_suspended_while_the_password_is_set() -> Scenario {
    let account = |suspend: bool| {
        let mut account = installed().into_iter().find(|object| object["kind"] == "ECSAccount").expect("there is one");
        account["spec"]["suspend"] = json!(suspend);
        Do::Apply(account)
    };
    Scenario {
        script: vec![(When::Phase(I1, "SettingPassword"), account(true)), (When::At(20 * 60_000), account(false))],
        runs: vec![(I1, 1)],
        ends: vec![("InEffect RestartProven", 1)],
        ..scenario("account suspended while the password is set", &[running(I1)], &[one()])
    }
}

/// When the first window of [`window_closes`] does: 35 minutes past the hour.
pub const WINDOW_CLOSES: Ms = 833_000;

/// A window of a quarter of an hour opens every twenty minutes. The object is applied at a moment of the first one.
pub fn window_closes(at: Ms) -> Scenario {
    let windows = json!([{"schedule": "0,20,40 * * * *", "duration": "15m", "timeZone": "Etc/UTC"}]);
    let web = reset("web", json!({"instanceIDs": [I1, I2], "windows": windows}));
    Scenario {
        script: vec![(When::At(at), Do::Apply(web))],
        runs: vec![(I1, 1), (I2, 1)],
        ends: vec![("InEffect RestartProven", 2)],
        is_closed: |at: Timestamp| at.as_second().rem_euclid(1_200) >= 900,
        ..scenario("window closes", &[running(I1), running(I2)], &[])
    }
}

/// A changed Secret asks for a run. The instance that is done by then is restarted once more, and no instance twice for one value.
pub fn secret_resets(when: When) -> Scenario {
    let web = reset("web", json!({"instanceIDs": [I1, I2], "onSecretChange": "Reset"}));
    let (name, ends) = match when {
        When::At(_) => ("secret resets, at rest", 4),
        When::Phase(..) => ("secret resets, in mid-run", 3),
    };
    Scenario {
        script: vec![(when, Do::Apply(secret(OTHER_PASSWORD)))],
        runs: vec![(I1, 2), (I2, 2)],
        ends: vec![("InEffect RestartProven", ends)],
        last_password: Some(OTHER_PASSWORD),
        ..scenario(name, &[running(I1), running(I2)], &[web])
    }
}

/// Two objects, whose account lets one instance be away.
fn account_with_one_slot() -> Scenario {
    let restart = json!({"maxUnavailable": 2, "minReadySeconds": 5});
    let web = reset("web", json!({"instanceIDs": [I1, I2], "restart": restart}));
    let db = reset("db", json!({"instanceIDs": [I3]}));
    let mut scenario = Scenario {
        runs: vec![(I1, 1), (I2, 1), (I3, 1)],
        ends: vec![("InEffect RestartProven", 3)],
        ..scenario("account with one slot", &[running(I1), running(I2), running(I3)], &[web, db])
    };
    for account in scenario.objects.iter_mut().filter(|object| object["kind"] == "ECSAccount") {
        account["spec"]["limits"]["maxUnavailable"] = json!(1);
    }
    scenario
}

/// Each zone of the account has one slot: two instances share one, and the third has its own.
fn account_with_one_slot_per_zone() -> Scenario {
    let restart = json!({"maxUnavailable": 2, "minReadySeconds": 5});
    let web = reset("web", json!({"instanceIDs": [I1, I3], "restart": restart}));
    let db = reset("db", json!({"instanceIDs": [I2]}));
    let instances = [running(I1).in_zone("a"), running(I2).in_zone("a"), running(I3).in_zone("b")];
    let mut scenario = Scenario {
        runs: vec![(I1, 1), (I2, 1), (I3, 1)],
        ends: vec![("InEffect RestartProven", 3)],
        ..scenario("account with one slot per zone", &instances, &[web, db])
    };
    for account in scenario.objects.iter_mut().filter(|object| object["kind"] == "ECSAccount") {
        account["spec"]["limits"]["maxUnavailablePerZone"] = json!(1);
    }
    scenario
}

/// The account's only slot is held by a machine that does not come back, as far as anybody can see: the status of those who wait says so.
fn account_slot_held() -> Scenario {
    let mut scenario = Scenario { name: "account slot held", ..hidden_while_it_restarts() };
    for object in &mut scenario.objects {
        match object["kind"].as_str() {
            Some("ECSAccount") => object["spec"]["limits"]["maxUnavailable"] = json!(1),
            Some("PasswordReset") => object["spec"]["restart"]["maxUnavailable"] = json!(2),
            _ => {}
        }
    }
    scenario
}

/// A run keeps what its selector matched at first: whoever is tagged in mid-run is left alone.
fn retagged_in_mid_run() -> Scenario {
    let (key, value) = CONSENT;
    let web = reset("web", json!({"selector": {"tags": {key: value}, "maxTargets": 3}}));
    Scenario {
        script: vec![(When::Phase(I1, "SettingPassword"), Do::Tag(I3.to_owned(), true))],
        runs: vec![(I1, 1), (I2, 1), (I3, 0)],
        ends: vec![("InEffect RestartProven", 2)],
        ..scenario(
            "retagged in mid-run",
            &[running(I1).tagged(key, value), running(I2).tagged(key, value), running(I3)],
            &[web],
        )
    }
}

fn plan_turned_to_apply() -> Scenario {
    let web = |mode: &str| reset("web", json!({"instanceIDs": [I1], "mode": mode}));
    Scenario {
        script: vec![(When::At(5 * 60_000), Do::Apply(web("Apply")))],
        runs: vec![(I1, 1)],
        ends: vec![("InEffect RestartProven", 1)],
        ..scenario("plan turned to apply", &[running(I1)], &[web("Plan")])
    }
}

/// A cluster that is rebuilt from Git long afterwards resets nothing.
fn not_after_has_passed() -> Scenario {
    let web = reset("web", json!({"instanceIDs": [I1], "notAfter": "2026-11-24T05:21:00Z"}));
    Scenario { runs: vec![(I1, 0)], ..scenario("notAfter has passed", &[running(I1)], &[web]) }
}
