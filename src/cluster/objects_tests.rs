//! What is known of the objects after each order of watch events and own writes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::api::password_reset::{PasswordResetStatus, Run};
use crate::decide::fixtures::{at, run};

fn object(version: &str, account: &str, ids: &[&str]) -> PasswordReset {
    serde_json::from_value(json!({
        "apiVersion": "ecs.password-reset.dev/v1alpha1", "kind": "PasswordReset",
        "metadata": {"name": "web", "namespace": "prod", "resourceVersion": version},
        "spec": {"regionID": "cn-hangzhou", "instanceIDs": ids, "accountRef": {"name": account},
                 "passwordSecretRef": {"name": "pw"}},
    }))
    .unwrap()
}

/// The objects, and their watch: what shows it an event.
fn objects() -> (Objects, impl FnMut(Event<Guarded<PasswordReset>>)) {
    let objects = Objects::default();
    let watch = objects.clone();
    (objects, move |event| watch.watched(&event))
}

fn shown(version: &str) -> Event<Guarded<PasswordReset>> {
    Event::Apply(Guarded(Ok(object(version, "default", &["i-1"]))))
}

#[test]
fn an_own_write_counts_until_the_watch_is_as_new() {
    let (objects, mut show) = objects();
    let key = ObjectKey::new("prod", "web");
    let version = |objects: &Objects| objects.get(&key).unwrap().metadata.resource_version.clone().unwrap();
    assert!(objects.get(&key).is_err());
    show(shown("1"));
    let _ = objects.put(object("2", "default", &["i-1"]), Some("1".to_owned()));
    let _ = objects.put(object("3", "default", &["i-1"]), Some("2".to_owned()));
    assert_eq!(version(&objects), "3");
    show(shown("2"));
    assert_eq!(version(&objects), "3", "the watch is behind");
    show(shown("9"));
    assert_eq!(version(&objects), "9", "another has written since");
    show(shown("3"));
    assert_eq!(version(&objects), "3");
}

#[test]
fn a_doubt_lasts_until_the_object_is_read() {
    let (objects, mut show) = objects();
    let key = ObjectKey::new("prod", "web");
    show(shown("1"));
    objects.doubt(&key);
    assert!(objects.is_doubted(&key));
    let _ = objects.put(object("2", "default", &["i-1"]), Some("1".to_owned()));
    assert!(!objects.is_doubted(&key));
}

#[test]
fn index_of_named_instances_follows_the_watch() {
    let (objects, mut show) = objects();
    let naming = |objects: &Objects, id: &str| objects.naming("cn-hangzhou", id).len();
    show(Event::Apply(Guarded(Ok(object("1", "a", &["i-1", "i-2"])))));
    assert_eq!((naming(&objects, "i-1"), naming(&objects, "i-2")), (1, 1));
    assert_eq!(objects.of_account("a").len(), 1);
    show(Event::Apply(Guarded(Ok(object("2", "b", &["i-2"])))));
    assert_eq!((naming(&objects, "i-1"), naming(&objects, "i-2")), (0, 1));
    assert_eq!((objects.of_account("a").len(), objects.of_account("b").len()), (0, 1));
    for event in [Event::Init, Event::InitDone] {
        show(event);
    }
    assert_eq!((naming(&objects, "i-2"), objects.of_account("b").len()), (0, 0));
}

#[test]
fn an_object_at_rest_is_known_as_it_is() {
    let (objects, mut show) = objects();
    let ours = ("ecs.password-reset.dev/retry-requested-at".to_owned(), "now".to_owned());
    let mut at_rest = object("1", "default", &["i-1"]);
    at_rest.metadata.annotations =
        Some([ours.clone(), ("kubectl.kubernetes.io/x".to_owned(), "long".to_owned())].into());
    let run = Run { completion_time: Some(Time(at(60))), ..run() };
    at_rest.status = Some(PasswordResetStatus { run: Some(run), ..PasswordResetStatus::default() });
    assert!(is_at_rest(&at_rest));
    show(Event::Apply(Guarded(Ok(at_rest.clone()))));
    let known = |objects: &Objects| objects.get(&ObjectKey::new("prod", "web")).unwrap();
    assert_eq!(*known(&objects), at_rest);
    at_rest.metadata.resource_version = Some("2".to_owned());
    let put = objects.put(at_rest.clone(), Some("1".to_owned()));
    assert_eq!(put.metadata.annotations, Some([ours].into()), "what others have noted is not kept");
    assert_eq!(known(&objects), put);
}
