//! An object as the API server has it, also one in a form that this version cannot read: that one stops no other. Its JSON is parsed
//! once; only where that fails its metadata is taken out.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::error_boundary::InvalidObject;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// An object, or why it cannot be read. kube's `DeserializeGuard` does the same by way of a tree of values and a copy of it.
#[derive(Clone, Debug)]
pub struct Guarded<K>(pub Result<K, InvalidObject>);

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Metadata {
            #[serde(default)]
            metadata: ObjectMeta,
        }

        let json = <&RawValue>::deserialize(deserializer)?.get();
        serde_json::from_str(json).map(Ok).map_or_else(
            |error| {
                let Metadata { metadata } = serde_json::from_str(json).map_err(D::Error::custom)?;
                Ok(Self(Err(InvalidObject { error: without_place(&error.to_string()), metadata })))
            },
            |object| Ok(Self(object)),
        )
    }
}

/// The parser ends with the place in the text. It differs from version to version of the object, and would make a new message of each.
fn without_place(error: &str) -> String {
    error.rsplit_once(" at line ").map_or(error, |(what, _)| what).to_owned()
}

impl<K: Resource> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(kind: &K::DynamicType) -> Cow<'_, str> {
        K::kind(kind)
    }

    fn group(kind: &K::DynamicType) -> Cow<'_, str> {
        K::group(kind)
    }

    fn version(kind: &K::DynamicType) -> Cow<'_, str> {
        K::version(kind)
    }

    fn plural(kind: &K::DynamicType) -> Cow<'_, str> {
        K::plural(kind)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|invalid| &invalid.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|invalid| &mut invalid.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use kube::core::{ObjectList, WatchEvent};

    use super::*;
    use crate::api::password_reset::PasswordReset;

    const GOOD: &str = r#"{"metadata": {"name": "web"}, "spec": {"regionID": "cn-hangzhou", "instanceIDs": ["i-1"],
        "passwordSecretRef": {"name": "web"}}}"#;
    const BAD: &str = r#"{"metadata": {"name": "web"}, "spec": {"regionID": 7}}"#;

    fn listed(items: &str) -> Vec<Guarded<PasswordReset>> {
        let list = format!(r#"{{"kind": "List", "apiVersion": "v1", "metadata": {{}}, "items": [{items}]}}"#);
        serde_json::from_str::<ObjectList<_>>(&list).unwrap().items
    }

    #[test]
    fn an_unreadable_object_does_not_hide_the_others_of_a_list() {
        let items = listed(&format!("{GOOD}, {BAD}, {GOOD}"));
        assert_eq!(items.iter().map(|item| item.0.is_ok()).collect::<Vec<_>>(), [true, false, true]);
        assert!(items.iter().all(|item| item.meta().name.as_deref() == Some("web")));
    }

    #[test]
    fn watch_events_are_read_as_lists_are() {
        for (object, is_readable) in [(GOOD, true), (BAD, false)] {
            let line = format!(r#"{{"type": "MODIFIED", "object": {object}}}"#);
            let WatchEvent::Modified(Guarded(read)) = serde_json::from_str::<WatchEvent<_>>(&line).unwrap() else {
                panic!("{line}")
            };
            assert_eq!(read.map(|it: PasswordReset| it.metadata.name).is_ok(), is_readable);
        }
    }

    #[test]
    fn the_reason_does_not_depend_on_where_in_the_object_it_is() {
        let why = |text: &str| listed(text).remove(0).0.unwrap_err().error;
        assert_eq!(why(BAD), why(&BAD.replace("web", "a-longer-name")));
        assert_eq!(why(BAD), "invalid type: integer `7`, expected a string");
    }
}
