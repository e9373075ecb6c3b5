//! What an `ECSAccount` says of itself, and what the objects that use it say of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;

use super::identity::{check_account_id, check_clock, checked_again, endpoint, of_source, refused};
use super::publish::conditions_of;
use crate::api::Reason;
use crate::api::ecs_account::ECSAccountSpec;
use crate::cloud::accounts::{AccountObservations, Accounts, not_ready};
use crate::cloud::readings;
use crate::credentials;
use crate::decide::Hold;
use crate::decide::fixtures::at;
use crate::decide::words_tests::Words;
use crate::ecs::{ApiCall, CallError, CallerIdentity, DescribeError, Scope};

pub(super) fn spec(change: &serde_json::Value) -> ECSAccountSpec {
    let mut spec = json!({"credentials": {"environment": {}}, "allowedNamespaces": {"names": ["prod"]}});
    for (field, value) in change.as_object().unwrap() {
        spec[field] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

#[test]
fn words_of_an_account() {
    let mut words = Words::of("account");
    let conditions = [
        ("usable", None, None),
        ("usable, not renewed", None, Some("<why>")),
        ("a person must act", Some(Reason::CredentialsRefused), None),
        ("retried", Some(Reason::Throttled), None),
    ];
    for (situation, reason, failure) in conditions {
        let hold = reason.map(|reason| Hold::new(reason, "<the message of the hold>"));
        for update in conditions_of(hold, failure, false, &[], &[]) {
            let truth = format!("{}={:?}, {}", update.kind, update.status, update.reason);
            words.say(situation, format!("{truth}: {}", update.message));
        }
    }
    words.say("suspended", &conditions_of(None, None, true, &[], &[])[0].message);
    words.say("throttled", &conditions_of(None, None, false, &[("cn-hangzhou".to_owned(), at(60))], &[])[0].message);
    let missing = ["ecs:RebootInstance in cn-hangzhou".to_owned()];
    words.say("permissions missing", &conditions_of(None, None, false, &[], &missing)[0].message);

    let identity = CallerIdentity { account_id: "123456".to_owned(), identity_arn: String::new() };
    let expects = spec(&json!({"expectedAccountID": "654321"}));
    let of_secret = spec(&json!({"credentials": {"secretRef": {"name": "keys"}}}));
    for reason in [Reason::CredentialsRefused, Reason::Throttled] {
        let hold = of_source(Hold::new(reason, "<what was answered>"), &of_secret, "ecs-password-reset-system");
        words.hold("credentials in a Secret", &checked_again(&hold, Duration::from_secs(15)));
    }
    words.hold("of another account", &check_account_id(&expects, &identity).unwrap_err());
    let (skew, limit) = (SignedDuration::from_secs(-412), SignedDuration::from_secs(300));
    words.hold("clock", &check_clock(Some(skew), limit).unwrap_err());
    let learnt = AccountObservations::default();
    learnt.reject("key", "InvalidAccessKeyId.Inactive", at(0));
    words.say("ECS rejects the credentials", learnt.why_rejected(at(1), "key").unwrap());
    words.hold("STS not reached", &refused(ApiCall::AssumeRole, &CallError::NotSent("<why>".to_owned())));
    let unset = |_: &str| None;
    let plain = json!({"endpoint": {"url": "http://gateway.internal"}});
    words.hold("endpoint without TLS", &endpoint(&spec(&plain), "cn-hangzhou", unset, false).unwrap_err());
    let path = json!({"endpoint": {"url": "https://gateway.internal/ecs"}});
    words.hold("endpoint with a path", &endpoint(&spec(&path), "cn-hangzhou", unset, false).unwrap_err());
    let metadata = json!({"endpoint": {"url": "https://100.100.100.200"}});
    words.hold("endpoint of metadata", &endpoint(&spec(&metadata), "cn-hangzhou", unset, false).unwrap_err());
    let of_pod = |name: &str| (name == "ALIBABA_CLOUD_STS_ENDPOINT").then(|| "sts.example/path".to_owned());
    words.hold("endpoint of the pod", &endpoint(&spec(&json!({})), "cn-hangzhou", of_pod, false).unwrap_err());
    let missing = credentials::from_secret("ecs-password-reset-system/keys", |_| false, |_| None).err().unwrap();
    words.say("key of the Secret", missing);
    words.say("environment", credentials::from_environment(unset).err().unwrap());
    words.assert();
}

#[test]
fn words_to_objects_of_an_account() {
    let mut words = Words::of("account_to_objects");
    let accounts = Accounts::default();
    let hold = Hold::new(Reason::CredentialsRefused, "<for the account's administrator alone>");
    let only = spec(&json!({"regions": ["cn-hangzhou"]}));
    accounts.set("default", only, Err(hold), Arc::default());
    let account = accounts.get("default").unwrap();
    words.hold("namespace", &account.hold_for("dev", "cn-hangzhou").unwrap());
    words.hold("region", &account.hold_for("prod", "cn-beijing").unwrap());
    words.hold("not ready", &account.hold_for("prod", "cn-hangzhou").unwrap());
    words.hold("policies", &not_ready("default", Reason::PolicyMissing));
    words.hold("not reached", &not_ready("default", Reason::ECSUnavailable));
    let scope = Scope { account: "default".to_owned(), region_id: "cn-hangzhou".to_owned() };
    for (situation, error) in [
        ("reads not ready", DescribeError::NotReady("<why>".to_owned())),
        ("reads without an end", DescribeError::Endless(20)),
        ("reads not sent", CallError::NotSent("<why>".to_owned()).into()),
        ("reads not answered", CallError::NoAnswer("<why>".to_owned()).into()),
    ] {
        words.hold(situation, &readings::read_hold_of(&error, &scope).hold);
    }
    words.assert();
}
