//! Requests for the kinds that a reset touches, as the API server counts them itself.

use std::collections::BTreeMap;

/// Requests by verb and resource, such as `PUT` and `passwordresets/status`.
pub struct Requests(BTreeMap<(String, String), f64>);

const KINDS: [&str; 4] = ["passwordresets", "resetrecords", "secrets", "events"];

impl Requests {
    /// What the API server's `/metrics` say.
    pub fn read(metrics: &str) -> Self {
        let mut counts = BTreeMap::new();
        for line in metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let label = |name: &str| {
                let (_, rest) = series.split_once(&format!(",{name}=\"")).unwrap_or(("", "\""));
                rest.split('"').next().unwrap_or("").to_owned()
            };
            let (resource, part) = (label("resource"), label("subresource"));
            if KINDS.contains(&&*resource) {
                let resource = if part.is_empty() { resource } else { format!("{resource}/{part}") };
                *counts.entry((label("verb"), resource)).or_default() += value.parse::<f64>().unwrap();
            }
        }
        Self(counts)
    }

    /// What came since.
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |key| before.0.get(key).copied().unwrap_or(0.0);
        Self(self.0.iter().map(|(key, value)| (key.clone(), value - earlier(key))).collect())
    }

    /// Reads of a kind, by name.
    pub fn gets(&self, resource: &str) -> f64 {
        self.of("GET", resource)
    }

    /// Writes of a kind or subresource.
    pub fn writes(&self, resource: &str) -> f64 {
        ["PUT", "POST", "PATCH"].iter().map(|verb| self.of(verb, resource)).sum()
    }

    /// Reads of objects, records and Secrets.
    pub fn all_gets(&self) -> f64 {
        KINDS.iter().map(|kind| self.gets(kind)).sum()
    }

    /// What the controller writes: records, statuses and events. Users write objects.
    pub fn all_writes(&self) -> f64 {
        ["resetrecords", "resetrecords/status", "passwordresets/status", "events"]
            .iter()
            .map(|kind| self.writes(kind))
            .sum()
    }

    fn of(&self, verb: &str, resource: &str) -> f64 {
        self.0.get(&(verb.to_owned(), resource.to_owned())).copied().unwrap_or(0.0)
    }
}
