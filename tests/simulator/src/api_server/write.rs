//! What an object becomes by a write: Kubernetes' rules for metadata, generation, status and resourceVersion. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::kind::Replace;
use super::request::Request;
use super::store::Key;
use super::{Kind, Part, Problem};

type Fields = Map<String, Value>;

/// What a write cannot change.
const FIXED: [&str; 6] = ["name", "namespace", "uid", "creationTimestamp", "generation", "resourceVersion"];

/// The object, or the change of one, that a request carries; its metadata stand by themselves.
pub(crate) struct Body {
    kind: Arc<Kind>,
    metadata: Fields,
    fields: Fields,
}

impl Body {
    pub(crate) fn read(request: &Request) -> Result<Self, Problem> {
        let is_patch = request.method == http::Method::PATCH;
        let expected = if is_patch { "application/merge-patch+json" } else { "application/json" };
        if request.content_type != expected {
            return Err(Problem::not_served(&format!("the content type {:?} here", request.content_type)));
        }
        let Ok(Value::Object(fields)) = serde_json::from_slice(&request.body) else {
            return Err(Problem::bad_request("the body is no JSON object"));
        };
        let differs = |field: &str, wanted: &str| fields.get(field).is_some_and(|value| *value != wanted);
        if differs("kind", &request.kind.kind) || differs("apiVersion", &request.kind.api_version()) {
            return Err(Problem::bad_request("the object in the body is of another kind than the path"));
        }
        let body = Self::of(&request.kind, fields);
        if let Some(unknown) = ["generateName", "finalizers"].into_iter().find(|field| body.names(field)) {
            return Err(Problem::not_served(unknown));
        }
        let elsewhere = |field: &str, wanted: &str| body.text(field).is_some_and(|value| value != wanted);
        let other_name = request.name.as_ref().is_some_and(|name| elsewhere("name", name));
        if other_name || elsewhere("namespace", &request.namespace) {
            return Err(Problem::bad_request("the object in the body has another name or namespace than the path"));
        }
        Ok(body)
    }

    fn of(kind: &Arc<Kind>, mut fields: Fields) -> Self {
        let metadata = match fields.remove("metadata") {
            Some(Value::Object(metadata)) => metadata,
            _ => Fields::new(),
        };
        Self { kind: Arc::clone(kind), metadata, fields }
    }

    fn names(&self, field: &str) -> bool {
        self.metadata.get(field).is_some_and(|value| !value.is_null() && *value != "")
    }

    /// A text of the metadata; an empty one counts as not there.
    fn text(&self, field: &str) -> Option<&str> {
        self.metadata.get(field)?.as_str().filter(|text| !text.is_empty())
    }

    pub(crate) fn name(&self) -> Result<String, Problem> {
        let name = self.text("name").map(str::to_owned);
        name.ok_or_else(|| Problem::invalid("metadata.name: Required value: name is required"))
    }

    /// A new object.
    pub(crate) fn created(mut self, key: &Key, uid: &str, now: Timestamp) -> Result<Value, Problem> {
        if self.text("resourceVersion").is_some() {
            return Err(Problem::bad_request("resourceVersion should not be set on objects to be created"));
        }
        if self.kind.has_status {
            set(&mut self.fields, "status", self.kind.default_status.clone());
        }
        // To the second, as `metav1.Time` is written.
        let created = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        for (field, value) in [
            ("name", Some(json!(key.name))),
            ("namespace", self.kind.namespaced.then(|| json!(key.namespace))),
            ("uid", Some(json!(uid))),
            ("creationTimestamp", Some(json!(created))),
            ("generation", self.kind.has_generation.then(|| json!(1))),
            ("resourceVersion", None),
        ] {
            set(&mut self.metadata, field, value);
        }
        Ok(self.object())
    }

    /// `stored` after it, or its status, was replaced.
    pub(crate) fn replacing(self, stored: &Value, part: Part) -> Result<Value, Problem> {
        if self.text("resourceVersion").is_none() && self.kind.replace == Replace::Named {
            return Err(Problem::invalid(
                "metadata.resourceVersion: Invalid value: 0: must be specified for an update",
            ));
        }
        self.check_preconditions(stored)?;
        Ok(self.written(stored, part))
    }

    /// `stored` after the change was merged into it, by RFC 7386.
    pub(crate) fn merged_into(self, stored: &Value, part: Part) -> Result<Value, Problem> {
        self.check_preconditions(stored)?;
        let kind = Arc::clone(&self.kind);
        let Value::Object(mut merged) = stored.clone() else { return Ok(stored.clone()) };
        merge(&mut merged, self.fields);
        merge(&mut merged, Fields::from_iter([("metadata".to_owned(), Value::Object(self.metadata))]));
        Ok(Self::of(&kind, merged).written(stored, part))
    }

    fn check_preconditions(&self, stored: &Value) -> Result<(), Problem> {
        let is_other =
            |field: &str| self.text(field).is_some_and(|value| metadata(stored, field) != Some(&json!(value)));
        if is_other("uid") {
            return Err(Problem::conflict("the object was deleted and created again; its uid is another"));
        }
        if is_other("resourceVersion") {
            return Err(Problem::conflict("the object has been modified; apply your changes to the latest version"));
        }
        Ok(())
    }

    /// What a write makes of `stored`, as far as it reaches.
    fn written(mut self, stored: &Value, part: Part) -> Value {
        if part == Part::Status {
            let status = self.fields.remove("status");
            let Value::Object(mut whole) = stored.clone() else { return stored.clone() };
            set(&mut whole, "status", status);
            return Value::Object(whole);
        }
        if self.kind.has_status {
            set(&mut self.fields, "status", stored.get("status").cloned());
        }
        for field in FIXED {
            set(&mut self.metadata, field, metadata(stored, field).cloned());
        }
        let generation = metadata(stored, "generation").and_then(Value::as_i64);
        if let Some(generation) = generation.filter(|_| self.differs_in_content(stored)) {
            set(&mut self.metadata, "generation", Some(json!(generation + 1)));
        }
        self.object()
    }

    /// In anything but metadata, and but a status that is a subresource: that one is the stored one here.
    fn differs_in_content(&self, stored: &Value) -> bool {
        let is_content = |field: &String| !["kind", "apiVersion", "metadata"].contains(&field.as_str());
        let stored = stored.as_object().into_iter().flatten().filter(|(field, _)| is_content(field));
        !stored.eq(self.fields.iter().filter(|(field, _)| is_content(field)))
    }

    fn object(self) -> Value {
        let Self { kind, metadata, mut fields } = self;
        set(&mut fields, "metadata", Some(Value::Object(metadata)));
        set(&mut fields, "kind", Some(json!(kind.kind)));
        set(&mut fields, "apiVersion", Some(json!(kind.api_version())));
        Value::Object(fields)
    }
}

fn metadata<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    object.get("metadata")?.get(field)
}

fn set(fields: &mut Fields, field: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(fields.insert(field.to_owned(), value)),
        None => drop(fields.remove(field)),
    }
}

fn merge(target: &mut Fields, patch: Fields) {
    for (field, value) in patch {
        match value {
            Value::Null => drop(target.remove(&field)),
            Value::Object(patch) => {
                let inner = target.entry(field).or_insert(Value::Null);
                if !inner.is_object() {
                    *inner = Value::Object(Fields::new());
                }
                if let Some(inner) = inner.as_object_mut() {
                    merge(inner, patch);
                }
            }
            value => drop(target.insert(field, value)),
        }
    }
}
