//! The gate: who may ask, with which signature, and for how long a copy of a request lives.

use crate::client::{World, read};
use ecs_simulator::{AccessKey, Config, Handling, Instance};

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
