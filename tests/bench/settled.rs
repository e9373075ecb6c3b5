//! B3: a start among objects that are done. One real run is done, and what etcd holds of it is copied under other names, so that each copy
//! is exactly what the API server writes, and ten thousand take seconds and not an hour.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::api::{self, Api};
use crate::common::{Controller, Instance, NAMESPACE, PASSWORD, REGION, SYSTEM_NAMESPACE, World};
use crate::etcd::Etcd;
use crate::report::Report;
use crate::requests::Requests;
use crate::world::{self, Pace};
use crate::{Options, machine};

/// It is quiet when it has used at most this much CPU for this long.
const QUIET: (f64, Duration) = (0.05, Duration::from_secs(3));

/// One start.
struct Start {
    report: Report,
    cpu: f64,
    memory: f64,
}

/// B3: starts among as many objects as `BENCH_SETTLED` says, a list with commas.
pub fn starts(_: &Options) -> Vec<Report> {
    let sizes = std::env::var("BENCH_SETTLED").unwrap_or_else(|_| "1000,3000".to_owned());
    let sizes: Vec<usize> =
        sizes.split(',').map(|size| size.trim().parse().expect("BENCH_SETTLED has numbers")).collect();
    let mut starts: Vec<Start> = sizes.into_iter().map(start_among).collect();
    if let [first, .., last] = &mut starts[..] {
        let more = last.report.size as f64 / first.report.size as f64;
        last.report.ratio("CPU until quiet by the first size, for each object", last.cpu / first.cpu / more).goal(1.2);
        last.report.ratio("memory by the first size, for each object", last.memory / first.memory / more).goal(1.2);
    }
    starts.into_iter().map(|start| start.report).collect()
}

fn start_among(size: usize) -> Start {
    let instances = (0..size).map(|object| Instance::running(&world::id(object, 0), REGION)).collect();
    let mut world = World::start(world::setup(instances, Pace::TUNED));
    let api = Api::new(&world);
    api.create(&api::resets(), &world::reset("done-00000", &[world::id(0, 0)], 1));
    world::wait_until_done(&world, 1, 1);
    world.kill_controller();
    copy(&world, &api, size);
    let expected = size.div_ceil(500);
    let list = || {
        let (began, cpu) = (Instant::now(), machine::cpu(std::process::id()));
        let pages = api.list(&api::resets()) + api.list(&api::records());
        assert_eq!(pages, 2 * expected, "every copy is listed");
        (began.elapsed().as_secs_f64(), machine::cpu(std::process::id()) - cpu)
    };
    // The first one also makes the connection.
    let (first, second) = (list(), list());
    let bare = if first.0 < second.0 { first } else { second };
    let asked =
        |world: &World| world.journal(|it| it.requests().filter(|call| call.action != "GetCallerIdentity").count());
    let (calls, before) = (asked(&world), Requests::read(&api.text("/metrics")));
    let began = Instant::now();
    let mut controller = world.spawn_controller(&[]);
    while !controller.is_ready() {
        assert!(controller.runs(), "the controller ended");
        std::thread::sleep(Duration::from_millis(2));
    }
    let ready = (began.elapsed().as_secs_f64(), machine::cpu(controller.pid()));
    let quiet = wait_until_quiet(&controller, began);
    let requests = Requests::read(&api.text("/metrics")).since(&before);
    let memory = machine::memory(controller.pid());
    let mut report = Report::new(&format!("B3-{size}"), size);
    report.here("memory when quiet", memory, "MiB").goal(32.0);
    report.here("most memory", machine::peak_memory(controller.pid()), "MiB");
    report.here("start to ready", ready.0, "s");
    report.here("bare list of both kinds", bare.0, "s");
    report.here("CPU of the client in that list", bare.1, "s");
    report.ratio("start to ready by a bare list", ready.0 / bare.0).goal(1.3);
    report.here("CPU until ready", ready.1, "s");
    report.here("start to quiet", quiet.0, "s");
    report.here("CPU until quiet", quiet.1, "s");
    for kind in ["passwordresets", "resetrecords"] {
        report.count(&format!("reads of {kind} after the start"), requests.gets(kind), "in all").goal(0.0);
    }
    report.count("reads of secrets after the start", requests.gets("secrets"), "in all");
    report.count("writes after the start", requests.all_writes(), "in all").goal(0.0);
    report.count("calls about instances after the start", (asked(&world) - calls) as f64, "in all").goal(0.0);
    Start { report, cpu: quiet.1, memory }
}

/// Copies the object and the record of the first instance for all others.
fn copy(world: &World, api: &Api, size: usize) {
    let etcd = Etcd::new(world);
    let root = "/registry/ecs.password-reset.dev";
    let name = |number: usize| format!("done-{number:05}");
    let object_key = format!("{root}/passwordresets/{NAMESPACE}/{}", name(0));
    let record_key = format!("{root}/resetrecords/{SYSTEM_NAMESPACE}/{REGION}.{}", world::id(0, 0));
    let (object, record) = (etcd.get(&object_key), etcd.get(&record_key));
    let uid = |text: &str| serde_json::from_str::<Value>(text).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    let (object_uid, record_uid) = (uid(&object), uid(&record));
    let key = fingerprint_key(api);
    let first = fingerprint(&key, &name(0));
    assert!(
        record.contains(&first) && object.contains(&first),
        "fingerprints are made as src/cluster/fingerprint.rs says"
    );
    let pairs = (1..size).flat_map(|number| {
        let own = fingerprint(&key, &name(number));
        let rename = |text: &str| {
            text.replace(&world::id(0, 0), &world::id(number, 0))
                .replace(&name(0), &name(number))
                .replace(&first, &own)
                .replace(&object_uid, &format!("{number:08x}-0000-4000-8000-00000000000a"))
                .replace(&record_uid, &format!("{number:08x}-0000-4000-8000-00000000000b"))
        };
        [(rename(&object_key), rename(&object)), (rename(&record_key), rename(&record))]
    });
    etcd.put_all(&pairs.collect::<Vec<_>>());
    // Its caches follow etcd, and lists that come before them are refused.
    let last = [
        format!("{}/{}", api::resets(), name(size - 1)),
        format!("{}/{REGION}.{}", api::records(), world::id(size - 1, 0)),
    ];
    world::wait("the API server knows the copies", Duration::from_millis(200), Duration::from_mins(5), || {
        let is_known = |path: &String| world.control_plane().look_up(&format!("{path}?resourceVersion=0")).is_some();
        last.iter().all(is_known).then_some(())
    });
}

fn fingerprint_key(api: &Api) -> Vec<u8> {
    let path = format!("/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets/ecs-password-reset-fingerprint-key");
    STANDARD.decode(api.get(&path)["data"]["key"].as_str().unwrap()).unwrap()
}

/// The fingerprint of the password for an object: without the right one, each copy would say that the Secret was changed.
fn fingerprint(key: &[u8], object: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in [NAMESPACE, "\0", object, "\0", PASSWORD] {
        mac.update(part.as_bytes());
    }
    let digest = mac.finalize().into_bytes();
    format!("{:032x}", u128::from_be_bytes(*digest.first_chunk().unwrap()))
}

/// Seconds since the start, and CPU seconds, at the moment after which it did nothing for a while.
fn wait_until_quiet(controller: &Controller, began: Instant) -> (f64, f64) {
    let mut last = (began.elapsed(), machine::cpu(controller.pid()));
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = (began.elapsed(), machine::cpu(controller.pid()));
        if now.1 - last.1 > QUIET.0 {
            last = now;
        } else if now.0.checked_sub(last.0).is_some_and(|since| since >= QUIET.1) {
            return (last.0.as_secs_f64(), last.1);
        }
        assert!(now.0 < Duration::from_mins(10), "it does not come to rest");
    }
}
