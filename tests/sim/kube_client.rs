//! The API server in memory, seen through kube's own client: what the rest of these tests rests on.

use std::collections::BTreeSet;
use std::time::Duration;

use ecs_password_reset::api::password_reset::PasswordReset;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::Status;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::plan::{Class, Ms, Plan, WatchFault};
use crate::scenario::{NAMESPACE, Scenario, reset};
use crate::story::Story;
use crate::world::World;

/// Runs `test` in a world with nobody else in it.
fn with_client<F: Future>(plan: Plan, test: impl FnOnce(Client, World) -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let nothing = Scenario {
            name: "nothing",
            instances: vec![],
            objects: vec![],
            script: vec![],
            runs: vec![],
            ends: vec![],
            is_learnt: false,
            is_closed: |_| false,
            is_prompt: false,
            last_password: None,
        };
        let world = World::new(&nothing, Plan { clocks: vec![], ..plan }, Story::untold());
        let client = world.client();
        tokio::select! {
            biased;
            output = test(client, world.clone()) => output,
            _ = world.drive(Ms::MAX, |_| false) => unreachable!("the world has no end"),
        }
    })
}

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn secret(name: &str) -> Secret {
    object(json!({"metadata": {"name": name, "namespace": NAMESPACE}}))
}

fn refusal<K: std::fmt::Debug>(result: kube::Result<K>) -> Box<Status> {
    match result {
        Err(kube::Error::Api(status)) => status,
        other => panic!("not refused: {other:?}"),
    }
}

/// How many requests of a class there were.
fn count(world: &World, class: Class) -> usize {
    world.state().requests.iter().filter(|request| request.class == class).count()
}

#[test]
fn an_object_lives_through_create_replace_and_delete() {
    with_client(Plan::calm(1), |client, _| async move {
        let api: Api<Lease> = Api::namespaced(client, NAMESPACE);
        let post = PostParams::default();
        let lease: Lease = object(json!({"metadata": {"name": "l"}, "spec": {"leaseTransitions": 1}}));
        let first = api.create(&post, &lease).await.unwrap();
        assert!(refusal(api.create(&post, &lease).await).is_already_exists());
        let mut second = first.clone();
        second.spec.get_or_insert_default().lease_transitions = Some(2);
        let second = api.replace("l", &post, &second).await.unwrap();
        assert_ne!(second.resource_version(), first.resource_version());
        assert!(refusal(api.replace("l", &post, &first).await).is_conflict());
        assert_eq!(api.get("l").await.unwrap(), second);
        api.delete("l", &DeleteParams::default()).await.unwrap();
        assert_eq!(api.get_opt("l").await.unwrap(), None);
    });
}

#[test]
fn status_is_a_subresource_and_begins_with_crd_default() {
    with_client(Plan::calm(1), |client, _| async move {
        let api: Api<PasswordReset> = Api::namespaced(client, NAMESPACE);
        let web = object(reset("web", json!({"instanceIDs": ["i-1"]})));
        let mut web = api.create(&PostParams::default(), &web).await.unwrap();
        assert_eq!(web.status.as_ref().unwrap().observed_generation, Some(-1));
        web.status.as_mut().unwrap().observed_generation = Some(1);
        web.spec.run_id = Some("not by this way".to_owned());
        let web = api.replace_status("web", &PostParams::default(), &web).await.unwrap();
        let patch = json!({"status": {"accountName": "default"}});
        let web = api.patch_status("web", &PatchParams::default(), &Patch::Merge(patch)).await.map(|_| web).unwrap();
        let stored = api.get("web").await.unwrap();
        let status = stored.status.unwrap();
        assert_eq!((status.observed_generation, status.account_name.as_deref()), (Some(1), Some("default")));
        assert_eq!((stored.spec.run_id, stored.metadata.generation), (None, Some(1)));
        assert_eq!(web.metadata.generation, Some(1));
        let patch = Patch::Merge(json!({"spec": {"runID": "2"}}));
        let web = api.patch("web", &PatchParams::default(), &patch).await.unwrap();
        assert_eq!((web.metadata.generation, web.status), (Some(2), Some(status)));
    });
}

#[test]
fn a_list_comes_in_pages() {
    with_client(Plan::calm(1), |client, _| async move {
        let api: Api<Secret> = Api::namespaced(client, NAMESPACE);
        for name in ["a", "b", "c", "d", "e"] {
            api.create(&PostParams::default(), &secret(name)).await.unwrap();
        }
        let (mut names, mut pages, mut params) = (Vec::new(), 0, ListParams::default().limit(2));
        loop {
            let page = api.list(&params).await.unwrap();
            pages += 1;
            names.extend(page.items.iter().map(ResourceExt::name_any));
            match page.metadata.continue_ {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
        assert_eq!((names.join(""), pages), ("abcde".to_owned(), 3));
    });
}

/// What a watcher has shown: the names that it says are there, and how often it began again.
async fn follow(client: Client, until: impl Fn(&BTreeSet<String>) -> bool) -> (BTreeSet<String>, usize) {
    let api: Api<Secret> = Api::namespaced(client, NAMESPACE);
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let (mut there, mut lists) = (BTreeSet::new(), 0);
    while !until(&there) {
        // An error is what a watcher says before it begins again.
        match events.next().await.unwrap() {
            Ok(Event::Init) => {
                there.clear();
                lists += 1;
            }
            Ok(Event::InitApply(secret) | Event::Apply(secret)) => drop(there.insert(secret.name_any())),
            Ok(Event::Delete(secret)) => drop(there.remove(&secret.name_any())),
            Ok(Event::InitDone) | Err(_) => {}
        }
    }
    (there, lists)
}

/// Creates `a`, `b`, `c` and deletes `b`, an hour apart.
async fn write(client: Client) {
    let api: Api<Secret> = Api::namespaced(client, NAMESPACE);
    for name in ["a", "b", "c"] {
        hour().await;
        api.create(&PostParams::default(), &secret(name)).await.unwrap();
    }
    hour().await;
    api.delete("b", &DeleteParams::default()).await.unwrap();
}

#[allow(clippy::disallowed_methods, reason = "virtual time")]
async fn hour() {
    tokio::time::sleep(Duration::from_hours(1)).await;
}

/// Whether `c` came and `b` went.
fn all_was_seen(there: &BTreeSet<String>) -> bool {
    there.contains("c") && !there.contains("b")
}

#[test]
fn watcher_sees_every_change_through_bookmarks_and_timeouts() {
    with_client(Plan::calm(1), |client, world| async move {
        let ((), (there, lists)) = futures::join!(write(client.clone()), follow(client, all_was_seen));
        assert_eq!((there, lists), (BTreeSet::from(["a".to_owned(), "c".to_owned()]), 1));
        let watches = count(&world, Class::Watch);
        assert!((45..55).contains(&watches), "a new watch every 290 s in four hours, and no new list: {watches}");
    });
}

#[test]
fn a_watcher_finds_its_way_back_from_broken_connections_and_410() {
    // What it has seen, how often it has listed, and the keys of the events that it was sent.
    let run = |plan: Plan| {
        with_client(plan, |client, world| async move {
            let ((), (there, lists)) = futures::join!(write(client.clone()), follow(client, all_was_seen));
            (there, lists, std::mem::take(&mut world.state().watch_events))
        })
    };
    let (expected, _, events) = run(Plan::calm(1));
    assert_eq!(events.len(), 4);
    for event in events {
        for (fault, expected_lists) in [(WatchFault::Break, 1), (WatchFault::Gone, 2), (WatchFault::Double, 1)] {
            let (there, lists, _) = run(Plan::calm(1).with_watch_fault(&event, fault));
            assert_eq!((there, lists), (expected.clone(), expected_lists), "{fault:?} in place of {event}");
        }
    }
}

#[test]
fn a_version_that_was_compacted_away_cannot_be_watched() {
    with_client(Plan::calm(1), |client, world| async move {
        let api: Api<Secret> = Api::namespaced(client, NAMESPACE);
        let first = api.create(&PostParams::default(), &secret("a")).await.unwrap();
        api.create(&PostParams::default(), &secret("b")).await.unwrap();
        let watch = async |version: &str| {
            api.watch(&WatchParams::default(), version).await.unwrap().boxed().try_next().await.unwrap()
        };
        let version = first.resource_version().unwrap();
        assert!(matches!(watch(&version).await, Some(WatchEvent::Added(secret)) if secret.name_any() == "b"));
        {
            let mut state = world.state();
            let newest = state.api.version();
            state.api.compact(newest);
        }
        assert!(matches!(watch(&version).await, Some(WatchEvent::Error(status)) if status.code == 410));
    });
}
