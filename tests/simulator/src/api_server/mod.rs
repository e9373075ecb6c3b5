//! A Kubernetes API server as far as `ecs-password-reset` uses one, in memory, for tests in virtual time. Never shipped.
//!
//! Like [`crate::Core`] it is a value that does no I/O: requests in, answers out, the present moment as an argument, and
//! every uid from a seed. A watch is a cursor that its caller asks for the next line, so the caller decides when a line
//! travels, and whether. It shares no code with the controller and does not know `kube`.
//!
//! ```text
//! request ─▶ request (who, what) ─▶ write (what the object becomes) ─▶ store (one version per change, all remembered)
//!                                                                        └──▶ list, at any version  └──▶ watch (a cursor)
//! ```
//! What it does: get, list with `limit` and `continue`, create, replace, merge-patch and delete with Kubernetes' rules for
//! resourceVersion, generation, uid and the status subresource; watches with bookmarks, `timeoutSeconds` and 410.
//! What it does not know is refused in words and never guessed: selectors, server-side apply, finalizers, dry runs. It has
//! no schemas, no RBAC and no Namespaces; `tests/control-plane` is for those.

mod kind;
mod problem;
mod request;
mod store;
mod watch;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::random::Random;
use problem::Problem;
use request::{Query, Request};
use store::{Key, Store};
use write::Body;

pub use kind::{Kind, Replace};
pub use store::{Change, ChangeKind};
pub use watch::{Next, Watch};

/// All state of the API server.
pub struct ApiServer {
    kinds: Vec<Arc<Kind>>,
    store: Store,
    random: Random,
}

/// What a request came to.
pub enum Answer {
    /// The whole answer.
    Whole(http::Response<Bytes>),
    /// A watch was begun: answer 200 and send its lines as [`ApiServer::next`] gives them.
    Watch(Watch),
}

impl ApiServer {
    /// Serves `kinds`, with nothing stored. The same seed gives the same uids.
    pub fn new(kinds: impl IntoIterator<Item = Kind>, seed: u64) -> Self {
        let kinds = kinds.into_iter().map(Arc::new).collect();
        Self { kinds, store: Store::default(), random: Random::new(seed) }
    }

    /// Carries out a request.
    pub fn handle(&mut self, now: Timestamp, request: &http::Request<Bytes>) -> Answer {
        self.serve(now, request, None)
    }

    /// The same, except that lists show, and watches begin at, an earlier version, as those of a cache that lags. Gets and
    /// writes know no past.
    pub fn handle_in_the_past(&mut self, now: Timestamp, request: &http::Request<Bytes>, version: u64) -> Answer {
        self.serve(now, request, Some(version))
    }

    fn serve(&mut self, now: Timestamp, request: &http::Request<Bytes>, past: Option<u64>) -> Answer {
        let result = Request::read(&self.kinds, request).and_then(|request| match (&request.method, &request.name) {
            (&Method::GET, None) if request.query.watch => self.watch(now, &request, past).map(Answer::Watch),
            (&Method::GET, None) => self.list(&request, past),
            (&Method::GET, Some(name)) => self.get(&request, name),
            (&Method::POST, None) => self.create(now, &request),
            (&Method::PUT, Some(name)) => self.change(&request, name, Body::replacing),
            (&Method::PATCH, Some(name)) => self.change(&request, name, Body::merged_into),
            (&Method::DELETE, Some(name)) => self.delete(&request, name),
            _ => Err(Problem::method_not_allowed()),
        });
        result.unwrap_or_else(|problem| Answer::Whole(problem.response()))
    }

    fn get(&self, request: &Request, name: &str) -> Result<Answer, Problem> {
        let key = request.key(name);
        let document = self.store.get(&key).ok_or_else(|| Problem::not_found(&request.kind, name))?;
        Ok(whole(StatusCode::OK, document.text.clone()))
    }

    fn list(&self, request: &Request, past: Option<u64>) -> Result<Answer, Problem> {
        let Query { limit, after, version, exact, .. } = &request.query;
        let at = match after {
            Some((version, _)) => *version,
            None if *exact => version.unwrap_or_default(),
            None => past.unwrap_or(self.store.version()),
        };
        if at > self.store.version() || version.is_some_and(|least| least > self.store.version()) {
            return Err(Problem::from_the_future());
        }
        let all = self.store.at(at).ok_or_else(Problem::expired)?;
        let begun = after.as_ref().map(|(_, name)| name);
        let mut rest =
            all.iter().filter(|(key, _)| request.selects(key) && begun.is_none_or(|begun| key.id() > *begun));
        let page: Vec<_> = rest.by_ref().take(limit.unwrap_or(usize::MAX)).collect();
        let left = rest.count();
        let metadata = match page.last() {
            Some((last, _)) if left > 0 => json!({
                "resourceVersion": at.to_string(),
                "continue": request::continue_token(at, &last.id()),
                "remainingItemCount": left,
            }),
            _ => json!({"resourceVersion": at.to_string()}),
        };
        let items = page.iter().map(|(_, document)| document.text.as_str()).collect::<Vec<_>>().join(",");
        let Kind { kind, .. } = &*request.kind;
        let version = json!(request.kind.api_version());
        let text = format!(r#"{{"kind":"{kind}List","apiVersion":{version},"metadata":{metadata},"items":[{items}]}}"#);
        Ok(whole(StatusCode::OK, text))
    }

    fn watch(&self, now: Timestamp, request: &Request, past: Option<u64>) -> Result<Watch, Problem> {
        let asked = request.query.version;
        let from = past.map_or(asked, |past| Some(asked.map_or(past, |asked| asked.min(past))));
        if from.is_some_and(|version| version > self.store.version()) {
            return Err(Problem::from_the_future());
        }
        Ok(Watch::begin(now, request, from, &self.store))
    }

    /// The next line of a watch, if it has one.
    pub fn next(&self, watch: &mut Watch, now: Timestamp) -> Next {
        watch.next(&self.store, now)
    }

    fn create(&mut self, now: Timestamp, request: &Request) -> Result<Answer, Problem> {
        let body = Body::read(request)?;
        let name = body.name()?;
        let key = request.key(&name);
        if self.store.get(&key).is_some() {
            return Err(Problem::already_exists(&request.kind, &name));
        }
        let uid = self.random.request_id().to_lowercase();
        let created = body.created(&key, &uid, now)?;
        Ok(whole(StatusCode::CREATED, self.store.put(key, created).text.clone()))
    }

    fn change(
        &mut self,
        request: &Request,
        name: &str,
        change: impl FnOnce(Body, &Value, Part) -> Result<Value, Problem>,
    ) -> Result<Answer, Problem> {
        let body = Body::read(request)?;
        let key = request.key(name);
        let stored = self.store.get(&key).ok_or_else(|| Problem::not_found(&request.kind, name))?;
        let changed = change(body, &stored.value, request.part)?;
        Ok(whole(StatusCode::OK, self.store.put(key, changed).text.clone()))
    }

    fn delete(&mut self, request: &Request, name: &str) -> Result<Answer, Problem> {
        let key = request.key(name);
        let gone = self.store.remove(&key).ok_or_else(|| Problem::not_found(&request.kind, name))?;
        let details = json!({"name": name, "group": request.kind.group, "kind": request.kind.plural, "uid": gone.value.pointer("/metadata/uid")});
        let status =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
        Ok(whole(StatusCode::OK, status.to_string()))
    }
}

/// What of an object a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything, except a status that is a subresource.
    Main,
    /// The status subresource.
    Status,
}

/// What only a test may ask and do.
impl ApiServer {
    /// The newest resourceVersion.
    pub fn version(&self) -> u64 {
        self.store.version()
    }

    /// An object as it is stored.
    pub fn stored(&self, plural: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.store.get(&Key::new(plural, namespace, name)).map(|document| &document.value)
    }

    /// All objects of a resource, in the order of namespace and name.
    pub fn stored_all<'a>(&'a self, plural: &'a str) -> impl Iterator<Item = &'a Value> {
        self.store.live().filter(move |(key, _)| key.plural == plural).map(|(_, document)| &document.value)
    }

    /// Every change that was not compacted away, oldest first.
    pub fn changes(&self) -> impl DoubleEndedIterator<Item = &Change> {
        self.store.changes()
    }

    /// Forgets all versions before `version`: lists and watches that ask for one are answered 410.
    pub fn compact(&mut self, version: u64) {
        self.store.compact(version);
    }
}

fn whole(status: StatusCode, text: String) -> Answer {
    Answer::Whole(json_response(status, text))
}

fn json_response(status: StatusCode, text: String) -> http::Response<Bytes> {
    let mut response = http::Response::new(Bytes::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
