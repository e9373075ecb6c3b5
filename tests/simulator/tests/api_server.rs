//! The API server in memory, in what kube's own client does not judge (`tests/sim/kube_client.rs`): whose write is refused, and
//! what a cache that lags shows. The simulation of the controller rests on both.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail loudly, as tests do"
)]

use bytes::Bytes;
use ecs_simulator::api_server::{Answer, ApiServer, Kind, Next, Watch};
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Namespaced, with a status subresource and a default for it.
const WIDGETS: &str = "/apis/example.dev/v1/namespaces/prod/widgets";

/// The server, a clock, and the requests that tests are made of.
struct Client {
    server: ApiServer,
    now: Timestamp,
}

fn crd(plural: &str, kind: &str, version: &Value) -> Kind {
    let names = json!({"plural": plural, "kind": kind});
    let spec = json!({"group": "example.dev", "names": names, "scope": "Namespaced", "versions": [version]});
    Kind::of_crd(&json!({"kind": "CustomResourceDefinition", "spec": spec})).unwrap()
}

impl Client {
    fn new() -> Self {
        let status = json!({"properties": {"status": {"default": {"phase": "New"}}}});
        let widgets = json!({"name": "v1", "subresources": {"status": {}}, "schema": {"openAPIV3Schema": status}});
        let now = "2026-11-24T05:21:07.25Z".parse().unwrap();
        Self { server: ApiServer::new([crd("widgets", "Widget", &widgets)], 7), now }
    }

    /// The code and the object of an answer.
    fn send(&mut self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let content_type = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = http::Request::builder().method(method).uri(path).header("content-type", content_type);
        match self.server.handle(self.now, &request.body(body).unwrap()) {
            Answer::Whole(response) => {
                (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or_default())
            }
            Answer::Watch(_) => panic!("{path} is a watch"),
        }
    }

    fn get(&mut self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, &Value::Null)
    }

    fn create(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::POST, path, body)
    }

    fn replace(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::PUT, path, body)
    }

    fn merge(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::PATCH, path, body)
    }

    fn delete(&mut self, path: &str) -> (u16, Value) {
        self.send(Method::DELETE, path, &json!({}))
    }

    /// Creates an object named `name` with `{"size": size}` as its spec, and returns it.
    fn add(&mut self, path: &str, name: &str, size: u32) -> Value {
        let (code, object) = self.create(path, &json!({"metadata": {"name": name}, "spec": {"size": size}}));
        assert_eq!(code, 201, "{object}");
        object
    }

    /// The types and names of the events that a watch has to send now.
    fn events(&self, watch: &mut Watch) -> Vec<String> {
        let mut events = Vec::new();
        while let Next::Event { line, .. } = self.server.next(watch, self.now) {
            let event: Value = serde_json::from_str(&line).unwrap();
            events.push(format!(
                "{} {}",
                event["type"].as_str().unwrap(),
                event["object"]["metadata"]["name"].as_str().unwrap()
            ));
        }
        events
    }
}

/// The resourceVersion of an object or a list.
fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

fn path(resource: &str, name: &str) -> String {
    format!("{resource}/{name}")
}

fn reason(answer: &(u16, Value)) -> (u16, &str) {
    assert_eq!((&answer.1["kind"], &answer.1["code"]), (&json!("Status"), &json!(answer.0)), "{}", answer.1);
    (answer.0, answer.1["reason"].as_str().unwrap())
}

#[test]
fn a_replace_takes_the_version_that_was_read_and_no_other() {
    let mut client = Client::new();
    let first = client.add(WIDGETS, "a", 1);
    let mut second = first.clone();
    second["spec"]["size"] = json!(2);
    let (code, second) = client.replace(&path(WIDGETS, "a"), &second);
    assert_eq!((code, &second["spec"]["size"]), (200, &json!(2)));
    assert!(version(&second) > version(&first));

    let mut stale = first.clone();
    stale["spec"]["size"] = json!(3);
    assert_eq!(reason(&client.replace(&path(WIDGETS, "a"), &stale)), (409, "Conflict"));
    stale["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    assert_eq!(reason(&client.replace(&path(WIDGETS, "a"), &stale)), (422, "Invalid"));
    assert_eq!(client.get(&path(WIDGETS, "a")).1, second);
    assert_eq!(reason(&client.replace(&path(WIDGETS, "b"), &json!({}))), (404, "NotFound"));
}

#[test]
fn an_object_that_was_created_again_is_another_one() {
    let mut client = Client::new();
    let first = client.add(WIDGETS, "a", 1);
    client.delete(&path(WIDGETS, "a"));
    let second = client.add(WIDGETS, "a", 1);
    let mut write = second.clone();
    write["metadata"]["uid"] = first["metadata"]["uid"].clone();
    assert_eq!(reason(&client.replace(&path(WIDGETS, "a"), &write)), (409, "Conflict"));
}

#[test]
fn a_write_that_changes_nothing_makes_no_version() {
    let mut client = Client::new();
    let widget = client.add(WIDGETS, "a", 1);
    assert_eq!(client.replace(&path(WIDGETS, "a"), &widget), (200, widget.clone()));
    assert_eq!(client.merge(&path(WIDGETS, "a"), &json!({"spec": {"size": 1}})), (200, widget.clone()));
    assert_eq!(client.replace(&path(WIDGETS, "a/status"), &widget), (200, widget.clone()));
    assert_eq!(client.server.version(), version(&widget));
}

#[test]
fn what_it_does_not_know_is_refused_and_not_guessed() {
    let mut client = Client::new();
    client.add(WIDGETS, "a", 1);
    let refused = |answer: (u16, Value)| assert!((400..500).contains(&answer.0), "{} {}", answer.0, answer.1);
    for path in [
        "/apis/example.dev/v1/namespaces/prod/gadgets",
        "/apis/example.dev/v2/namespaces/prod/widgets",
        "/apis/example.dev/v1/widgets/a",
        "/healthz",
        &format!("{WIDGETS}?labelSelector=a%3Db"),
        &format!("{WIDGETS}?limit=many"),
        &format!("{WIDGETS}/a/scale"),
    ] {
        refused(client.get(path));
    }
    refused(client.send(Method::POST, &path(WIDGETS, "a"), &json!({})));
    refused(client.create(WIDGETS, &json!({"metadata": {"generateName": "x-"}})));
    refused(client.create(WIDGETS, &json!({"metadata": {"name": "x", "finalizers": ["f"]}})));
    refused(client.create(WIDGETS, &json!({"kind": "Record", "metadata": {"name": "x"}})));
    refused(client.create(WIDGETS, &json!({"metadata": {"name": "x", "namespace": "other"}})));
    refused(client.create(WIDGETS, &json!(["no object"])));
    refused(client.create(&format!("{WIDGETS}?dryRun=All"), &json!({"metadata": {"name": "x"}})));
    assert_eq!(client.server.stored_all("widgets").count(), 1);
}

fn items(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

fn with_three() -> Client {
    let mut client = Client::new();
    for name in ["b", "a", "c"] {
        client.add(WIDGETS, name, 1);
    }
    client
}

#[test]
fn the_pages_of_a_list_are_of_one_version() {
    let mut client = with_three();
    let (_, first) = client.get(&format!("{WIDGETS}?limit=2"));
    assert_eq!((items(&first), &first["metadata"]["remainingItemCount"]), (vec!["a", "b"], &Value::from(1)));
    client.add(WIDGETS, "bb", 1);
    client.delete(&format!("{WIDGETS}/c"));
    let next = format!("{WIDGETS}?limit=2&continue={}", first["metadata"]["continue"].as_str().unwrap());
    let (_, second) = client.get(&next);
    assert_eq!((items(&second), version(&second)), (vec!["c"], version(&first)));
    assert!(second["metadata"]["continue"].is_null());
    client.server.compact(client.server.version());
    let (code, gone) = client.get(&next);
    assert_eq!((code, gone["reason"].as_str()), (410, Some("Expired")));
}

#[test]
fn a_list_in_the_past_says_of_when_it_is() {
    let mut client = with_three();
    let then = client.server.version();
    client.delete(&format!("{WIDGETS}/a"));
    let list = |client: &mut Client, version| {
        let request = http::Request::get(WIDGETS).body(Bytes::new()).unwrap();
        let Answer::Whole(answer) = client.server.handle_in_the_past(client.now, &request, version) else { panic!() };
        serde_json::from_slice::<Value>(answer.body()).unwrap()
    };
    let past = list(&mut client, then);
    assert_eq!((items(&past), version(&past)), (vec!["a", "b", "c"], then));
    assert_eq!(items(&list(&mut client, then - 2)), ["b"]);
    client.server.compact(then);
    assert_eq!(items(&list(&mut client, then)), ["a", "b", "c"], "the version that was compacted to is still known");
}

fn watch_path(after: u64) -> String {
    format!("{WIDGETS}?watch=true&timeoutSeconds=290&allowWatchBookmarks=true&resourceVersion={after}")
}

#[test]
fn lagging_cache_repeats_old_state_and_misses_nothing() {
    let mut client = Client::new();
    let versions = ["a", "b", "c"].map(|name| version(&client.add(WIDGETS, name, 1)));
    let begin = |client: &mut Client, asked: u64, past: u64| {
        let request = http::Request::get(watch_path(asked)).body(Bytes::new()).unwrap();
        let Answer::Watch(mut watch) = client.server.handle_in_the_past(client.now, &request, past) else { panic!() };
        client.events(&mut watch)
    };
    assert_eq!(begin(&mut client, versions[1], versions[0]), ["ADDED b", "ADDED c"]);
    assert_eq!(begin(&mut client, versions[0], versions[1]), ["ADDED b", "ADDED c"], "never later than was asked for");
}
