//! Which identity an account uses, and under which session name.

use serde_json::json;

use super::*;
use crate::controllers::ecs_account::words_tests::spec;

#[test]
fn changed_spec_blocks_old_credentials_until_sts_confirms() {
    let credentials = Keys { access_key_id: "id".to_owned(), access_key_secret: "secret".into(), security_token: None };
    let identity = CallerIdentity { account_id: "123456".to_owned(), identity_arn: String::new() };
    let principal = Ok(Identity { credentials, identity, term: None, access_key_id: None, failure: None });
    let reason = |change| carried_over(&spec(&json!({})), &principal, &spec(&change)).err().map(|hold| hold.reason);
    assert_eq!(reason(json!({"regions": ["cn-hangzhou"], "expectedAccountID": "123456"})), None);
    assert_eq!(reason(json!({"expectedAccountID": "654321"})), Some(Reason::WrongAccount));
    let other = json!({"credentials": {"secretRef": {"name": "keys"}}});
    assert_eq!(reason(other), Some(Reason::AccountNotReady));
}

#[test]
fn sts_address_comes_from_spec_then_environment() {
    let sts = |change: &serde_json::Value, host: Option<&str>| {
        let variable = |name: &str| host.filter(|_| name == "ALIBABA_CLOUD_STS_ENDPOINT").map(str::to_owned);
        endpoint(&spec(change), "cn-beijing", variable, false).map(|endpoint| endpoint.sts_url)
    };
    let central = Ok("https://sts.aliyuncs.com".to_owned());
    let of_pod = Some("sts-vpc.cn-hangzhou.aliyuncs.com");
    let from_pod = Ok("https://sts-vpc.cn-hangzhou.aliyuncs.com".to_owned());
    let vpc = json!({"endpoint": {"network": "VPC"}});
    assert_eq!(sts(&json!({}), None), central);
    assert_eq!(sts(&json!({}), of_pod), from_pod);
    assert_eq!(sts(&vpc, None), Ok("https://sts-vpc.cn-beijing.aliyuncs.com".to_owned()));
    assert_eq!(sts(&vpc, of_pod), from_pod);
    let named = json!({"endpoint": {"network": "VPC", "stsURL": "https://sts.gateway.internal"}});
    assert_eq!(sts(&named, of_pod), Ok("https://sts.gateway.internal".to_owned()));
    let gateway = json!({"endpoint": {"url": "https://gateway.internal"}});
    assert_eq!(sts(&gateway, of_pod), Ok("https://gateway.internal".to_owned()));
    let secret = json!({"credentials": {"secretRef": {"name": "keys"}}});
    assert_eq!(sts(&secret, of_pod), central, "another source asks the environment nothing");
    for host in ["100.100.100.200", "sts.example/path", "user@sts.example", ""] {
        let refused = sts(&json!({}), Some(host));
        assert!(host.is_empty() || refused.as_ref().err().is_some_and(|it| it.reason == Reason::EndpointRefused));
    }
}

#[test]
fn session_name_has_cluster_and_account_in_valid_letters() {
    assert_eq!(session_name("prod-1", "team.a"), "prod-1.team.a");
    assert_eq!(session_name("a/b c", "x"), "a-b-c.x");
    assert_eq!(session_name("", "x"), ".x");
    let long = |end: &str| session_name(&"c".repeat(70), &format!("account{end}"));
    assert_eq!(long("").len(), SESSION_NAME_MAX);
    assert_ne!(long("1"), long("2"));
}

#[test]
fn clock_off_by_more_than_the_limit_is_a_hold() {
    for (skew, is_off) in [(None, false), (Some(300), false), (Some(301), true), (Some(-301), true)] {
        let hold = check_clock(skew.map(SignedDuration::from_secs), SignedDuration::from_secs(300)).err();
        assert_eq!(hold.map(|hold| hold.reason), is_off.then_some(Reason::ClockSkew), "{skew:?}");
    }
}
