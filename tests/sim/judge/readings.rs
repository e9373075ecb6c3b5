//! What each process was shown of the instances, and when.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use serde_json::Value;

use crate::plan::Ms;
use crate::scenario::NAMESPACE;
use crate::world::ProcessId;

/// An instance as an answer of `DescribeInstances` shows it; `None` where it is not in it.
pub type Shown = BTreeMap<String, Option<Value>>;

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
    pub fn add(&mut self, process: ProcessId, sent: Ms, at: Ms, shown: Shown) {
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

/// What an answer to a question for these instances shows of them.
pub fn shown(ids: &[String], answer: &Response<Bytes>) -> Shown {
    let answer: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let instances = answer["Instances"]["Instance"].as_array().cloned().unwrap_or_default();
    let of = |id: &String| instances.iter().find(|instance| instance["InstanceId"] == **id).cloned();
    ids.iter().map(|id| (id.clone(), of(id))).collect()
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
