//! `DescribeInstances`: filters, pages, and what a key may not see.

use crate::client::{REGION, World};
use ecs_simulator::{AccessKey, Config, Instance, Status};
use serde_json::Value;

fn ids(found: &[Value]) -> Vec<&str> {
    found.iter().map(|each| each["InstanceId"].as_str().unwrap()).collect()
}

fn fleet(count: usize) -> Config {
    (0..count).fold(Config::default(), |config, n| config.with(Instance::running(&format!("i-{n:04}"), REGION)))
}

#[test]
fn at_most_100_ids_are_taken_and_an_empty_list_finds_nothing() {
    let mut world = World::new(fleet(3));
    let many = |count: usize| serde_json::to_string(&vec!["i-0001"; count]).unwrap();
    assert_eq!(ids(&world.describe(&[("InstanceIds", &many(100))])), ["i-0001"]);
    for bad in [many(101), "i-0001".to_owned()] {
        let got = world.ask("DescribeInstances", &[("RegionId", REGION), ("InstanceIds", &bad)]);
        assert_eq!((got.status, got.code()), (400, "InvalidParameter"));
    }
    assert!(world.describe(&[("InstanceIds", "[]")]).is_empty());
}

#[test]
fn pages_may_be_shorter_than_asked_for_and_go_on_all_the_same() {
    let mut world = World::new(fleet(5));
    world.core.set_page_max(2);
    let mut page = |token: &str| {
        let asked = [("RegionId", REGION), ("MaxResults", "100"), ("NextToken", token)];
        let got = world.ask("DescribeInstances", if token.is_empty() { &asked[..2] } else { &asked });
        let found = got.body["Instances"]["Instance"].as_array().unwrap().len();
        (found, got.body["NextToken"].as_str().unwrap().to_owned())
    };
    let (first, token) = page("");
    let (second, token) = page(&token);
    let (third, token) = page(&token);
    assert_eq!(([first, second, third], token.as_str()), ([2, 2, 1], ""));
}

#[test]
fn unreadable_instance_looks_missing_without_a_dry_run() {
    let key = AccessKey::testing().deny("DescribeInstances", Some("i-0001"));
    let mut world = World::new(Config { access_keys: vec![key], ..fleet(3) });
    assert_eq!(ids(&world.describe(&[])), ["i-0000", "i-0002"]);
    let mut dry = |ids: &str| {
        let got = world.ask("DescribeInstances", &[("RegionId", REGION), ("DryRun", "true"), ("InstanceIds", ids)]);
        (got.status, got.code().to_owned())
    };
    assert_eq!(dry(r#"["i-0001"]"#), (403, "Forbidden.RAM".to_owned()));
    assert_eq!(dry(r#"["i-none"]"#), (400, "DryRunOperation".to_owned()));
}

#[test]
fn reads_of_what_a_key_may_not_see_can_be_refused_instead() {
    let key = AccessKey::testing().deny("DescribeInstances", Some("i-0001"));
    let mut world = World::new(Config { access_keys: vec![key], ..fleet(3) }.refusing_unpermitted_reads());
    let mut read = |ids: &str| {
        let got = world.ask("DescribeInstances", &[("RegionId", REGION), ("InstanceIds", ids)]);
        (got.status, got.code().to_owned())
    };
    assert_eq!(read(r#"["i-0000","i-0001"]"#), (403, "Forbidden.RAM".to_owned()));
    assert_eq!(read(r#"["i-0000","i-0002"]"#).0, 200);
}

#[test]
fn the_answer_has_the_shape_of_the_real_one() {
    let mut instance = Instance::new("i-a", REGION, Status::Stopped).windows().with_key_pair("kp").tagged("k", "v");
    instance.login_as_non_root = true;
    let mut world = World::new(Config::default().with(instance));
    let found = &world.describe(&[])[0];
    assert_eq!(found["OSType"], "windows");
    assert_eq!(found["KeyPairName"], "kp");
    assert_eq!(found["Tags"]["Tag"][0], serde_json::json!({"TagKey": "k", "TagValue": "v"}));
    assert_eq!(found["ImageOptions"]["LoginAsNonRoot"], true);
    assert_eq!(found["StoppedMode"], "KeepCharging");
    assert_eq!(found["ExpiredTime"], "2099-12-31T15:59Z");
    assert_eq!(found["OperationLocks"]["LockReason"], serde_json::json!([]));
}
