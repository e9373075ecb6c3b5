//! The rules that keep the code one way, read off the sources: what `decide` may touch, in which direction modules
//! depend on each other, how Secrets are reached, where reasons come from.
//!
//! Each rule is a function from a source to complaints, and each test holds it against a snippet that breaks it first: a
//! rule that cannot complain proves nothing. It reads text, so it cannot see through a macro or a re-export.

// Clippy's leave for tests does not reach the helpers of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod source;

use std::collections::{BTreeMap, BTreeSet};

use ecs_password_reset::api::Reason;
use regex::Regex;
use source::{Source, regex, sources};

/// Fails with all complaints about the real sources, after the rule has flagged each broken snippet.
fn enforce(rule: impl Fn(&Source) -> Vec<String>, broken: &[(&str, &str)]) {
    for (name, text) in broken {
        assert!(!rule(&Source::new(name, text)).is_empty(), "the rule does not see what is wrong with: {text}");
    }
    let sources = sources();
    let of_one = |source| rule(source).into_iter().map(|what| format!("src/{}: {what}", source.name));
    let complaints: Vec<String> = sources.iter().flat_map(of_one).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The rule that nothing in these folders is written like this.
fn never(folders: &[&str], pattern: &Regex) -> impl Fn(&Source) -> Vec<String> {
    move |source| {
        let is_there = folders.iter().any(|folder| source.name.starts_with(folder));
        let found = pattern.find_iter(&source.code).filter(|_| is_there);
        found.map(|it| format!("may not say `{}`", it.as_str())).collect()
    }
}

/// The rule that no path in these folders begins like this.
fn never_names(folders: &[&str], pattern: &Regex) -> impl Fn(&Source) -> Vec<String> {
    move |source| {
        let is_there = folders.iter().any(|folder| source.name.starts_with(folder));
        let found = source.paths().into_iter().filter(|path| is_there && pattern.is_match(path));
        found.map(|path| format!("may not name {path}")).collect()
    }
}

// === decide ===

#[test]
fn decide_imports_api_itself_and_plain_values_only() {
    // `std` without I/O, clocks, threads and the hash maps, whose order differs from run to run; then times, schedules, a
    // digest, an error derive. `clippy` is the name of a lint.
    let plain = regex!(
        r"(?x)^(
            crate::(api|decide)
            | std::(borrow|cmp|convert|fmt|iter|marker|mem|num|ops|option|result|slice|str)
            | std::collections::(BTreeMap|BTreeSet|VecDeque)
            | k8s_openapi::apimachinery::pkg::apis::meta::v1
            | cronexpr | jiff | sha2 | thiserror | clippy
            | u8|u32|u64|i32|i64|usize|char|str
        )(::|$)"
    );
    let rule = |source: &Source| {
        let paths = if source.top() == "decide" { source.paths() } else { Vec::new() };
        // A path may also begin with a name that another path has brought in, such as `Reason::Pending`.
        let local: BTreeSet<&str> = paths.iter().filter_map(|path| path.rsplit("::").next()).collect();
        let root = |path: &str| path.split("::").next().unwrap().to_owned();
        let is_local = |path: &str| path.starts_with(char::is_uppercase) || local.contains(root(path).as_str());
        let foreign = paths.iter().filter(|path| !plain.is_match(path) && !is_local(path));
        foreign.map(|path| format!("decide may not name {path}")).collect()
    };
    let broken = [
        ("decide/a.rs", "use tokio::time::Instant;"),
        ("decide/a.rs", "use std::collections::HashMap;"),
        ("decide/a.rs", "fn f() { std::fs::read(p) }"),
        ("decide/a.rs", "use super::super::ecs::Client;"),
        ("decide/mod.rs", "use super::clock;"),
        ("decide/a.rs", "use {std::fmt, crate::controllers::Context};"),
        ("decide/a.rs", "use k8s_openapi::api::core::v1::Secret;"),
    ];
    enforce(rule, &broken);
}

#[test]
fn decide_has_no_async_no_io_no_clock_and_no_randomness() {
    // `now` is the name of a parameter everywhere; only calling it reads a clock. `'static` is a lifetime.
    let impure = regex!(
        r"\bnow\(|[^'\w]static\b|\b(?:async|await|unsafe|thread_local|elapsed|sleep|spawn|SystemTime|Instant|getrandom|nonce|rand|tracing|e?print(?:ln)?|dbg)\b"
    );
    let broken = [
        ("decide/a.rs", "pub async fn f() {}"),
        ("decide/a.rs", "fn f() { g().await; }"),
        ("decide/a.rs", "fn f() -> Timestamp { Timestamp::now() }"),
        ("decide/a/b.rs", "fn f() { println!(\"x\"); }"),
        ("decide/a.rs", "fn f() { let id = nonce(); }"),
        ("decide/a.rs", "pub static COUNT: u8 = 0;"),
    ];
    enforce(never(&["decide/"], impure), &broken);
}

// === Directions ===

/// Which modules each module may name, itself apart. A new module has to be put in here, which is the moment to think.
const MAY_NAME: &[(&str, &str)] = &[
    ("api", ""),
    ("decide", "api"),
    ("ecs", ""),
    ("credentials", "ecs"),
    ("leader", "clock"),
    ("clock", ""),
    ("failpoint", ""),
    ("version", ""),
    ("settings", "leader version"),
    ("metrics", "version"),
    ("telemetry", "settings clock"),
    ("admin", "metrics"),
    ("cluster", "api decide clock failpoint metrics"),
    ("cloud", "api decide ecs clock failpoint metrics"),
    ("controllers", "api decide cluster cloud credentials ecs leader clock settings failpoint metrics"),
    ("run", "admin api cloud cluster clock controllers ecs leader metrics settings version"),
];

#[test]
fn modules_depend_inward_only() {
    let may_name: BTreeMap<&str, &str> = MAY_NAME.iter().copied().collect();
    let rule = |source: &Source| {
        let top = source.top();
        // The root declares the modules, and the binaries stand outside.
        if top.is_empty() || top == "bin" {
            return Vec::new();
        }
        let Some(allowed) = may_name.get(top) else {
            return vec![format!("module {top} is not in the list of directions of this test")];
        };
        let is_allowed = |path: &String| match path.split("::").collect::<Vec<_>>().as_slice() {
            ["crate", module, ..] => *module == top || allowed.split(' ').any(|it| it == *module),
            _ => true,
        };
        let wrong = source.paths().into_iter().filter(|path| !is_allowed(path));
        wrong.map(|path| format!("{top} may not name {path}")).collect()
    };
    let broken = [
        ("api/a.rs", "use crate::decide::history;"),
        ("api/mod.rs", "fn f() { super::controllers::run() }"),
        ("decide/a.rs", "use crate::{api::reasons, ecs::Client};"),
        ("ecs/a.rs", "use crate::api;"),
        ("ecs/instances/poll.rs", "use super::super::super::controllers::Context;"),
        ("credentials/mod.rs", "use crate::controllers;"),
        ("leader/leadership.rs", "use crate::run;"),
        ("a_new_module.rs", ""),
    ];
    enforce(rule, &broken);
}

/// The two wings of `decide`: what both need is on the floor under them.
#[test]
fn the_two_machines_do_not_know_each_other() {
    let claim = [("decide/reset/a.rs", "use crate::decide::claim::step::Call;")];
    enforce(never_names(&["decide/reset/"], regex!("^crate::decide::claim")), &claim);
    let reset = [("decide/claim/a.rs", "use super::super::reset::plan;")];
    enforce(never_names(&["decide/claim/"], regex!("^crate::decide::reset")), &reset);
}

#[test]
fn the_ecs_client_knows_nothing_of_kubernetes() {
    let broken = [("ecs/a.rs", "use kube::Client;"), ("credentials/a.rs", "fn f(s: k8s_openapi::ByteString) {}")];
    enforce(never_names(&["ecs/", "credentials/"], regex!("^(kube|k8s_openapi)(::|$)")), &broken);
}

/// The directions above resolve `super` by file: a module in braces would be read one level too high.
#[test]
fn no_module_is_written_inside_another_file() {
    let broken = [("ecs/a.rs", "mod inner { use super::super::super::api; }")];
    enforce(never(&[""], regex!(r"\bmod\s+\w+\s*\{")), &broken);
}

// === Every file ===

#[test]
fn every_file_says_first_what_it_is() {
    let rule = |source: &Source| {
        let is_silent = !source.text.starts_with("//! ");
        is_silent.then(|| "the file must begin with `//!`".to_owned()).into_iter().collect()
    };
    enforce(rule, &[("clock.rs", "// not a doc comment\nfn f() {}"), ("clock.rs", "use std::fmt;\n//! too late")]);
}

// === Secrets ===

#[test]
fn no_secret_is_listed_or_watched() {
    // What reads more than one object, and so reveals the content of every Secret it meets.
    let reads_many = regex!(
        r"\b(list|list_metadata|watch|watch_metadata|watcher|metadata_watcher|reflector|watch_object|Controller)(\(|::)"
    );
    let rule = |source: &Source| {
        let names_secret = regex!(r"\b(Raw)?Secret\b").is_match(&source.code);
        let many = reads_many.find(&source.code).filter(|_| names_secret);
        let many = many.map(|it| format!("names a Secret and `{}`, which reads many objects", it.as_str()));
        // `Api<Secret>` is only ever made by the generic `Cluster::get` and `replace`, which name one object.
        let api = regex!(r"\bApi(::)?<[^>]*\b(Raw)?Secret\b").find(&source.code);
        let api = api.map(|_| "an Api of Secrets; read one by name through Cluster::get".to_owned());
        many.into_iter().chain(api).collect()
    };
    let broken = [
        ("controllers/a.rs", "fn f(api: Api<Secret>) { api.get(n); g(x, y, z); }"),
        ("run.rs", "let api = Api::<Secret>::namespaced(client, n); f(x);"),
        ("controllers/a.rs", "use super::RawSecret; fn f() { api.list(&params); }"),
        ("run.rs", "use k8s_openapi::api::core::v1::Secret; let s = watcher(api, config);"),
    ];
    enforce(rule, &broken);
}

// === Reasons ===

/// What follows from a reason is a property of it, in `api`: a list kept elsewhere would miss the next reason in silence.
#[test]
fn no_reason_is_compared_outside_api() {
    // Compared, listed (a macro's bracket apart), or the pattern of a `match`.
    let compared = regex!(r"[=!]=\s*Reason::\w+|[^!]\[\s*Reason::\w+|\bReason::\w+\s*=>");
    let rule = |source: &Source| if source.top() == "api" { Vec::new() } else { never(&[""], compared)(source) };
    let broken = [
        ("decide/a.rs", "fn f() { if reason == Reason::Throttled {} }"),
        ("controllers/a.rs", "fn f() { let list = [Reason::Throttled, Reason::Failed]; }"),
        ("cloud/a.rs", "fn f() { match reason { Reason::Throttled => 1, _ => 2 } }"),
    ];
    enforce(rule, &broken);
}

#[test]
fn every_reason_is_given_somewhere() {
    let never_given = |sources: &[Source]| -> Vec<&str> {
        let elsewhere = sources.iter().filter(|source| source.name != "api/reason.rs");
        let paths: Vec<String> = elsewhere.flat_map(Source::paths).collect();
        let given: BTreeSet<&str> =
            paths.iter().filter_map(|path| path.rsplit_once("Reason::").map(|it| it.1)).collect();
        Reason::ALL.iter().map(|reason| reason.as_str()).filter(|reason| !given.contains(reason)).collect()
    };
    let one = [Source::new("decide/a.rs", "fn f() -> Reason { Reason::Pending }")];
    assert_eq!(never_given(&one).len(), Reason::ALL.len() - 1, "the rule does not see what is never given");
    assert_eq!(never_given(&sources()), [""; 0], "documented and never given");
}
