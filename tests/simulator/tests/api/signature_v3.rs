//! The gate for signature version 3: what must be signed, and that the same rules hold as for version 1.

use crate::client::{Got, World};
use bytes::Bytes;
use ecs_simulator::{Config, Instance, Role, authorization};
use http::Request;

const ID: &str = "i-a";
const FORM: &str = "InstanceId=i-a&Password=Abcdef1%21";
/// The hash of an empty body.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// The hash of [`FORM`].
const FORM_HASH: &str = "8ccaca4d6461fd71ec0ae88a96105b0905875f7727d8f522dd9cce157411b0f0";

fn world() -> World {
    World::new(Config::default().with(Instance::running(ID, crate::client::REGION)))
}

fn request(world: &World, action: &str, target: &str, hash: &str, body: &'static str) -> Request<Bytes> {
    let version = if action == "GetCallerIdentity" { "2015-04-01" } else { "2014-05-26" };
    let mut request = Request::post(target)
        .header("host", "ecs.cn-hangzhou.aliyuncs.com")
        .header("accept", "application/json")
        .header("x-acs-action", action)
        .header("x-acs-version", version)
        .header("x-acs-date", world.timestamp(0))
        .header("x-acs-signature-nonce", "nonce-1")
        .header("x-acs-content-sha256", hash);
    if !body.is_empty() {
        request = request.header("content-type", "application/x-www-form-urlencoded");
    }
    request.body(Bytes::from_static(body.as_bytes())).unwrap()
}

fn modify(world: &World) -> Request<Bytes> {
    request(world, "ModifyInstanceAttribute", "/", FORM_HASH, FORM)
}

fn send(world: &mut World, mut request: Request<Bytes>, secret: &str) -> Got {
    let header = authorization("testid", secret, &request);
    request.headers_mut().insert("authorization", header.parse().unwrap());
    world.exchange(&request)
}

#[test]
fn parameters_are_taken_from_the_form_and_from_the_query() {
    let mut world = world();
    let signed = modify(&world);
    assert_eq!(send(&mut world, signed, "testsecret").status, 200);
    assert_eq!(world.core.pending_password(ID), Some("Abcdef1!"));
    let entry = world.core.journal().requests().next().unwrap();
    assert_eq!((entry.action.as_str(), entry.access_key_id.as_str()), ("ModifyInstanceAttribute", "testid"));
    assert_eq!((entry.nonce.as_str(), entry.timestamp.as_str()), ("nonce-1", "2026-11-24T05:21:07Z"));
    let mut signed = request(&world, "DescribeInstances", "/?RegionId=cn-hangzhou&InstanceName=i-*", NOTHING, "");
    signed.headers_mut().insert("x-acs-signature-nonce", "nonce-2".parse().unwrap());
    assert_eq!(send(&mut world, signed, "testsecret").body["TotalCount"], 1);
}

#[test]
fn wrong_secret_and_altered_body_or_query_are_refused() {
    let mut world = world();
    let signed = modify(&world);
    let got = send(&mut world, signed, "wrong");
    assert_eq!((got.status, got.code()), (400, "SignatureDoesNotMatch"));
    for change in [
        (|request| *request.body_mut() = Bytes::from_static(b"InstanceId=i-a&Password=Abcdef1%22"))
            as fn(&mut Request<Bytes>),
        |request| *request.uri_mut() = "/?InstanceId=i-b".parse().unwrap(),
        |request| drop(request.headers_mut().insert("x-acs-action", "RebootInstance".parse().unwrap())),
    ] {
        let mut request = modify(&world);
        let header = authorization("testid", "testsecret", &request);
        request.headers_mut().insert("authorization", header.parse().unwrap());
        change(&mut request);
        assert_eq!(world.exchange(&request).code(), "SignatureDoesNotMatch");
    }
    assert_eq!(world.core.pending_password(ID), None);
}

#[test]
fn every_acs_header_must_be_signed() {
    let mut world = world();
    for header in [
        "ACS3-HMAC-SHA256 Credential=testid,SignedHeaders=host;x-acs-date,Signature=00",
        "ACS3-HMAC-SHA256 Credential=testid",
        "ACS3-HMAC-SHA256",
    ] {
        let mut request = modify(&world);
        request.headers_mut().insert("authorization", header.parse().unwrap());
        assert_eq!(world.exchange(&request).code(), "IncompleteSignature", "{header}");
    }
    let mut request = modify(&world);
    let header = authorization("testid", "testsecret", &request);
    request.headers_mut().insert("authorization", header.parse().unwrap());
    request.headers_mut().insert("x-acs-security-token", "unsigned".parse().unwrap());
    assert_eq!(world.exchange(&request).code(), "IncompleteSignature");
    for name in ["host", "x-acs-date", "x-acs-content-sha256"] {
        let mut request = modify(&world);
        request.headers_mut().remove(name);
        assert_eq!(send(&mut world, request, "testsecret").code(), "IncompleteSignature", "{name}");
    }
}

#[test]
fn version_1_request_is_judged_by_its_parameters() {
    let mut world = world();
    let parameters = world.parameters("ModifyInstanceAttribute", &[("InstanceId", ID), ("Password", "Abcdef1!")]);
    let mut request = crate::client::post(&world.sign(parameters));
    request.headers_mut().insert("x-acs-action", "RebootInstance".parse().unwrap());
    assert_eq!(world.exchange(&request).status, 200);
    assert_eq!((world.core.journal().modifies(ID), world.core.journal().reboots(ID)), (1, 0));
}

#[test]
fn time_nonce_and_token_are_judged_as_for_version_1() {
    let mut world = world();
    let signed = modify(&world);
    let copy = modify(&world);
    assert_eq!(send(&mut world, signed, "testsecret").status, 200);
    assert_eq!(send(&mut world, copy, "testsecret").code(), "SignatureNonceUsed");
    let old = modify(&world);
    world.pass(1861.0);
    assert_eq!(send(&mut world, old, "testsecret").code(), "InvalidTimeStamp.Expired");
    let mut stray = modify(&world);
    stray.headers_mut().insert("x-acs-security-token", "nobody".parse().unwrap());
    assert_eq!(send(&mut world, stray, "testsecret").code(), "InvalidSecurityToken.Malformed");
    assert_eq!(world.core.journal().modifies(ID), 1);
}

#[test]
fn a_session_signs_with_its_token_in_a_header() {
    let role = "acs:ram::2222222222222222:role/reset";
    let mut world = World::new(Config::default().with_role(Role::new(role).trusting("testid")));
    let got = world.ask("AssumeRole", &[("RoleArn", role), ("RoleSessionName", "cluster")]);
    world.use_credentials(&got);
    let mut request = request(&world, "GetCallerIdentity", "/", NOTHING, "");
    request.headers_mut().insert("x-acs-security-token", world.token.as_deref().unwrap().parse().unwrap());
    let header = authorization(&world.key.0, &world.key.1, &request);
    request.headers_mut().insert("authorization", header.parse().unwrap());
    assert_eq!(world.exchange(&request).body["AccountId"], "2222222222222222");
}
