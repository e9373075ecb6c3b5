//! Roles: who gets credentials, what they are good for, and how they end.

use crate::client::{Got, REGION, World, post};
use ecs_simulator::{AccessKey, Config, Instance, Role};

const ROLE: &str = "acs:ram::2222222222222222:role/reset";
const PROVIDER: &str = "acs:ram::2222222222222222:oidc-provider/cluster";
const TOKEN: &str = "eyJhbGciOi.first.token";
const PASSWORD: &str = "Abcdef1!";

/// `i-a` belongs to the account of the key `testid`, `i-b` to that of the role.
fn world_with(role: Role) -> World {
    let theirs = Instance::running("i-b", REGION).of_account("2222222222222222");
    World::new(Config::default().with(Instance::running("i-a", REGION)).with(theirs).with_role(role))
}

fn assume(world: &mut World, own: &[(&str, &str)]) -> Got {
    let all: Vec<_> = [("RoleArn", ROLE), ("RoleSessionName", "cluster@team")].iter().chain(own).copied().collect();
    world.ask("AssumeRole", &all)
}

/// As the official clients send it: common parameters in the query, the rest in the body.
fn with_oidc(world: &mut World, token: &str, own: &[(&str, &str)]) -> Got {
    let timestamp = world.timestamp(0);
    let mut body = vec![
        ("RoleArn", ROLE),
        ("OIDCProviderArn", PROVIDER),
        ("OIDCToken", token),
        ("RoleSessionName", "cluster@team"),
    ];
    for (name, value) in own {
        body.retain(|(known, _)| known != name);
        body.push((name, value));
    }
    let body: Vec<_> = body.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut request = post(&body);
    let target = format!("/?Action=AssumeRoleWithOIDC&Version=2015-04-01&Format=JSON&Timestamp={timestamp}");
    *request.uri_mut() = target.parse().unwrap();
    world.exchange(&request)
}

#[test]
fn session_has_account_and_permissions_of_its_role() {
    let role = Role::new(ROLE).trusting("testid").deny("RebootInstance", None);
    let mut world = world_with(role);
    assert_eq!(world.describe(&[]).len(), 1);
    let got = assume(&mut world, &[]);
    assert_eq!(got.body["Credentials"]["Expiration"], "2026-11-24T06:21:07Z");
    assert!(got.body["Credentials"]["AccessKeyId"].as_str().unwrap().starts_with("STS."), "{}", got.body);
    world.use_credentials(&got);
    let who = world.ask("GetCallerIdentity", &[]).body;
    assert_eq!(who["AccountId"], "2222222222222222");
    assert_eq!(who["IdentityType"], "AssumedRoleUser");
    assert_eq!(who["Arn"], "acs:ram::2222222222222222:assumed-role/reset/cluster@team");
    assert_eq!(world.describe(&[])[0]["InstanceId"], "i-b");
    assert_eq!(world.modify("i-a", PASSWORD).code(), "InvalidInstanceId.NotFound");
    assert_eq!(world.modify("i-b", PASSWORD).status, 200);
    assert_eq!(world.reboot("i-b").code(), "Forbidden.RAM");
    world.core.role_mut(ROLE).unwrap().denied.clear();
    assert_eq!(world.reboot("i-b").status, 200, "a change of the role binds its sessions");
    let last = world.core.journal().requests().last().unwrap();
    assert_eq!(last.principal_arn, "acs:ram::2222222222222222:assumed-role/reset/cluster@team");
}

#[test]
fn a_role_is_assumed_by_those_it_trusts_alone() {
    for (principal, code) in [("testid", ""), ("1234567890123456", ""), ("somebody", "NoPermission")] {
        let mut world = world_with(Role::new(ROLE).trusting(principal));
        assert_eq!(assume(&mut world, &[]).code(), code, "{principal}");
    }
    let mut world = world_with(Role::new(ROLE).trusting("testid"));
    world.core.put_access_key(AccessKey::testing().deny("AssumeRole", None));
    let got = assume(&mut world, &[]);
    assert_eq!((got.status, got.code()), (403, "NoPermission"));
}

#[test]
fn an_external_id_must_be_the_wanted_one() {
    let mut world = world_with(Role::new(ROLE).trusting("testid").wanting_external_id("team-7"));
    assert_eq!(assume(&mut world, &[]).code(), "NoPermission");
    assert_eq!(assume(&mut world, &[("ExternalId", "team-8")]).code(), "NoPermission");
    assert_eq!(assume(&mut world, &[("ExternalId", "team-7")]).code(), "");
}

#[test]
fn an_oidc_token_needs_no_signature_and_must_be_the_present_one() {
    let mut world = world_with(Role::new(ROLE).trusting_oidc(PROVIDER, TOKEN));
    let got = with_oidc(&mut world, TOKEN, &[]);
    assert_eq!(got.status, 200, "{}", got.body);
    assert_eq!(assume(&mut world, &[]).code(), "NoPermission", "who brings a token is not who signs");
    assert!(world.core.rotate_oidc_token(ROLE, "eyJhbGciOi.second.token"));
    let old = with_oidc(&mut world, TOKEN, &[]);
    assert_eq!((old.status, old.code()), (400, "AuthenticationFail.OIDCToken.Expired"));
    assert_eq!(with_oidc(&mut world, "eyJhbGciOi.second.token", &[]).status, 200);
    assert_eq!(with_oidc(&mut world, "eyJhbGciOi.no.token", &[]).code(), "AuthenticationFail.OIDCToken.Invalid");
    let foreign = [("OIDCProviderArn", "acs:ram::2222222222222222:oidc-provider/other")];
    assert_eq!(with_oidc(&mut world, TOKEN, &foreign).code(), "NoPermission");
    let journal = world.core.journal();
    assert_eq!((journal.asked("AssumeRoleWithOIDC"), journal.asked("AssumeRole")), (5, 1));
    let entry = journal.requests().next().unwrap();
    assert!(entry.url.starts_with("/?Action=AssumeRoleWithOIDC&") && entry.access_key_id.is_empty());
    assert!(!serde_json::to_string(journal.entries()).unwrap().contains("token"));
    world.use_credentials(&got);
    assert_eq!(world.ask("GetCallerIdentity", &[]).body["AccountId"], "2222222222222222");
}

#[test]
fn a_session_ends_at_its_expiration() {
    let mut world = world_with(Role::new(ROLE).trusting("testid"));
    let got = assume(&mut world, &[("DurationSeconds", "900")]);
    world.use_credentials(&got);
    world.pass(899.0);
    assert_eq!(world.ask("GetCallerIdentity", &[]).status, 200);
    world.pass(1.0);
    assert_eq!(world.ask("GetCallerIdentity", &[]).code(), "InvalidSecurityToken.Expired");
    let mut world = world_with(Role::new(ROLE).trusting("testid").with_sessions_of(2));
    let got = assume(&mut world, &[("DurationSeconds", "900")]);
    assert_eq!(got.body["Credentials"]["Expiration"], "2026-11-24T05:21:09Z");
}
