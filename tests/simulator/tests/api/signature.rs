//! The gate: who may ask, with which signature, and for how long a copy of a request lives.

use crate::client::{World, post, read};
use ecs_simulator::{AccessKey, Config, Handling, Instance, Revocation, sign, string_to_sign};

const REGION: (&str, &str) = ("RegionId", crate::client::REGION);

/// Method, `AccessKeySecret`, parameters, Signature.
type Vector = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

/// Alibaba Cloud's own published examples.
#[test]
fn published_vectors_are_signed_alike() {
    let vectors: [Vector; 3] = [
        (
            "GET",
            "testsecret",
            &[
                ("AccessKeyId", "testid"),
                ("Action", "DescribeRegions"),
                ("Format", "XML"),
                ("SignatureMethod", "HMAC-SHA1"),
                ("SignatureNonce", "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"),
                ("SignatureVersion", "1.0"),
                ("Timestamp", "2016-02-23T12:46:24Z"),
                ("Version", "2014-05-26"),
            ],
            "OLeaidS1JvxuMvnyHOwuJ+uX5qY=",
        ),
        (
            "GET",
            "testsecret",
            &[
                ("Version", "2014-05-26"),
                ("AccessKeyId", "testid"),
                ("Action", "DescribeDedicatedHosts"),
                ("Format", "JSON"),
                ("RegionId", "cn-beijing"),
                ("SignatureMethod", "HMAC-SHA1"),
                ("SignatureNonce", "edb2b34af0af9a6d14deaf7c1a5315eb"),
                ("SignatureVersion", "1.0"),
                ("Timestamp", "2023-03-13T08:34:30Z"),
            ],
            "9NaGiOspFP5UPcwX8Iwt2YJXXuk=",
        ),
        (
            "GET",
            "testSecret",
            &[
                ("AccessKeyId", "testId"),
                ("Action", "SendSms"),
                ("Format", "XML"),
                ("OutId", "123"),
                ("PhoneNumbers", "15300000001"),
                ("RegionId", "cn-hangzhou"),
                ("SignName", "阿里云短信测试专用"),
                ("SignatureMethod", "HMAC-SHA1"),
                ("SignatureNonce", "45e25e9b-0a6f-4070-8c85-2956eda1b466"),
                ("SignatureVersion", "1.0"),
                ("TemplateCode", "SMS_71390007"),
                ("TemplateParam", "{\"customer\":\"test\"}"),
                ("Timestamp", "2017-07-12T02:42:19Z"),
                ("Version", "2017-05-25"),
            ],
            "zJDF+Lrzhj/ThnlvIToysFRq6t4=",
        ),
    ];
    for (method, secret, parameters, signature) in vectors {
        assert_eq!(sign(secret, &string_to_sign(method, parameters.iter().copied())), signature);
    }
}

#[test]
fn right_signature_is_admitted_in_body_and_query() {
    let mut world = World::new(Config::default());
    assert_eq!(world.ask("GetCallerIdentity", &[]).body["AccountId"], "1234567890123456");
    let parameters = world.parameters("GetCallerIdentity", &[]);
    let signed = world.sign(parameters);
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&signed).finish();
    let request = http::Request::post(format!("/?{query}")).body(bytes::Bytes::new()).unwrap();
    let Handling::Now(reply) = world.core.handle(world.now, &request) else { panic!("no delay was ordered") };
    assert_eq!(read(reply).unwrap().status, 200);
}

#[test]
fn wrong_secret_is_refused_with_the_string_to_sign() {
    let mut world = World::new(Config::default().with(Instance::running("i-a", crate::client::REGION)));
    world.key.1 = "wrong".to_owned();
    let got = world.modify("i-a", "Abcdef1!%");
    assert_eq!((got.status, got.code()), (400, "SignatureDoesNotMatch"));
    assert!(got.body["Message"].as_str().unwrap().contains("Abcdef1%2521%2525"), "{}", got.body);
    assert_eq!(world.core.pending_password("i-a"), None);
    let journal = serde_json::to_string(world.core.journal().entries()).unwrap();
    assert!(!journal.contains("Abcdef1"), "{journal}");
}

#[test]
fn an_altered_parameter_breaks_the_signature() {
    let mut world = World::new(Config::default().with(Instance::running("i-a", crate::client::REGION)));
    let parameters = world.parameters("RebootInstance", &[("InstanceId", "i-b")]);
    let mut signed = world.sign(parameters);
    signed.iter_mut().filter(|(name, _)| name == "InstanceId").for_each(|(_, value)| "i-a".clone_into(value));
    let Handling::Now(reply) = world.handle(&signed) else { panic!("no delay was ordered") };
    assert_eq!(read(reply).unwrap().code(), "SignatureDoesNotMatch");
    assert_eq!(world.core.journal().reboots("i-a"), 0);
}

#[test]
fn every_common_parameter_is_needed() {
    for name in
        ["Action", "Version", "AccessKeyId", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp"]
    {
        let mut world = World::new(Config::default());
        let got = world.ask("DescribeInstances", &[REGION, (name, "")]);
        assert_eq!((got.status, got.code()), (400, "MissingParameter"), "{name}");
    }
    let mut world = World::new(Config::default());
    let unsigned = world.parameters("DescribeInstances", &[REGION]);
    let Handling::Now(reply) = world.handle(&unsigned) else { panic!("no delay was ordered") };
    assert_eq!(read(reply).unwrap().code(), "MissingParameter");
}

#[test]
fn a_timestamp_lives_31_minutes_back_and_15_ahead() {
    for (seconds, code) in
        [(-1860, ""), (-1861, "InvalidTimeStamp.Expired"), (900, ""), (901, "InvalidTimeStamp.Expired")]
    {
        let mut world = World::new(Config::default());
        let timestamp = world.timestamp(seconds);
        assert_eq!(world.ask("GetCallerIdentity", &[("Timestamp", &timestamp)]).code(), code, "{seconds}");
    }
    let mut world = World::new(Config { request_validity_seconds: 5, ..Config::default() });
    let timestamp = world.timestamp(-6);
    assert_eq!(world.ask("GetCallerIdentity", &[("Timestamp", &timestamp)]).code(), "InvalidTimeStamp.Expired");
    assert_eq!(world.ask("GetCallerIdentity", &[("Timestamp", "yesterday")]).code(), "InvalidTimeStamp.Format");
}

#[test]
fn a_nonce_is_good_for_one_request_of_one_key() {
    let config = Config { access_keys: vec![AccessKey::testing(), AccessKey::new("other", "s")], ..Config::default() };
    let mut world = World::new(config);
    let nonce = ("SignatureNonce", "n");
    assert_eq!(world.ask("GetCallerIdentity", &[nonce]).status, 200);
    assert_eq!(world.ask("GetCallerIdentity", &[nonce]).code(), "SignatureNonceUsed");
    world.key = ("other".to_owned(), "s".to_owned());
    assert_eq!(world.ask("GetCallerIdentity", &[nonce]).status, 200);
}

#[test]
fn a_refused_signature_does_not_use_up_the_nonce() {
    let mut world = World::new(Config::default());
    world.key.1 = "wrong".to_owned();
    assert_eq!(world.ask("GetCallerIdentity", &[("SignatureNonce", "n")]).code(), "SignatureDoesNotMatch");
    world.key.1 = "testsecret".to_owned();
    assert_eq!(world.ask("GetCallerIdentity", &[("SignatureNonce", "n")]).status, 200);
}

#[test]
fn unknown_and_inactive_keys_have_two_errors() {
    let mut world = World::new(Config::default());
    world.key.0 = "nobody".to_owned();
    let got = world.ask("GetCallerIdentity", &[]);
    assert_eq!((got.status, got.code()), (404, "InvalidAccessKeyId.NotFound"));
    world
        .core
        .put_access_key(AccessKey { revoked: Some(Revocation::Inactive), ..AccessKey::new("nobody", "testsecret") });
    assert_eq!(world.ask("GetCallerIdentity", &[]).code(), "InvalidAccessKeyId.Inactive");
}

#[test]
fn a_temporary_key_needs_its_token() {
    let key = AccessKey::testing().with_token("token+/= ");
    let other = AccessKey::new("other", "s").with_token("other");
    let mut world = World::new(Config { access_keys: vec![key.clone(), other], ..Config::default() });
    assert_eq!(world.ask("GetCallerIdentity", &[]).code(), "MissingSecurityToken");
    let unknown = world.ask("GetCallerIdentity", &[("SecurityToken", "unknown")]);
    assert_eq!(unknown.code(), "InvalidSecurityToken.Malformed");
    let wrong = world.ask("GetCallerIdentity", &[("SecurityToken", "other")]);
    assert_eq!(wrong.code(), "InvalidSecurityToken.MismatchWithAccessKey");
    let right = world.ask("GetCallerIdentity", &[("SecurityToken", "token+/= ")]);
    assert_eq!(right.body["IdentityType"], "AssumedRoleUser");
    world.core.put_access_key(AccessKey { security_token_expires: Some(world.now), ..key });
    let late = world.ask("GetCallerIdentity", &[("SecurityToken", "token+/= ")]);
    assert_eq!(late.code(), "InvalidSecurityToken.Expired");
}

#[test]
fn errors_are_xml_unless_json_was_asked_for() {
    let mut world = World::new(Config::default());
    let parameters = world.parameters("DescribeInstances", &[("Format", "")]);
    let signed = world.sign(parameters);
    let Handling::Now(ecs_simulator::Reply::Answer(answer)) = world.core.handle(world.now, &post(&signed)) else {
        panic!("no fault was ordered")
    };
    let text = std::str::from_utf8(answer.body()).unwrap();
    assert!(text.contains("<Error>") && text.contains("<Code>MissingParameter</Code>"), "{text}");
}

#[test]
fn every_answer_has_a_date_and_a_journaled_request_id() {
    let mut world = World::new(Config::default());
    let got = world.ask("GetCallerIdentity", &[]);
    assert_eq!(got.headers["date"], "Tue, 24 Nov 2026 05:21:07 GMT");
    let entry = world.core.journal().requests().next().unwrap().clone();
    assert_eq!(got.body["RequestId"], entry.request_id.as_str());
    let refused = world.ask("RebootInstance", &[("InstanceId", "i-none")]);
    assert_eq!((refused.status, refused.code()), (404, "InvalidInstanceId.NotFound"));
    assert_eq!(refused.body["RequestId"].as_str().map(str::len), Some(36));
}
