//! A client that writes requests by hand, so that nothing comes between the tests and the rules.

use bytes::Bytes;
use ecs_simulator::api_server::{Answer, ApiServer, Kind, Next, Watch};
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// Namespaced, with a status subresource and a default for it.
pub const WIDGETS: &str = "/apis/example.dev/v1/namespaces/prod/widgets";
/// Namespaced, without a status subresource.
pub const RECORDS: &str = "/apis/example.dev/v1/namespaces/prod/records";

/// The server, a clock, and the requests that tests are made of.
pub struct Client {
    pub server: ApiServer,
    pub now: Timestamp,
}

fn crd(plural: &str, kind: &str, version: &Value) -> Kind {
    let names = json!({"plural": plural, "kind": kind});
    let spec = json!({"group": "example.dev", "names": names, "scope": "Namespaced", "versions": [version]});
    Kind::of_crd(&json!({"kind": "CustomResourceDefinition", "spec": spec})).unwrap()
}

impl Client {
    pub fn new() -> Self {
        let status = json!({"properties": {"status": {"default": {"phase": "New"}}}});
        let widgets = json!({"name": "v1", "subresources": {"status": {}}, "schema": {"openAPIV3Schema": status}});
        let kinds = [
            crd("widgets", "Widget", &widgets),
            crd("records", "Record", &json!({"name": "v1"})),
            Kind::secret(),
            Kind::lease(),
        ];
        Self { server: ApiServer::new(kinds, 7), now: "2026-11-24T05:21:07.25Z".parse().unwrap() }
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// The code and the object of an answer.
    pub fn send(&mut self, method: Method, path: &str, body: &Value) -> (u16, Value) {
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

    pub fn get(&mut self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, &Value::Null)
    }

    pub fn create(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::POST, path, body)
    }

    pub fn replace(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::PUT, path, body)
    }

    pub fn merge(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::PATCH, path, body)
    }

    pub fn delete(&mut self, path: &str) -> (u16, Value) {
        self.send(Method::DELETE, path, &json!({}))
    }

    /// Creates an object named `name` with `{"size": size}` as its spec, and returns it.
    pub fn add(&mut self, path: &str, name: &str, size: u32) -> Value {
        let (code, object) = self.create(path, &json!({"metadata": {"name": name}, "spec": {"size": size}}));
        assert_eq!(code, 201, "{object}");
        object
    }

    pub fn watch(&mut self, path: &str) -> Watch {
        let request = http::Request::get(path).body(Bytes::new()).unwrap();
        match self.server.handle(self.now, &request) {
            Answer::Watch(watch) => watch,
            Answer::Whole(response) => panic!("{path} is no watch: {:?}", response.body()),
        }
    }

    /// Every line that a watch has to send now: the type of the event and the object.
    pub fn lines(&self, watch: &mut Watch) -> Vec<(String, Value)> {
        let mut lines = Vec::new();
        loop {
            match self.server.next(watch, self.now) {
                Next::Event { line, .. } | Next::Bookmark(line) | Next::Error(line) => {
                    assert!(line.ends_with('\n') && line.lines().count() == 1, "one line each: {line:?}");
                    let mut event: Value = serde_json::from_str(&line).unwrap();
                    lines.push((event["type"].as_str().unwrap().to_owned(), event["object"].take()));
                }
                Next::Nothing(again) => {
                    assert!(again > self.now, "whoever asks again at once asks for ever");
                    return lines;
                }
                Next::End => {
                    lines.push(("END".to_owned(), Value::Null));
                    return lines;
                }
            }
        }
    }
}

/// The resourceVersion of an object or a list.
pub fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// The types and names of a watch's lines.
pub fn names(lines: &[(String, Value)]) -> Vec<String> {
    lines
        .iter()
        .map(|(kind, object)| format!("{kind} {}", object["metadata"]["name"].as_str().unwrap_or("-")))
        .collect()
}
