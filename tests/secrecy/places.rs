//! Every place that a user who may not read Secrets can read.

use std::io::ErrorKind;

use rustix::process::geteuid;

use crate::EQUIPMENT;
use crate::common::{Controller, World};
use crate::scanner::Scanner;
use crate::wire::Wire;

/// What each place says.
pub struct Places(Vec<(&'static str, Vec<u8>)>);

impl Places {
    pub fn of(world: &World, controller: &Controller, wire: &Wire) -> Self {
        let proc = |file| std::fs::read(format!("/proc/{}/{file}", controller.pid()));
        let urls: Vec<_> = world.journal(|journal| journal.requests().map(|request| request.url.clone()).collect());
        let get = |kind| world.kubectl(&["get", kind, "--all-namespaces", "--show-managed-fields", "--output=json"]);
        // The values of Secrets are where they belong, in all of their history.
        let history = world.control_plane().etcd_history().into_iter();
        let etcd = history.filter(|(key, _)| !key.starts_with("/registry/secrets/"));
        let heads = wire.requests().into_iter().map(|(head, _)| head + "\n");
        let mut places = vec![
            ("the log", world.log().into()),
            ("PasswordResets", get("passwordresets").into()),
            ("ECSAccounts", get("ecsaccounts").into()),
            ("records", get("resetrecords").into()),
            ("events", get("events").into()),
            ("what kubectl describes", world.kubectl(&["describe", "passwordresets", "--all-namespaces"]).into()),
            ("etcd", etcd.flat_map(|(key, value)| [key.into_bytes(), value, b"\n".to_vec()].concat()).collect()),
            ("the audit log", world.control_plane().audit_log().into()),
            ("metrics", controller.metrics().into()),
            ("URLs", urls.join("\n").into()),
            ("heads of requests", heads.collect::<String>().into()),
            ("the command line", proc("cmdline").unwrap()),
        ];
        match proc("environ") {
            Ok(environ) => places.push(("the environment", without_equipment(&environ))),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                not_searched("the environment", "the controller closes it to all but root");
            }
            Err(error) => panic!("/proc/PID/environ: {error}"),
        }
        Self(places)
    }

    pub fn iter(&self) -> impl Iterator<Item = &(&'static str, Vec<u8>)> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn names(&self) -> String {
        self.0.iter().map(|(place, text)| format!("{place} ({} KB)", text.len() / 1024)).collect::<Vec<_>>().join(", ")
    }

    pub fn text(&self, place: &str) -> String {
        let (_, text) = self.0.iter().find(|(name, _)| *name == place).expect("a place");
        String::from_utf8_lossy(text).into_owned()
    }
}

/// The variables of a process without those from which its account takes an access key, which must be there, once each.
fn without_equipment(environ: &[u8]) -> Vec<u8> {
    let mut variables: Vec<&[u8]> = environ.split(|byte| *byte == 0).collect();
    for (name, value) in EQUIPMENT {
        let given = format!("{name}={value}");
        let at = variables.iter().position(|variable| *variable == given.as_bytes());
        variables.remove(at.unwrap_or_else(|| panic!("{name} is not as it was given")));
    }
    variables.join(&b'\n')
}

/// Everything that was ever written to Secrets, by which one sees what there was to be leaked.
pub fn secrets(world: &World) -> Vec<u8> {
    let history = world.control_plane().etcd_history().into_iter();
    history.filter(|(key, _)| key.starts_with("/registry/secrets/")).flat_map(|(_, value)| value).collect()
}

/// Says that a place was not searched. A person without rights may go on; root has them, and others rely on what CI says.
///
/// # Panics
/// As root, and where the environment variable `CI` is set.
#[track_caller]
pub fn not_searched(place: &str, why: &str) {
    println!("NOT SEARCHED: {place}: {why}");
    let must_be = geteuid().is_root() || std::env::var_os("CI").is_some();
    assert!(!must_be, "{place} was not searched, which as root and in CI it must be: {why}");
}

/// Proves that no place holds a canary.
#[track_caller]
pub fn assert_clean(scanner: &Scanner, places: &Places) {
    let found: Vec<_> = places.iter().map(|(place, text)| (place, scanner.leaks(text))).collect();
    let found: Vec<_> = found.into_iter().filter(|(_, leaks)| !leaks.is_empty()).collect();
    assert!(found.is_empty(), "leaked: {found:?}");
}
