//! The metadata service: whom it answers, and with what.

use crate::client::{Got, World};
use bytes::Bytes;
use ecs_simulator::{Config, Role};

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
