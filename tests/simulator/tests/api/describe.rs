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
fn pages_hold_every_instance_once_and_end_with_an_empty_token() {
    let mut world = World::new(fleet(205));
    let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let got = world.ask("DescribeInstances", &[("RegionId", REGION), ("MaxResults", "100"), ("NextToken", &token)]);
        seen.extend(ids(got.body["Instances"]["Instance"].as_array().unwrap()).into_iter().map(str::to_owned));
        got.body["NextToken"].as_str().unwrap().clone_into(&mut token);
        pages += 1;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((pages, seen.len()), (3, 205));
    seen.dedup();
    assert_eq!(seen.len(), 205);
}

#[test]
fn page_sizes_are_lifted_to_10_and_cut_at_100() {
    let mut world = World::new(fleet(120));
    assert_eq!(world.describe(&[]).len(), 10);
    assert_eq!(world.describe(&[("MaxResults", "1")]).len(), 10);
    assert_eq!(world.describe(&[("MaxResults", "1000")]).len(), 100);
    assert_eq!(world.describe(&[("PageSize", "50"), ("PageNumber", "3")]).len(), 20);
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

/// A filter and what it finds.
type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);

#[test]
fn filters_must_all_hold() {
    let mut other = Instance::running("i-c", REGION).named("db-1").tagged("team", "b");
    other.resource_group_id = "rg-1".to_owned();
    let config = Config::default()
        .with(Instance::running("i-a", REGION).named("web-1").tagged("team", "a").tagged("env", "prod"))
        .with(Instance::stopped("i-b", REGION).named("web-2").tagged("team", "a"))
        .with(other)
        .with(Instance::running("i-d", "cn-beijing").named("web-3").tagged("team", "a"));
    let mut world = World::new(config);
    let cases: [Case; 7] = [
        (&[], &["i-a", "i-b", "i-c"]),
        (&[("InstanceName", "web-*")], &["i-a", "i-b"]),
        (&[("Tag.1.Key", "team"), ("Tag.1.Value", "a")], &["i-a", "i-b"]),
        (&[("Tag.1.Key", "team"), ("Tag.1.Value", "a"), ("Tag.2.Key", "env")], &["i-a"]),
        (&[("Status", "Stopped")], &["i-b"]),
        (&[("ResourceGroupId", "rg-1")], &["i-c"]),
        (&[("InstanceName", "web-*"), ("Status", "Running")], &["i-a"]),
    ];
    for (filter, expected) in cases {
        assert_eq!(ids(&world.describe(filter)), expected, "{filter:?}");
    }
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
fn a_region_or_status_that_does_not_exist_is_named() {
    let mut world = World::new(fleet(1));
    for (parameters, code) in [
        ([("RegionId", "mars-1"), ("Status", "")], "InvalidRegionId.NotFound"),
        ([("RegionId", ""), ("Status", "")], "MissingParameter"),
        ([("RegionId", REGION), ("Status", "Asleep")], "InvalidStatus.NotFound"),
    ] {
        assert_eq!(world.ask("DescribeInstances", &parameters).code(), code);
    }
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
