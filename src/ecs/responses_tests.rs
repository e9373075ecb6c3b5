//! How answers of ECS are read.

use super::*;

#[test]
fn a_page_without_instances_shows_no_permission() {
    let page =
        |instances: &str| InstancePage::read(format!(r#"{{"Instances":{{"Instance":[{instances}]}}}}"#).as_bytes());
    assert!(!page("").unwrap().shows_permission());
    assert!(page(r#"{"InstanceId":"i-1"}"#).unwrap().shows_permission());
}

fn instances(items: &str) -> Vec<Instance> {
    InstancePage::read(format!(r#"{{"Instances":{{"Instance":[{items}]}}}}"#).as_bytes()).unwrap().instances
}

#[test]
fn a_whole_instance_is_read() {
    let read = instances(
        r#"{"InstanceId":"i-1","InstanceName":"web","Status":"Running","ZoneId":"cn-hangzhou-h","OSType":"linux","KeyPairName":"ops",
        "StartTime":"2020-07-31T17:26Z","ExpiredTime":"2099-12-31T15:59:00Z","Cpu":2,"Memory":4096,
        "OperationLocks":{"LockReason":[{"LockReason":"financial","LockMsg":""}]},
        "Tags":{"Tag":[{"TagKey":"password-reset","TagValue":"enabled"}]}}"#,
    );
    let expected = Instance {
        instance_id: "i-1".into(),
        name: "web".into(),
        status: InstanceStatus::Running,
        zone_id: "cn-hangzhou-h".into(),
        os_type: OsType::Linux,
        key_pair_name: Some("ops".into()),
        start_time: Some("2020-07-31T17:26:00Z".parse().unwrap()),
        expired_time: Some("2099-12-31T15:59:00Z".parse().unwrap()),
        locks: vec!["financial".into()],
        tags: [("password-reset".into(), "enabled".into())].into(),
    };
    assert_eq!(read, [expected]);
}

#[test]
fn odd_fields_cost_only_themselves() {
    let read = instances(
        r#"{"InstanceId":"i-1","Status":7,"OSType":null,"KeyPairName":"","StartTime":"soon","Tags":[],
        "OperationLocks":{"LockReason":[{"LockReason":3}]},"ImageOptions":""}, 5, {"InstanceId":null},
        {"Status":"Running"}, {"InstanceId":"i-2","Status":"Hibernating"}"#,
    );
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].status, InstanceStatus::Other(String::new()));
    assert_eq!((read[0].os_type, &read[0].key_pair_name, read[0].start_time), (OsType::Other, &None, None));
    assert_eq!(read[0].locks, ["unknown"], "a lock that cannot be read still locks");
    assert_eq!(read[1].status, InstanceStatus::Other("Hibernating".into()));
}

#[test]
fn tags_are_bounded_and_an_odd_one_allows_nothing() {
    let tag = |key: &str, value: &str| format!(r#"{{"TagKey":"{key}","TagValue":{value}}}"#);
    let read = |tags: &[String]| {
        let tags = tags.join(",");
        instances(&format!(r#"{{"InstanceId":"i-1","Tags":{{"Tag":[{tags}]}}}}"#)).remove(0).tags
    };
    let many: Vec<String> = (0..1000).map(|n| tag(&format!("k{n}"), "\"v\"")).collect();
    assert_eq!(read(&many).len(), TAGS_MAX);
    let long = "x".repeat(TAG_BYTES_MAX + 1);
    let odd = [tag(&long, "\"v\""), tag("k", &format!("\"{long}\"")), tag("", "\"v\""), tag("n", "7"), "5".to_owned()];
    assert!(read(&odd).is_empty(), "a value that cannot be read is not an empty one");
    assert_eq!(read(&[tag("k", "\"\"")])["k"], "");
}

#[test]
fn a_broken_list_is_not_an_empty_one() {
    for body in ["", "{}", "[]", "null", r#"{"Instances":{}}"#, r#"{"Instances":{"Instance":[{"InstanceId":"i"#] {
        assert_eq!(InstancePage::read(body.as_bytes()), None, "{body}");
    }
    assert_eq!(instances(""), []);
}

#[test]
fn an_acceptance_needs_a_request_id_and_no_code() {
    assert!(Accepted::read(br#"{"RequestId":"A-1"}"#).is_some());
    for body in [r#"{"RequestId":""}"#, r#"{"RequestId":"A","Code":"X"}"#, r#"{"RequestId":1}"#, "<html>", "{}"] {
        assert_eq!(Accepted::read(body.as_bytes()), None, "{body}");
    }
}

#[test]
fn a_dry_run_passes_by_its_code_only() {
    assert_eq!(DryRunPassed::read(br#"{"Code":"DRYRUN.SUCCESS"}"#), Some(DryRunPassed));
    assert_eq!(DryRunPassed::read_error_code("DryRunOperation"), Some(DryRunPassed));
    assert_eq!(DryRunPassed::read(br#"{"Instances":{"Instance":[]}}"#), None, "an unread DryRun proves nothing");
    assert_eq!(DryRunPassed::read_error_code("Forbidden.RAM"), None);
}
