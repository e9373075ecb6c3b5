//! The canaries, and the proof that all of it was there to be leaked. It searches no place where it must not be.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::common::{SYSTEM_NAMESPACE, World};
use crate::places::{Places, secrets};
use crate::scanner::{Canary, leaks};
use crate::wire::Wire;
use crate::{EQUIPMENT, KEY, OIDC_TOKEN, TOKEN};

/// What was put into the world, or came with it.
pub fn canaries(world: &World, passwords: &[String]) -> Vec<Canary> {
    let [_, (_, pod_key), (_, pod_token)] = EQUIPMENT;
    let secret = world.get_in(SYSTEM_NAMESPACE, "secret", "ecs-password-reset-fingerprint-key");
    let fingerprint_key = STANDARD.decode(secret["data"]["key"].as_str().unwrap()).unwrap();
    let mut canaries = vec![
        Canary::new("the access key's secret", KEY),
        Canary::new("the access key's token", TOKEN),
        Canary::new("the secret of the pod's access key", pod_key),
        Canary::new("the token of the pod's access key", pod_token),
        Canary::new("the token of OIDC", OIDC_TOKEN),
        Canary::new("the token of the ServiceAccount", world.service_account_token()),
        // A holder of it can try passwords.
        Canary::new("the fingerprint key", fingerprint_key),
    ];
    let numbered = passwords.iter().enumerate();
    canaries.extend(numbered.map(|(number, text)| Canary::new(format!("password {number}"), text.as_str())));
    canaries
}

/// Every canary was sent, was answered, or stood in a Secret; those that must be sent were.
pub fn all_of_it_was_there_to_be_leaked(world: &World, wire: &Wire, places: &Places, canaries: &[Canary]) {
    let (asked, answered) = (leaks(canaries, wire.asked()), leaks(canaries, wire.answers()));
    let kept = leaks(canaries, secrets(world));
    let mut there: BTreeSet<_> = [&asked, &answered, &kept].into_iter().flatten().cloned().collect();
    // It goes to the API server alone and in TLS, which notes the id of the token with which a request came.
    let id = id_of_token(&world.service_account_token());
    let came = format!(r#""authentication.kubernetes.io/credential-id":["JTI={id}"]"#);
    if places.text("the audit log").contains(&came) {
        there.insert("the token of the ServiceAccount, in TLS".to_owned());
    }
    let absent: Vec<_> = canaries.iter().filter(|it| !it.is_among(&there)).map(|it| &it.what).collect();
    assert!(absent.is_empty(), "there to be leaked was none of {absent:?}");

    let passwords = (0..24).map(|number| format!("password {number}, percent-encoded"));
    let signatures = (0..48).map(|number| format!("signature {number}, percent-encoded"));
    let tokens = ["the access key's token", "the token of the pod's access key", "the token of OIDC"];
    let tokens = tokens.map(|what| format!("{what}, percent-encoded"));
    let of_metadata = "the token of the metadata service 0, raw".to_owned();
    for what in passwords.chain(signatures).chain(tokens).chain([of_metadata]) {
        assert!(asked.contains(&what), "{what}: it was not sent");
    }
    for what in [
        "password 0, raw",
        "password 0, percent-encoded twice",
        "password 0, in XML",
        "the token of OIDC, raw",
        // One for each of the three accounts that have sessions.
        "the secret of session 2, raw",
        "the token of session 2, raw",
        "the token of the metadata service 0, raw",
    ] {
        assert!(answered.contains(what), "{what}: it was not answered");
    }
    for (place, holds) in [("etcd", "SignatureDoesNotMatch"), ("the log", "IncorrectInstanceStatus")] {
        assert!(places.text(place).contains(holds), "{place} without {holds}");
    }
}

/// `jti` of a token of a `ServiceAccount`.
fn id_of_token(token: &str) -> String {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["jti"].as_str().unwrap().to_owned()
}
