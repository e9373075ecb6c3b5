//! The least time that a run can take: by what ECS allows, by the account's own rate, and by what this API server can write.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{self, Api};
use crate::world::LATENCY_MILLISECONDS;

/// Writes of a record for one restart, which the protocol needs.
const WRITES: f64 = 6.0;
/// Calls in flight that the formula allows.
const IN_FLIGHT: usize = 64;

/// `T_min` without a quota: describe, change and restart with 64 calls in flight, then the restart itself.
pub fn unlimited(instances: usize, restart_seconds: f64) -> f64 {
    let latency = LATENCY_MILLISECONDS as f64 / 1_000.0;
    let calls = 2.0 * latency + instances.div_ceil(IN_FLIGHT) as f64 * latency;
    restart_seconds + calls + latency
}

/// The same with the account's rate: one second's worth at once, and then the rate, for each kind of call.
pub fn own_rate(instances: usize, restart_seconds: f64, calls_per_second: u32) -> f64 {
    let (latency, rate) = (LATENCY_MILLISECONDS as f64 / 1_000.0, f64::from(calls_per_second));
    let paced = (instances as f64 - rate).max(0.0) / rate + restart_seconds + 3.0 * latency;
    paced.max(unlimited(instances, restart_seconds))
}

/// The time in which a bare client writes as many records as a run has to, on this API server and at this moment, and the milliseconds
/// for each. It changes the records of a run that is over, so the controller must have ended.
pub fn writing(api: &Api, instances: usize) -> (f64, f64) {
    let list = api.get(&format!("{}?limit=300", api::records()));
    let records = list["items"].as_array().unwrap().iter().map(|record| {
        let mut record = record.clone();
        record["apiVersion"] = list["apiVersion"].clone();
        record["kind"] = json!("ResetRecord");
        record["metadata"]["annotations"]["bench/touched"] = json!("yes");
        let name = record["metadata"]["name"].as_str().unwrap().to_owned();
        (format!("{}/{name}", api::records()), record)
    });
    let records: Vec<(String, Value)> = records.collect();
    let (count, began) = (records.len() as f64, Instant::now());
    api.send_all(&Method::PUT, records);
    let each = began.elapsed().as_secs_f64() / count;
    (each * WRITES * instances as f64, each * 1_000.0)
}
