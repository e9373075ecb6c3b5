//! A watch: a place in the history, and what is to be sent from there.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::request::Request;
use super::store::{ChangeKind, Document, Key, Store};
use super::{Kind, Problem};

/// How long a watch lasts that names no time: the real one draws 30 to 60 minutes.
const LASTS_SECONDS: u32 = 30 * 60;
/// How often a bookmark is sent, as in the real one.
const BOOKMARK_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// A watch that was begun. Ask [`super::ApiServer::next`] for its lines.
#[derive(Debug)]
pub struct Watch {
    kind: Arc<Kind>,
    namespace: String,
    after: u64,
    /// The objects that exist already, for a watch that was begun without a version.
    initial: VecDeque<Arc<Document>>,
    bookmarks: bool,
    next_bookmark: Timestamp,
    ends: Timestamp,
    broken: bool,
}

/// What a watch has to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A change of an object, or what is there already.
    Event {
        /// The version that the change made.
        version: u64,
        /// The line.
        line: String,
    },
    /// A bookmark: everything up to here was sent.
    Bookmark(String),
    /// An error, after which it ends.
    Error(String),
    /// Nothing at present; unless something is written, ask again then.
    Nothing(Timestamp),
    /// It has ended.
    End,
}

impl Watch {
    /// `from` is the version after which changes are sent; without one, all objects are sent first.
    pub(crate) fn begin(now: Timestamp, request: &Request, from: Option<u64>, store: &Store) -> Self {
        let initial = if from.is_some() {
            VecDeque::new()
        } else {
            store.live().filter(|(key, _)| request.selects(key)).map(|(_, document)| Arc::clone(document)).collect()
        };
        let lasts = SignedDuration::from_secs(request.query.timeout_seconds.unwrap_or(LASTS_SECONDS).into());
        Self {
            kind: Arc::clone(&request.kind),
            namespace: request.namespace.clone(),
            after: from.unwrap_or(store.version()),
            initial,
            bookmarks: request.query.bookmarks,
            next_bookmark: later(now, BOOKMARK_EVERY),
            ends: later(now, lasts),
            broken: false,
        }
    }

    pub(crate) fn next(&mut self, store: &Store, now: Timestamp) -> Next {
        if self.broken || now >= self.ends {
            return Next::End;
        }
        if let Some(document) = self.initial.pop_front() {
            return Next::Event { version: self.after, line: line("ADDED", &document.text) };
        }
        let Some(mut changes) = store.changes_after(self.after) else {
            self.broken = true;
            return Next::Error(line("ERROR", &Problem::expired().status().to_string()));
        };
        if let Some(change) = changes.find(|change| self.selects(&change.key)) {
            let kind = match change.kind {
                ChangeKind::Added => "ADDED",
                ChangeKind::Modified => "MODIFIED",
                ChangeKind::Deleted => "DELETED",
            };
            let line = line(kind, &change.document.text);
            self.after = change.version;
            return Next::Event { version: self.after, line };
        }
        self.after = store.version();
        if !self.bookmarks {
            return Next::Nothing(self.ends);
        }
        if now < self.next_bookmark {
            return Next::Nothing(self.next_bookmark.min(self.ends));
        }
        self.next_bookmark = later(now, BOOKMARK_EVERY);
        let Kind { kind, .. } = &*self.kind;
        let metadata = json!({"resourceVersion": self.after.to_string()});
        let object = json!({"kind": kind, "apiVersion": self.kind.api_version(), "metadata": metadata});
        Next::Bookmark(line("BOOKMARK", &object.to_string()))
    }

    fn selects(&self, key: &Key) -> bool {
        key.plural == self.kind.plural && (self.namespace.is_empty() || key.namespace == self.namespace)
    }
}

fn line(kind: &str, object: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}
