//! A served kind: one resource of the API, and which of Kubernetes' rules hold for it.

use serde_json::Value;

/// Which version a replace may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Only the one that it names.
    Named,
    /// Any, if it names none.
    Any,
}

/// One resource. Tests take the custom ones from the CRDs themselves, see [`Kind::of_crd`].
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    /// Its group; empty for the core group.
    pub group: String,
    /// Its version.
    pub version: String,
    /// Its name in paths.
    pub plural: String,
    /// Its name in objects.
    pub kind: String,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// Whether a generation counts its changes: so for every custom resource, and for none of the built-in ones here.
    pub has_generation: bool,
    /// Whether the status is a subresource, written by itself.
    pub has_status: bool,
    /// The status that an object begins with, by default of its schema.
    pub default_status: Option<Value>,
    /// Whether a replace must name the version that it replaces.
    pub replace: Replace,
}

impl Kind {
    /// A built-in, namespaced resource without generation and status subresource, replaced by resourceVersion only.
    pub fn built_in(group: &str, version: &str, plural: &str, kind: &str) -> Self {
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
            kind: kind.to_owned(),
            namespaced: true,
            has_generation: false,
            has_status: false,
            default_status: None,
            replace: Replace::Named,
        }
    }

    /// `v1` Secrets.
    pub fn secret() -> Self {
        Self { replace: Replace::Any, ..Self::built_in("", "v1", "secrets", "Secret") }
    }

    /// `coordination.k8s.io/v1` Leases.
    pub fn lease() -> Self {
        Self::built_in("coordination.k8s.io", "v1", "leases", "Lease")
    }

    /// `events.k8s.io/v1` Events.
    pub fn event() -> Self {
        Self { replace: Replace::Any, ..Self::built_in("events.k8s.io", "v1", "events", "Event") }
    }

    /// The resource that a `CustomResourceDefinition` with one version defines; `None`: it is none.
    pub fn of_crd(crd: &Value) -> Option<Self> {
        let text = |path: &str| crd.pointer(path)?.as_str().map(str::to_owned);
        let [version] = crd.pointer("/spec/versions")?.as_array()?.as_slice() else { return None };
        Some(Self {
            group: text("/spec/group")?,
            version: text("/spec/versions/0/name")?,
            plural: text("/spec/names/plural")?,
            kind: text("/spec/names/kind")?,
            namespaced: text("/spec/scope")? == "Namespaced",
            has_generation: true,
            has_status: version.pointer("/subresources/status").is_some(),
            default_status: version.pointer("/schema/openAPIV3Schema/properties/status/default").cloned(),
            replace: Replace::Named,
        })
    }

    /// Such as `events.k8s.io/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Such as `leases.coordination.k8s.io`, as messages name it.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }
}
