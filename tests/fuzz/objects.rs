//! Targets: the objects that users write, as they may be stored under another CRD, and the values that are not part of a schema.

use std::collections::BTreeMap;

use ecs_password_reset::api::ecs_account::ECSAccount;
use ecs_password_reset::api::password_reset::PasswordReset;
use ecs_password_reset::cloud::accounts::endpoint;
use ecs_password_reset::cluster::secrets::RawSecret;
use ecs_password_reset::cluster::unreadable;
use ecs_password_reset::decide::history;
use ecs_password_reset::decide::reset::password_rules;
use ecs_password_reset::decide::resolution::Resolution;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::near::fuzz;

/// The message on an object that cannot be read must fit into its status, however large the object is.
fn read<T: DeserializeOwned>(input: &[u8]) -> Option<T> {
    let why = match serde_json::from_slice(input) {
        Ok(object) => return Some(object),
        Err(error) => unreadable::why(&error.to_string()),
    };
    let conditions = unreadable::conditions(&why, Some(1), Timestamp::UNIX_EPOCH);
    let patch = unreadable::status_patch(&conditions, Some(1));
    assert!(patch.to_string().len() < 8_000, "a status without bound");
    None
}

#[test]
fn password_resets() {
    fuzz("password_resets", "Never 100% -5% 999999999999% Failed", |input| {
        let Some(object) = read::<PasswordReset>(input) else { return };
        let spec = &object.spec;
        assert!(spec.max_unavailable(2) >= 1, "nothing could ever start");
        // A year before 0 can be read and not written: the API server would have refused it, and refuses it now.
        let again = serde_json::from_value::<PasswordReset>(serde_json::to_value(&object).unwrap());
        assert!(again.map_or(true, |again| object == again), "what is written is not what was read");
    });
}

#[test]
fn accounts() {
    let words = "ecsRAMRole Public https://a@b https://a/b https://a?b https://a:1 http://a a.evil/";
    fuzz("accounts", words, |input| {
        let Some(account) = read::<ECSAccount>(input) else { return };
        let spec = &account.spec;
        let region = spec.regions.as_ref().and_then(|it| it.first()).map_or("cn-hangzhou", String::as_str);
        let endpoint = endpoint(spec, region);
        for url in endpoint.iter().flat_map(|it| [&it.ecs_url, &it.sts_url]) {
            let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).expect("a scheme");
            assert!(!host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']), "more than a host: {url}");
        }
        let names = spec.allowed_namespaces.names.iter().flatten().any(|it| it == "prod");
        let open = spec.allowed_namespaces.from.is_some();
        assert!(!spec.allows_namespace("prod") || names || open, "nobody has allowed the namespace");
        let free = spec.rules.iter().flatten().all(|it| it.instance_tags.iter().flatten().count() > 0);
        let allowed = spec.allows_instance("prod", &BTreeMap::new());
        assert!(
            !allowed || spec.rules.is_none() || !free,
            "an instance without tags matches a rule that asks for some"
        );
    });
}

#[test]
fn secrets() {
    fuzz("secrets", "stringData", |input| {
        let Ok(secret) = serde_json::from_slice::<RawSecret>(input) else { return };
        let Some(text) = secret.text("password") else { return };
        let text = text.expose_secret();
        let verdict = password_rules::check(text);
        let shown = format!("{:?} {}", verdict.map_err(|it| it.to_string()), secret.text("other").is_some());
        // Short words stand in the sentences by themselves.
        assert!(text.len() < 8 || !shown.contains(text), "the password is shown");
        let document: Value = serde_json::from_str(&String::from_utf8_lossy(input)).unwrap_or_default();
        let encoded = document["data"]["password"].as_str().unwrap_or_default();
        let data_shown = serde_json::to_string(&secret).unwrap();
        assert!(
            document["metadata"].to_string().contains(encoded) || !data_shown.contains(encoded),
            "the value is written"
        );
        if verdict.is_ok() {
            assert!(
                (8..=30).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic()),
                "ECS would refuse it"
            );
            assert_eq!(password_rules::check_windows(text).is_err(), text.starts_with('/'));
        }
    });
}

#[test]
fn annotations() {
    fuzz("annotations", "i-bp1a0000 Happened RestartAgain", |input| {
        let text = String::from_utf8_lossy(input);
        let tokens = history::tokens(Some(&text), Some(&text));
        assert!(tokens.iter().all(|it| it.len() <= 22), "a token is a digest, whatever its value was");
        assert_eq!(tokens.len(), if text.is_empty() { 1 } else { 2 });
        let Some(resolution) = Resolution::parse(&text) else { return };
        let again = format!("{}/{}={:?}", resolution.instance_id, resolution.claim, resolution.decision);
        assert_eq!(Resolution::parse(&again), Some(resolution.clone()), "{again}");
    });
}
