//! Every source of credentials on real parts: first use, refresh, rotation, expiry, revocation and the wrong account, against
//! the simulator's STS and metadata service. Whatever happens to credentials in mid-run, an instance is restarted once.

use std::time::Duration;

use crate::common::{
    ACCOUNT, Config, Controller, Fault, Instance, PASSWORD, REGION, Rule, SYSTEM_NAMESPACE, Setup, World, condition,
    eventually, manifests, row,
};
use ecs_simulator::{AccessKey, Revocation, Role};
use serde_json::{Value, json};

const ID: &str = "i-running1";
const OTHER_ACCOUNT: &str = "2222222222222222";
const ROLE: &str = "acs:ram::2222222222222222:role/reset";
const PROVIDER: &str = "acs:ram::2222222222222222:oidc-provider/cluster";

/// An instance that belongs to the account of [`ROLE`].
fn instance() -> Instance {
    Instance::running(ID, REGION).of_account(OTHER_ACCOUNT)
}

/// A world whose account `default` has these credentials instead of its own; the controller does not run.
fn world(ecs: Config, credentials: &Value, more: &Value) -> World {
    let world = World::without_controller(Setup { ecs, ..Setup::default() });
    apply_account(&world, credentials, more);
    world
}

fn apply_account(world: &World, credentials: &Value, more: &Value) {
    let mut account = world.account();
    account["spec"]["credentials"] = credentials.clone();
    for (field, value) in more.as_object().unwrap() {
        account["spec"][field] = value.clone();
    }
    world.apply(&account);
}

fn start(world: &World, environment: &[(&str, &str)]) -> Controller {
    let controller = world.spawn_controller(environment);
    eventually("the controller works", || controller.works().then_some(()));
    controller
}

fn account_status(world: &World) -> Value {
    world.get("ecsaccount", ACCOUNT)["status"].clone()
}

/// Waits until the account's Ready condition gives `reason`; returns its message.
fn wait_for_reason(world: &World, reason: &str) -> String {
    eventually(&format!("the account says {reason}"), || {
        let ready = condition(&account_status(world), "Ready").clone();
        (ready["reason"] == reason).then(|| ready["message"].as_str().unwrap().to_owned())
    })
}

fn asked(world: &World, action: &str) -> usize {
    world.journal(|journal| journal.asked(action))
}

fn reset_once(world: &World) {
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    world.assert_reset_and_restarted_once(&world.wait_for("web", "Ready"), ID, PASSWORD);
}

#[test]
fn service_account_assumes_role_again_with_current_token() {
    let role = Role::new(ROLE).trusting_oidc(PROVIDER, "first-token").with_sessions_of(20);
    let ecs = Config { instances: vec![instance()], ..Config::default() }.with_role(role);
    let rrsa = json!({"rrsa": {"roleARN": ROLE, "oidcProviderARN": PROVIDER}});
    let world = world(ecs, &rrsa, &json!({"expectedAccountID": OTHER_ACCOUNT}));
    let file = world.file("token");
    std::fs::write(&file, "first-token\n").unwrap();
    let file = file.to_str().unwrap().to_owned();
    let names = [("ECS_PASSWORD_RESET_OIDC_TOKEN_FILE", file.as_str()), ("ECS_PASSWORD_RESET_CLUSTER_NAME", "blue")];
    let _controller = start(&world, &names);

    world.wait_for_account("Ready");
    let status = account_status(&world);
    assert_eq!(status["identityARN"], format!("acs:ram::{OTHER_ACCOUNT}:assumed-role/reset/blue.{ACCOUNT}"));
    assert_eq!(status["accountID"], OTHER_ACCOUNT);
    let expires = status["credentialsExpireTime"].as_str().unwrap().to_owned();
    reset_once(&world);

    // The kubelet has replaced the token: the next session is had with the new one, before the old session ends.
    world.ecs().core().rotate_oidc_token(ROLE, "second-token");
    std::fs::write(&file, "second-token").unwrap();
    let before = asked(&world, "AssumeRoleWithOIDC");
    eventually("the role is taken again, twice", || (asked(&world, "AssumeRoleWithOIDC") >= before + 2).then_some(()));
    eventually("the new end is shown", || {
        let status = account_status(&world);
        (status["credentialsExpireTime"].as_str()? > expires.as_str()).then_some(())
    });
    assert_eq!(condition(&account_status(&world), "Ready")["status"], "True");

    // A token that STS will not have ends the account's credentials, but not before their time.
    std::fs::write(&file, "somebody's").unwrap();
    let message = wait_for_reason(&world, "CredentialsRefused");
    assert!(message.contains("AuthenticationFail.OIDCToken.Invalid") && !message.contains("somebody"), "{message}");
}

#[test]
fn instance_role_needs_hardened_mode_and_is_opt_in() {
    let ecs = Config { instances: vec![instance()], ..Config::default() }.with_instance_role(Role::new(ROLE));
    let world = world(ecs, &json!({"ecsRAMRole": {"name": "reset"}}), &json!({}));
    let address = world.ecs().url();
    let controller = start(&world, &[("ECS_PASSWORD_RESET_ECS_METADATA_ADDRESS", &address)]);
    world.wait_for_account("Ready");
    assert!(account_status(&world)["credentialsExpireTime"].is_string());
    assert!(asked(&world, "MetadataToken") > 0);
    reset_once(&world);

    // Without a token the official clients ask all the same.
    world.ecs().core().metadata_mut().imdsv1_allowed = true;
    world.ecs().core().inject(Rule::once("MetadataToken", Fault::LoseRequest).times(1_000));
    world.ecs().core().expire_temporary_credentials();
    drop(controller);
    let before = asked(&world, "MetadataCredentials");
    let _controller = start(&world, &[("ECS_PASSWORD_RESET_ECS_METADATA_ADDRESS", &address)]);
    let message = wait_for_reason(&world, "CredentialsNotFound");
    assert!(message.contains("asking for a token"), "{message}");
    assert_eq!(asked(&world, "MetadataCredentials"), before);
}

#[test]
fn role_of_another_account_must_be_the_expected_one() {
    let role = Role::new(ROLE).trusting("testid").wanting_external_id("shared-word").deny("RebootInstance", None);
    let ecs = Config { instances: vec![instance()], ..Config::default() }.with_role(role);
    let secret = json!({"secretRef": {"name": "ecs-credentials"}});
    let assume = |external_id: &str, expected: &str| json!({"assumeRole": {"roleARN": ROLE, "externalID": external_id}, "expectedAccountID": expected});
    let mut world = world(ecs, &secret, &assume("another-word", OTHER_ACCOUNT));
    world.start_controller();
    let message = wait_for_reason(&world, "CredentialsRefused");
    assert!(message.contains("AssumeRole"), "{message}");

    // The role is had, but its account is not the one that was meant.
    apply_account(&world, &secret, &assume("shared-word", "1111111111111111"));
    let message = wait_for_reason(&world, "WrongAccount");
    assert!(message.contains(OTHER_ACCOUNT) && message.contains("1111111111111111"), "{message}");
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    world.wait_for_reason("web", "AccountNotReady");
    assert_eq!(asked(&world, "ModifyInstanceAttribute"), 0);

    apply_account(&world, &secret, &assume("shared-word", OTHER_ACCOUNT));
    // What the role lacks is learnt from ECS's answer.
    world.wait_for("web", "Stalled");
    eventually("the lack is shown", || {
        (account_status(&world)["missingPermissions"] == json!([format!("ecs:RebootInstance in {REGION}")]))
            .then_some(())
    });
}

#[test]
fn replaced_credentials_in_mid_run_restart_nothing_twice() {
    let ecs = Config {
        access_keys: vec![
            AccessKey::new("testid", "testsecret"),
            AccessKey::new("newid", "newsecret"),
            AccessKey::new("otherid", "othersecret").of_account(OTHER_ACCOUNT),
        ],
        instances: vec![Instance::running(ID, REGION)],
        ..Config::default()
    };
    let mut world = world(ecs, &json!({"secretRef": {"name": "ecs-credentials"}}), &json!({}));
    world.start_controller();
    world.wait_for_account("Ready");
    // ECS takes the password and nothing afterwards: the key is gone when the restart is due.
    world.ecs().core().inject(Rule::once("RebootInstance", refusal("InvalidAccessKeyId.Inactive")).times(1_000));
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    eventually("the restart was refused", || (asked(&world, "RebootInstance") > 0).then_some(()));
    world.ecs().core().revoke("testid", Revocation::Inactive);
    wait_for_reason(&world, "CredentialsRefused");
    world.wait_for_reset("web", "the row says what holds it up", |object| {
        let row = row(&object["status"], ID);
        let says = row["message"].as_str().is_some_and(|message| message.contains("(CredentialsRefused)"));
        (row["state"] == "PasswordSet" && row["reason"] == "AccountNotReady" && says).then_some(())
    });

    world.ecs().core().clear_faults();
    let edit = |id: &str, secret: &str| {
        let credentials = json!({"accessKeyID": id, "accessKeySecret": secret});
        world.apply(&manifests::secret(SYSTEM_NAMESPACE, "ecs-credentials", &credentials));
    };
    edit("newid", "newsecret");
    let status = world.wait_for("web", "Ready");
    world.assert_reset_and_restarted_once(&status, ID, PASSWORD);
    world.journal(|journal| assert_eq!(journal.modifies(ID), 1, "the password was not sent again"));

    // An edited Secret takes effect by itself, while ECS still takes what was in it before.
    assert_ne!(account_status(&world)["accountID"], OTHER_ACCOUNT);
    edit("otherid", "othersecret");
    eventually("the account speaks for whom the Secret names", || {
        (account_status(&world)["accountID"] == OTHER_ACCOUNT).then_some(())
    });
}

#[test]
fn credentials_are_used_to_their_end_while_sts_is_away() {
    let role = Role::new(ROLE).trusting("testid").with_sessions_of(20);
    let ecs = Config { instances: vec![instance()], ..Config::default() }.with_role(role);
    let assume = json!({"assumeRole": {"roleARN": ROLE}});
    let mut world = world(ecs, &json!({"secretRef": {"name": "ecs-credentials"}}), &assume);
    world.start_controller();
    world.wait_for_account("Ready");
    for action in ["AssumeRole", "GetCallerIdentity"] {
        world.ecs().core().inject(Rule::once(action, unavailable()).times(10_000));
    }
    let before = asked(&world, "AssumeRole");
    eventually("a new session was asked for, twice", || (asked(&world, "AssumeRole") >= before + 2).then_some(()));
    assert_eq!(condition(&account_status(&world), "Ready")["status"], "True");
    wait_for_reason(&world, "ECSUnavailable");
    world.ecs().core().clear_faults();
    world.wait_for_account("Ready");
    reset_once(&world);
}

#[test]
fn access_key_in_the_environment_wins_over_token() {
    let ecs = Config { instances: vec![Instance::running(ID, REGION)], ..Config::default() };
    let world = world(ecs, &json!({"environment": {}}), &json!({}));
    let _controller = start(
        &world,
        &[
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", "testid"),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "testsecret"),
            ("ALIBABA_CLOUD_ROLE_ARN", ROLE),
            ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", PROVIDER),
            ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/nowhere"),
        ],
    );
    world.wait_for_account("Ready");
    assert_eq!(asked(&world, "AssumeRoleWithOIDC"), 0);
    reset_once(&world);
}

/// One account for each source, and what all of them have in common: sessions that end in mid-run, another owner's account, a
/// clock that is off.
#[test]
fn every_source_renews_in_mid_run_and_is_checked() {
    let sources = [
        ("by-secret", json!({"secretRef": {"name": "ecs-credentials"}}), json!({})),
        ("by-environment", json!({"environment": {}}), json!({})),
        ("by-token", json!({"rrsa": {"roleARN": ROLE, "oidcProviderARN": PROVIDER}}), json!({})),
        ("by-machine", json!({"ecsRAMRole": {"name": "reset"}}), json!({})),
        ("by-role", json!({"secretRef": {"name": "ecs-credentials"}}), json!({"roleARN": ROLE})),
        ("by-environment-role", json!({"environment": {}}), json!({"roleARN": ROLE, "durationSeconds": 1800})),
        ("by-token-role", json!({"rrsa": {"roleARN": ROLE, "oidcProviderARN": PROVIDER}}), json!({"roleARN": ROLE})),
        ("by-machine-role", json!({"ecsRAMRole": {}}), json!({"roleARN": ROLE})),
    ];
    let id = |account: &str| format!("i-from{}", account.replace('-', ""));
    // It trusts itself, for the sources that have it before it is assumed.
    let role = Role::new(ROLE).trusting("testid").trusting(ROLE).trusting_oidc(PROVIDER, "good-token");
    let key = AccessKey::new("testid", "testsecret").of_account(OTHER_ACCOUNT);
    let instances = sources.each_ref().map(|(name, ..)| Instance::running(&id(name), REGION).of_account(OTHER_ACCOUNT));
    let ecs = Config { access_keys: vec![key], instances: instances.into(), ..Config::default() };
    let world = World::without_controller(Setup { ecs: ecs.with_instance_role(role), ..Setup::default() });
    let expect = |account_id: &str| {
        for (name, credentials, assume_role) in &sources {
            let mut account = manifests::account(name, &world.ecs().url());
            account["spec"]["credentials"] = credentials.clone();
            account["spec"]["expectedAccountID"] = json!(account_id);
            if assume_role["roleARN"].is_string() {
                account["spec"]["assumeRole"] = assume_role.clone();
            }
            world.apply(&account);
        }
    };
    let say = |reason: &str| {
        for (name, ..) in &sources {
            eventually(&format!("{name} says {reason}"), || {
                let account = world.get("ecsaccount", name);
                let ready = condition(&account["status"], "Ready");
                let current = ready["observedGeneration"] == account["metadata"]["generation"];
                (current && ready["reason"] == reason).then_some(())
            });
        }
    };
    expect(OTHER_ACCOUNT);
    let file = world.file("token");
    std::fs::write(&file, "good-token").unwrap();
    let _controller = start(
        &world,
        &[
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", "testid"),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "testsecret"),
            ("ECS_PASSWORD_RESET_OIDC_TOKEN_FILE", file.to_str().unwrap()),
            ("ECS_PASSWORD_RESET_ECS_METADATA_ADDRESS", &world.ecs().url()),
        ],
    );
    say("AccountReady");

    // Sessions end between password and restart.
    world.ecs().core().inject(Rule::once("RebootInstance", refusal("IncorrectInstanceStatus")).times(100_000));
    for (name, ..) in &sources {
        world.apply_reset(name, json!({"instanceIDs": [id(name)], "accountRef": {"name": name}}));
    }
    for (name, ..) in &sources {
        let id = id(name);
        eventually(&format!("{name}: the restart is refused"), || {
            (world.calls("RebootInstance", &id) > 0).then_some(())
        });
    }
    let sessions = || ["AssumeRole", "AssumeRoleWithOIDC", "MetadataCredentials"].map(|action| asked(&world, action));
    assert_eq!(sessions(), [4, 2, 2], "a session was asked for that was not needed");
    let remaining = account_expiry(&world, "by-environment-role").duration_since(world.ecs().now());
    assert!((1_200..1_800).contains(&remaining.as_secs()), "half an hour was asked for: {remaining}");
    world.ecs().core().expire_temporary_credentials();
    eventually("all sessions were had anew", || (sessions() >= [8, 4, 4]).then_some(()));
    world.ecs().core().clear_faults();
    for (name, ..) in &sources {
        world.assert_reset_and_restarted_once(&world.wait_for(name, "Ready"), &id(name), PASSWORD);
        assert_eq!(world.modifies(&id(name)), 1, "{name}: the password was sent again");
    }
    assert_eq!(sessions(), [8, 4, 4], "sessions were asked for without need");

    let asked_for = |action: &str| sources.each_ref().map(|(name, ..)| world.calls(action, &id(name)));
    let changes = || ["ModifyInstanceAttribute", "RebootInstance"].map(asked_for);
    let before = changes();
    let run_again = || {
        for (name, ..) in &sources {
            world.annotate(name, "rerun-requested-at", Some(&world.ecs().now().to_string()));
        }
    };
    expect("1111111111111111");
    say("WrongAccount");
    run_again();
    world.ecs().advance(Duration::from_mins(20));
    expect(OTHER_ACCOUNT);
    say("ClockSkew");
    run_again();
    for (name, ..) in &sources {
        world.wait_for_reason(name, "AccountNotReady");
    }
    assert_eq!(changes(), before, "something was asked for by an account that is not Ready");
}

#[test]
fn credentials_outlive_a_partly_failed_refresh_and_say_so() {
    let role = Role::new(ROLE).trusting("testid").with_sessions_of(160);
    let ecs = Config { instances: vec![instance()], ..Config::default() }.with_role(role);
    let assume = json!({"assumeRole": {"roleARN": ROLE}});
    let mut world = world(ecs, &json!({"secretRef": {"name": "ecs-credentials"}}), &assume);
    world.start_controller();
    world.wait_for_account("Ready");
    let says = |what: &str, is_said: &dyn Fn(&str) -> bool| {
        eventually(&format!("the account is ready and says {what}"), || {
            let status = account_status(&world);
            let ready = condition(&status, "Ready");
            assert_eq!(ready["status"], "True", "{ready}");
            is_said(ready["message"].as_str().unwrap()).then_some(())
        });
    };
    for failing in ["AssumeRole", "GetCallerIdentity"] {
        let expires = account_expiry(&world, ACCOUNT);
        world.ecs().core().inject(Rule::once(failing, unavailable()).times(10_000));
        // To where a refresh is due while the session is good for another half minute.
        let until = expires.duration_since(world.ecs().now()) - jiff::SignedDuration::from_secs(35);
        world.ecs().advance(until.unsigned_abs());
        says(failing, &|message| message.contains(failing));
        world.ecs().core().clear_faults();
        says("nothing more", &|message| message == "the credentials are accepted");
        eventually("a new session is had", || (account_expiry(&world, ACCOUNT) > expires).then_some(()));
    }
    reset_once(&world);
}

#[test]
fn a_session_does_not_outlive_the_access_key_that_it_was_had_by() {
    let role = Role::new(ROLE).trusting("testid").trusting("newid");
    let ecs = Config {
        access_keys: ["testid", "newid", "otherid"].map(|id| AccessKey::new(id, &id.replace("id", "secret"))).into(),
        instances: vec![instance()],
        ..Config::default()
    };
    let assume = json!({"assumeRole": {"roleARN": ROLE}});
    let mut world = world(ecs.with_role(role), &json!({"secretRef": {"name": "ecs-credentials"}}), &assume);
    world.start_controller();
    world.wait_for_account("Ready");
    let edit = |id: &str| {
        let credentials = json!({"accessKeyID": id, "accessKeySecret": id.replace("id", "secret")});
        world.apply(&manifests::secret(SYSTEM_NAMESPACE, "ecs-credentials", &credentials));
    };
    let before = asked(&world, "AssumeRole");
    edit("newid");
    eventually("the role is taken with the new key", || (asked(&world, "AssumeRole") == before + 1).then_some(()));
    assert_eq!(condition(&account_status(&world), "Ready")["status"], "True");
    // The session has most of an hour left, but the account's owner has named a role that may not have it.
    edit("otherid");
    let message = wait_for_reason(&world, "CredentialsRefused");
    assert!(message.contains("AssumeRole"), "{message}");
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    world.wait_for_reason("web", "AccountNotReady");
    assert_eq!(asked(&world, "ModifyInstanceAttribute"), 0);
}

#[test]
fn empty_answer_does_not_prove_describe_permission() {
    let key = AccessKey::new("testid", "testsecret").deny("DescribeInstances", None);
    let instances = vec![Instance::running(ID, REGION)];
    let ecs = Config { access_keys: vec![key], instances, ..Config::default() };
    let mut world = world(ecs, &json!({"secretRef": {"name": "ecs-credentials"}}), &json!({}));
    world.start_controller();
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    let lacks = || account_status(&world)["missingPermissions"].clone();
    let lack = json!([format!("ecs:DescribeInstances in {REGION}")]);
    eventually("the lack is shown", || (lacks() == lack).then_some(()));
    // While the instance is looked for, ECS goes on answering with a success that holds none.
    let looks = asked(&world, "GetCallerIdentity");
    eventually("the account was looked at some more", || {
        assert_eq!(lacks(), lack);
        (asked(&world, "GetCallerIdentity") > looks + 4).then_some(())
    });
}

#[test]
fn credentials_ecs_rejects_stop_the_account() {
    let ecs = Config { instances: vec![Instance::running(ID, REGION)], ..Config::default() };
    let mut world = world(ecs, &json!({"secretRef": {"name": "ecs-credentials"}}), &json!({}));
    world.start_controller();
    world.wait_for_account("Ready");
    world.ecs().core().inject(Rule::once("DescribeInstances", refusal("InvalidAccessKeyId.Inactive")).times(100_000));
    world.apply_reset("web", json!({"instanceIDs": [ID]}));
    let message = wait_for_reason(&world, "CredentialsRefused");
    assert!(message.contains("InvalidAccessKeyId.Inactive"), "{message}");
    let (looks, refused) = (asked(&world, "GetCallerIdentity"), asked(&world, "DescribeInstances"));
    eventually("the account was looked at some more", || {
        (asked(&world, "GetCallerIdentity") > looks + 3).then_some(())
    });
    assert_eq!(asked(&world, "DescribeInstances"), refused, "ECS was asked again with what it refuses");
    world.ecs().core().clear_faults();
    world.ecs().advance(Duration::from_secs(61));
    reset_once(&world);
}

fn account_expiry(world: &World, name: &str) -> jiff::Timestamp {
    world.get("ecsaccount", name)["status"]["credentialsExpireTime"].as_str().unwrap().parse().unwrap()
}

fn unavailable() -> Fault {
    Fault::Refuse { code: "ServiceUnavailable".to_owned(), http: 503, message: String::new() }
}

fn refusal(code: &str) -> Fault {
    Fault::Refuse { code: code.to_owned(), http: 400, message: String::new() }
}
