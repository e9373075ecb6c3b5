//! A request as the API server understands it: which resource, which object, which part of it, and the parameters.
//!
//! A parameter that it does not know is refused, since to overlook it would be to answer another question.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use http::Method;

use super::store::{Key, KeyId};
use super::{Kind, Part, Problem};

/// A request that makes sense.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) kind: Arc<Kind>,
    /// Empty for a cluster-scoped kind, and for all namespaces together.
    pub(crate) namespace: String,
    pub(crate) name: Option<String>,
    pub(crate) part: Part,
    pub(crate) query: Query,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

/// The parameters of a list or watch.
#[derive(Default)]
pub(crate) struct Query {
    pub(crate) watch: bool,
    pub(crate) limit: Option<usize>,
    /// Where an earlier page ended, and at which version the list is.
    pub(crate) after: Option<(u64, KeyId)>,
    pub(crate) version: Option<u64>,
    pub(crate) exact: bool,
    pub(crate) bookmarks: bool,
    pub(crate) timeout_seconds: Option<u32>,
}

impl Request {
    pub(crate) fn read(kinds: &[Arc<Kind>], request: &http::Request<Bytes>) -> Result<Self, Problem> {
        let path: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
        let (group, rest) = match path.as_slice() {
            ["api", rest @ ..] => ("", rest),
            ["apis", group, rest @ ..] => (*group, rest),
            _ => return Err(Problem::unknown_path()),
        };
        let (version, namespace, rest) = match rest {
            [version, "namespaces", namespace, rest @ ..] if !rest.is_empty() => (version, Some(*namespace), rest),
            [version, rest @ ..] => (version, None, rest),
            [] => return Err(Problem::unknown_path()),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some(*name), None),
            [plural, name, subresource] => (plural, Some(*name), Some(*subresource)),
            _ => return Err(Problem::unknown_path()),
        };
        let served = |kind: &&Arc<Kind>| kind.group == group && kind.version == *version && kind.plural == *plural;
        let kind = kinds.iter().find(served).cloned().ok_or_else(Problem::unknown_path)?;
        // Without a namespace, a namespaced resource can be listed and watched, in all of them together.
        let whole_cluster = kind.namespaced && namespace.is_none() && name.is_none() && request.method() == Method::GET;
        if kind.namespaced != namespace.is_some() && !whole_cluster {
            return Err(Problem::unknown_path());
        }
        let part = match subresource {
            None => Part::Main,
            Some("status") if kind.has_status && request.method() != Method::DELETE => Part::Status,
            Some(_) => return Err(Problem::unknown_path()),
        };
        let content_type = request.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Ok(Self {
            method: request.method().clone(),
            namespace: namespace.unwrap_or_default().to_owned(),
            name: name.map(str::to_owned),
            part,
            query: Query::read(request.uri().query().unwrap_or_default())?,
            content_type: content_type.unwrap_or_default().to_owned(),
            body: request.body().clone(),
            kind,
        })
    }

    pub(crate) fn key(&self, name: &str) -> Key {
        Key::new(&self.kind.plural, &self.namespace, name)
    }

    /// Whether a list or watch of this request shows the object.
    pub(crate) fn selects(&self, key: &Key) -> bool {
        key.plural == self.kind.plural && (self.namespace.is_empty() || key.namespace == self.namespace)
    }
}

impl Query {
    fn read(query: &str) -> Result<Self, Problem> {
        let mut read = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let invalid = || Problem::bad_request(format!("invalid value {value:?} of parameter {name}"));
            match (&*name, &*value) {
                ("watch" | "allowWatchBookmarks", "true" | "false" | "1" | "0") => {
                    let is_on = matches!(&*value, "true" | "1");
                    if name == "watch" { read.watch = is_on } else { read.bookmarks = is_on }
                }
                ("limit", _) => read.limit = Some(value.parse().map_err(|_| invalid())?).filter(|limit| *limit > 0),
                ("continue", _) => read.after = Some(read_continue_token(&value).ok_or_else(invalid)?),
                // Version 0 means "whatever is at hand", as no version does; "not older than" is what the newest never is; and
                // who writes is kept in managedFields only, which this server does not have.
                ("resourceVersion", "" | "0") | ("resourceVersionMatch", "NotOlderThan") | ("fieldManager", _) => {}
                ("resourceVersion", _) => read.version = Some(value.parse().map_err(|_| invalid())?),
                ("resourceVersionMatch", "Exact") => read.exact = true,
                ("timeoutSeconds", _) => read.timeout_seconds = Some(value.parse().map_err(|_| invalid())?),
                _ => return Err(Problem::not_served(&format!("the parameter {name}={value}"))),
            }
        }
        Ok(read)
    }
}

pub(crate) fn continue_token(version: u64, last: &KeyId) -> String {
    BASE64.encode(format!("{version}/{}/{}", last.0, last.1))
}

fn read_continue_token(token: &str) -> Option<(u64, KeyId)> {
    let text = String::from_utf8(BASE64.decode(token).ok()?).ok()?;
    let [version, namespace, name] = text.split('/').collect::<Vec<_>>().try_into().ok()?;
    Some((version.parse().ok()?, (namespace.to_owned(), name.to_owned())))
}
