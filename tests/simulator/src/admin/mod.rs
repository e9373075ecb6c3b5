//! What people and scripts may do to the simulated world over HTTP, under `/simulator/`.
//!
//! It shows no password and no key; it only says whether a given one is the instance's.

mod identities;

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::answer::Refusal;
use crate::core::Core;
use crate::fault::Rule;
use crate::instance::Instance;
use crate::listener::Shared;
use crate::machine::Machine;
use crate::time::to_minute;

/// Where the admin API begins; ECS itself lives at `/`.
pub(crate) const PREFIX: &str = "/simulator/";

type Response = http::Response<Bytes>;

/// `advanceSeconds` of POST clock.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClockChange {
    advance_seconds: f64,
}

/// Body of POST instances/ID/lock.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lock {
    reason: String,
}

/// Body of POST instances/ID/password. No `Debug`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Guess {
    equals: String,
}

pub(crate) fn respond(shared: &Arc<Shared>, request: &http::Request<Bytes>) -> Response {
    let path = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let query = request.uri().query().unwrap_or_default();
    let body = request.body();
    let now = shared.now();
    match (request.method().as_str(), parts.as_slice()) {
        ("GET", ["journal"]) => journal(&shared.core(), query),
        ("GET", ["instances"]) => list(&shared.core(), query),
        ("GET", ["clock"]) => answer(200, &json!({ "now": now })),
        ("POST", ["clock"]) => with(body, |change: ClockChange| {
            shared.advance(change.advance_seconds.max(0.0));
            answer(200, &json!({ "now": shared.now() }))
        }),
        ("POST", ["instances"]) => with(body, |instance: Instance| {
            shared.core().add_instance(now, instance);
            done()
        }),
        ("POST", ["faults"]) => with(body, |rule: Rule| {
            shared.core().inject(rule);
            done()
        }),
        ("DELETE", ["faults"]) => {
            shared.core().clear_faults();
            done()
        }
        ("POST", [thing]) if identities::THINGS.contains(thing) => {
            identities::post(&mut shared.core(), now, thing, body)
        }
        ("POST", ["instances", id, what]) => instance(&mut shared.core(), now, id, what, body),
        _ => problem(404, "no such thing under /simulator/: `ecs-simulator --help` lists what there is"),
    }
}

fn instance(core: &mut Core, now: Timestamp, id: &str, what: &str, body: &[u8]) -> Response {
    let result = match what {
        "start" => core.start(now, id),
        "stop" => core.stop(now, id),
        "reboot" => core.reboot(now, id),
        "power-off" => core.power_off(now, id),
        "hold" => core.hold(now, id),
        "release" => core.release(now, id),
        "lock" => return with(body, |lock: Lock| change(core, id, |spec| spec.locks.push(lock.reason))),
        "unlock" => return change(core, id, |spec| spec.locks.clear()),
        "password" => return with(body, |guess: Guess| compare(core, id, &guess)),
        _ => {
            return problem(
                404,
                "an instance knows start, stop, reboot, power-off, hold, release, lock, unlock and password",
            );
        }
    };
    result.map_or_else(|refusal| refused(&refusal), |()| done())
}

fn change(core: &mut Core, id: &str, change: impl FnOnce(&mut Instance)) -> Response {
    match core.instance_mut(id) {
        Some(spec) => {
            change(spec);
            done()
        }
        None => refused(&crate::actions::change::unknown_instance()),
    }
}

/// The one question about passwords that is answered.
fn compare(core: &Core, id: &str, guess: &Guess) -> Response {
    let same = |password: Option<&str>| password == Some(guess.equals.as_str());
    answer(200, &json!({ "inEffect": same(core.in_effect_password(id)), "pending": same(core.pending_password(id)) }))
}

/// `?after=SEQ` leaves out what was read before.
fn journal(core: &Core, query: &str) -> Response {
    let after = parameter(query, "after").and_then(|text| text.parse().ok()).unwrap_or(0);
    let entries: Vec<_> = core.journal().entries().iter().skip(after).collect();
    answer(200, &json!({ "entries": entries }))
}

/// A table for people; `?format=json` for scripts.
fn list(core: &Core, query: &str) -> Response {
    if parameter(query, "format").is_some_and(|format| format == "json") {
        let rows: Vec<_> = core.machines.values().map(row).collect();
        return answer(200, &json!({ "instances": rows }));
    }
    let mut table = String::new();
    let mut line = |cells: [&str; 8]| {
        let [id, name, region, status, start, pending, in_effect, locks] = cells;
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "{id:<24} {name:<16} {region:<15} {status:<9} {start:<18} {pending:<8} {in_effect:<10} {locks}"
        );
    };
    line(["INSTANCE", "NAME", "REGION", "STATUS", "STARTTIME", "PENDING", "IN EFFECT", "LOCKS"]);
    for machine in core.machines.values() {
        let (spec, yes_no) = (&machine.spec, |is: bool| if is { "yes" } else { "no" });
        let status = machine.status().to_string();
        let start = machine.start_time().map(to_minute).unwrap_or_default();
        let (pending, in_effect) = (yes_no(machine.pending().is_some()), yes_no(machine.in_effect().is_some()));
        let locks = spec.locks.join(",");
        line([&spec.instance_id, &spec.instance_name, &spec.region_id, &status, &start, pending, in_effect, &locks]);
    }
    write(200, "text/plain; charset=utf-8", table)
}

fn row(machine: &Machine) -> Value {
    json!({
        "instanceId": machine.spec.instance_id,
        "instanceName": machine.spec.instance_name,
        "regionId": machine.spec.region_id,
        "status": machine.status(),
        "startTime": machine.start_time().map(to_minute),
        "passwordPending": machine.pending().is_some(),
        "passwordInEffect": machine.in_effect().is_some(),
        "held": machine.is_held(),
        "locks": machine.spec.locks,
    })
}

fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Reads the body. Its text is not repeated in the complaint: it may hold a password.
fn with<T: DeserializeOwned>(body: &[u8], work: impl FnOnce(T) -> Response) -> Response {
    match serde_json::from_slice(body) {
        Ok(value) => work(value),
        Err(error) => problem(
            400,
            &format!("the body is not the JSON that this takes (line {}, column {})", error.line(), error.column()),
        ),
    }
}

fn done() -> Response {
    answer(200, &json!({}))
}

fn refused(refusal: &Refusal) -> Response {
    problem(refusal.http, &refusal.code)
}

fn problem(status: u16, what: &str) -> Response {
    answer(status, &json!({ "error": what }))
}

fn answer(status: u16, body: &Value) -> Response {
    write(status, "application/json", body.to_string())
}

fn write(status: u16, content_type: &str, text: String) -> Response {
    let response = http::Response::builder().status(status).header(http::header::CONTENT_TYPE, content_type);
    response.body(text.into()).unwrap_or_default()
}
