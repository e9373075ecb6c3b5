//! The metadata service: whom it answers, and with what.

use crate::client::{Got, World};
use bytes::Bytes;
use ecs_simulator::{Config, Fault, Revocation, Role, Rule};

const ROLE: &str = "acs:ram::2222222222222222:role/node";
const CREDENTIALS: &str = "/latest/meta-data/ram/security-credentials/";

fn world() -> World {
    World::new(Config::default().with_instance_role(Role::new(ROLE)))
}

fn request(world: &mut World, method: &str, path: &str, header: Option<(&str, &str)>) -> Got {
    let mut request = http::Request::builder().method(method).uri(path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    world.exchange(&request.body(Bytes::new()).unwrap())
}

fn token(world: &mut World, seconds: &str) -> String {
    let header = ("X-aliyun-ecs-metadata-token-ttl-seconds", seconds);
    request(world, "PUT", "/latest/api/token", Some(header)).text
}

fn get(world: &mut World, path: &str, token: &str) -> Got {
    request(world, "GET", path, Some(("X-aliyun-ecs-metadata-token", token)))
}

#[test]
fn the_credentials_of_the_instance_s_role_are_given_for_a_token() {
    let mut world = world();
    let token = token(&mut world, "21600");
    assert_eq!(get(&mut world, CREDENTIALS, &token).text, "node");
    let got = get(&mut world, &format!("{CREDENTIALS}node"), &token);
    assert_eq!(got.body["Code"], "Success");
    assert_eq!(got.body["Expiration"], "2026-11-24T11:21:07Z");
    world.use_credentials(&got);
    let who = world.ask("GetCallerIdentity", &[]).body;
    assert_eq!(who["Arn"], "acs:ram::2222222222222222:assumed-role/node/vm-ram-simulator");
    assert_eq!(get(&mut world, &format!("{CREDENTIALS}other"), &token).status, 404);
    let journal = world.core.journal();
    assert_eq!((journal.asked("MetadataToken"), journal.asked("MetadataRole")), (1, 1));
    assert_eq!(journal.asked("MetadataCredentials"), 2);
    assert_eq!(journal.requests().next().unwrap().url, "/latest/api/token");
    assert!(!serde_json::to_string(journal.entries()).unwrap().contains(&token));
}

#[test]
fn request_without_a_good_token_gets_nothing() {
    let mut world = world();
    let token = token(&mut world, "60");
    assert_eq!(request(&mut world, "GET", CREDENTIALS, None).status, 403);
    assert_eq!(get(&mut world, CREDENTIALS, "wrong").status, 403);
    world.pass(59.0);
    assert_eq!(get(&mut world, CREDENTIALS, &token).status, 200);
    world.pass(1.0);
    assert_eq!(get(&mut world, CREDENTIALS, &token).status, 403);
    world.core.metadata_mut().imdsv1_allowed = true;
    assert_eq!(request(&mut world, "GET", CREDENTIALS, None).status, 200);
    assert_eq!(get(&mut world, CREDENTIALS, "wrong").status, 403);
}

#[test]
fn a_token_lives_from_a_second_to_six_hours() {
    let mut world = world();
    for (seconds, status) in [("0", 400), ("1", 200), ("21600", 200), ("21601", 400), ("long", 400)] {
        let header = ("X-aliyun-ecs-metadata-token-ttl-seconds", seconds);
        assert_eq!(request(&mut world, "PUT", "/latest/api/token", Some(header)).status, status, "{seconds}");
    }
    assert_eq!(request(&mut world, "PUT", "/latest/api/token", None).status, 400);
}

#[test]
fn an_instance_without_a_role_has_no_credentials() {
    let mut world = World::new(Config::default());
    let token = token(&mut world, "60");
    assert_eq!(get(&mut world, CREDENTIALS, &token).status, 404);
    assert_eq!(get(&mut world, &format!("{CREDENTIALS}node"), &token).status, 404);
}

#[test]
fn another_code_than_success_comes_without_credentials() {
    let mut world = world();
    let token = token(&mut world, "60");
    world.core.metadata_mut().code = "Failed".to_owned();
    let got = get(&mut world, &format!("{CREDENTIALS}node"), &token);
    assert_eq!((got.status, &got.body["Code"]), (200, &"Failed".into()));
    assert!(got.body["AccessKeyId"].is_null());
}

#[test]
fn same_credentials_are_given_until_their_last_quarter() {
    let mut world = world();
    let token = token(&mut world, "21600");
    let key = |world: &mut World| {
        get(world, &format!("{CREDENTIALS}node"), &token).body["AccessKeyId"].as_str().unwrap().to_owned()
    };
    let first = key(&mut world);
    world.pass(16_000.0);
    assert_eq!(key(&mut world), first);
    world.pass(500.0);
    let second = key(&mut world);
    assert_ne!(second, first);
    world.core.revoke(&second, Revocation::Disabled);
    assert_ne!(key(&mut world), second);
}

#[test]
fn faults_meet_it_too() {
    let mut world = world();
    world.core.inject(Rule::once(
        "MetadataToken",
        Fault::Refuse { code: "Busy".to_owned(), http: 503, message: String::new() },
    ));
    let header = ("X-aliyun-ecs-metadata-token-ttl-seconds", "60");
    assert_eq!(request(&mut world, "PUT", "/latest/api/token", Some(header)).status, 503);
    assert_eq!(request(&mut world, "PUT", "/latest/api/token", Some(header)).status, 200);
}
