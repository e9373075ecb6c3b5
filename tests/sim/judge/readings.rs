//! What each process was shown of the instances, and when.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use serde_json::Value;

use super::selection::Page;
use crate::plan::Ms;
use crate::scenario::NAMESPACE;
use crate::world::ProcessId;

/// What an answer of `DescribeInstances` shows.
pub enum Shown {
    /// Of the instances that were asked for: each as it is; `None` where it is not there.
    Instances(BTreeMap<String, Option<Value>>),
    /// Of all that match.
    Page(Page),
}

/// A reading that has reached its process.
pub struct Delivered {
    pub sent: Ms,
    at: Ms,
    pub shows: Option<Value>,
}

/// All readings that have reached a process.
#[derive(Default)]
pub struct Readings(BTreeMap<(ProcessId, String), Vec<Delivered>>);

impl Readings {
    /// An answer has reached a process.
    pub fn add(&mut self, process: ProcessId, sent: Ms, at: Ms, shown: BTreeMap<String, Option<Value>>) {
        for (id, shows) in shown {
            self.0.entry((process, id)).or_default().push(Delivered { sent, at, shows });
        }
    }

    /// The reading by which a process goes at `now`. One that has arrived in that very millisecond may have come too late for
    /// it, so there may be two.
    pub fn latest(&self, process: ProcessId, instance_id: &str, now: Ms) -> impl Iterator<Item = &Delivered> {
        let all = self.0.get(&(process, instance_id.to_owned())).map_or(&[][..], Vec::as_slice);
        let last = |is_there: fn(Ms, Ms) -> bool| all.iter().rfind(|reading| is_there(reading.at, now));
        last(|at, now| at <= now).into_iter().chain(last(|at, now| at < now))
    }
}

/// What an answer to a question for these instances shows of them. One page of several tells nothing of those that it lacks.
pub fn shown(ids: &[String], answer: &Response<Bytes>) -> BTreeMap<String, Option<Value>> {
    let answer: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let instances = answer["Instances"]["Instance"].as_array().cloned().unwrap_or_default();
    let of = |id: &String| instances.iter().find(|instance| instance["InstanceId"] == **id).cloned();
    let is_whole = answer["TotalCount"].as_u64() == Some(instances.len() as u64);
    ids.iter().map(|id| (id.clone(), of(id))).filter(|(_, shows)| is_whole || shows.is_some()).collect()
}

/// Whether the rules of an account let an instance that looks so be reset; without rules every one.
pub fn permits(rules: &Value, instance: &Value) -> bool {
    let Some(rules) = rules.as_array() else { return true };
    let tags = instance["Tags"]["Tag"].as_array().cloned().unwrap_or_default();
    let has = |key: &String, value: &Value| tags.iter().any(|tag| tag["TagKey"] == **key && tag["TagValue"] == *value);
    rules.iter().any(|rule| {
        rule["namespaces"].as_array().is_none_or(|names| names.iter().any(|name| name == NAMESPACE))
            && rule["instanceTags"].as_object().into_iter().flatten().all(|(key, value)| has(key, value))
    })
}
