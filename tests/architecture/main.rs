//! The rules that keep the code one way, read off the sources: what `decide` may touch, in which direction modules
//! depend on each other, how Secrets are reached, where reasons come from.
//!
//! Each rule is a function from sources to complaints, and each test holds it against a snippet that breaks it first: a
//! rule that cannot complain proves nothing. It reads text, so it cannot see through a macro or a re-export.

// Clippy's leave for tests does not reach the helpers of an integration test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod source;

use std::collections::{BTreeMap, BTreeSet};

use ecs_password_reset::api::Reason;
use source::{Source, Token, sources};

/// What a rule found: file and what is wrong with it.
type Complaints = Vec<String>;

fn complain(source: &Source, what: &str) -> String {
    format!("src/{}: {what}", source.name)
}

/// Fails with all complaints about the real sources, after the rule has flagged each broken snippet.
fn enforce(rule: fn(&[Source]) -> Complaints, broken: &[(&str, &str)]) {
    for (name, text) in broken {
        assert!(!rule(&[Source::new(name, text)]).is_empty(), "the rule does not see what is wrong with: {text}");
    }
    let complaints = rule(&sources());
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

// === decide ===

/// `std` without I/O, clocks, threads and the hash maps, whose order differs from run to run.
const PURE_STD: &[&str] =
    &["borrow", "cmp", "convert", "fmt", "iter", "marker", "mem", "num", "ops", "option", "result", "slice", "str"];
const PURE_COLLECTIONS: &[&str] = &["BTreeMap", "BTreeSet", "VecDeque"];
/// Plain values: times, schedules, a digest, an error derive.
const PURE_CRATES: &[&str] = &["cronexpr", "jiff", "k8s_openapi", "sha2", "thiserror"];
const PURE_K8S: &str = "k8s_openapi::apimachinery::pkg::apis::meta::v1::";

fn decide_imports_only_plain_values(sources: &[Source]) -> Complaints {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| source.top() == "decide") {
        let paths = source.paths();
        // A path may also begin with a name that another path has brought in, such as `Reason::Pending`.
        let mut local: BTreeSet<&str> = paths.iter().filter_map(|path| path.last()).map(String::as_str).collect();
        local.extend(primitives());
        for path in &paths {
            let segments: Vec<&str> = path.iter().map(String::as_str).collect();
            let allowed = match segments.as_slice() {
                ["crate", module, ..] => ["api", "decide"].contains(module),
                ["std", "collections", kind, ..] => PURE_COLLECTIONS.contains(kind),
                ["std", module, ..] => PURE_STD.contains(module),
                ["k8s_openapi", ..] => path.join("::").starts_with(PURE_K8S),
                // The name of a lint, or nothing.
                ["clippy", ..] | [] => true,
                [root, ..] if PURE_CRATES.contains(root) => true,
                [root, ..] => root.starts_with(char::is_uppercase) || local.contains(root),
            };
            if !allowed {
                complaints.push(complain(source, &format!("decide may not name {}", path.join("::"))));
            }
        }
    }
    complaints
}

fn primitives() -> [&'static str; 8] {
    ["u8", "u32", "u64", "i32", "i64", "usize", "char", "str"]
}

#[test]
fn decide_imports_api_itself_and_plain_values_only() {
    let broken = [
        ("decide/a.rs", "use tokio::time::Instant;"),
        ("decide/a.rs", "use std::collections::HashMap;"),
        ("decide/a.rs", "fn f() { std::fs::read(p) }"),
        ("decide/a.rs", "use super::super::ecs::Client;"),
        ("decide/mod.rs", "use super::clock;"),
        ("decide/a.rs", "use {std::fmt, crate::controllers::Context};"),
        ("decide/a.rs", "use k8s_openapi::api::core::v1::Secret;"),
    ];
    enforce(decide_imports_only_plain_values, &broken);
}

fn decide_is_pure(sources: &[Source]) -> Complaints {
    const IMPURE: &[&str] = &[
        "async",
        "await",
        "unsafe",
        "static",
        "thread_local",
        "now",
        "elapsed",
        "sleep",
        "spawn",
        "SystemTime",
        "Instant",
        "getrandom",
        "nonce",
        "rand",
        "tracing",
        "print",
        "println",
        "eprint",
        "eprintln",
        "dbg",
    ];
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| source.top() == "decide") {
        for (at, token) in source.tokens.iter().enumerate() {
            let Token::Word(word) = token else { continue };
            // `now` is the name of a parameter everywhere; only calling it reads a clock.
            let is_call = source.tokens.get(at + 1) == Some(&Token::Mark('('));
            if IMPURE.contains(&word.as_str()) && (word != "now" || is_call) {
                complaints.push(complain(source, &format!("decide is pure and may not say `{word}`")));
            }
        }
    }
    complaints
}

#[test]
fn decide_has_no_async_no_io_no_clock_and_no_randomness() {
    let broken = [
        ("decide/a.rs", "pub async fn f() {}"),
        ("decide/a.rs", "fn f() { g().await; }"),
        ("decide/a.rs", "fn f() -> Timestamp { Timestamp::now() }"),
        ("decide/a/b.rs", "fn f() { println!(\"x\"); }"),
        ("decide/a.rs", "fn f() { let id = nonce(); }"),
    ];
    enforce(decide_is_pure, &broken);
}

// === Directions ===

/// Which modules each module may name, itself apart. A new module has to be put in here, which is the moment to think.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("decide", &["api"]),
    ("ecs", &[]),
    ("credentials", &["ecs"]),
    ("leader", &["clock"]),
    ("clock", &[]),
    ("failpoint", &[]),
    ("version", &[]),
    ("settings", &["leader", "version"]),
    ("metrics", &["version"]),
    ("telemetry", &["settings", "clock"]),
    ("admin", &["metrics"]),
    ("cluster", &["api", "decide", "clock", "failpoint", "metrics"]),
    ("cloud", &["api", "decide", "ecs", "clock", "failpoint", "metrics"]),
    (
        "controllers",
        &[
            "api",
            "decide",
            "cluster",
            "cloud",
            "credentials",
            "ecs",
            "leader",
            "clock",
            "settings",
            "failpoint",
            "metrics",
        ],
    ),
    (
        "run",
        &[
            "admin",
            "api",
            "cloud",
            "cluster",
            "clock",
            "controllers",
            "ecs",
            "leader",
            "metrics",
            "settings",
            "version",
        ],
    ),
];

fn dependencies_point_inward(sources: &[Source]) -> Complaints {
    let may_name: BTreeMap<&str, &[&str]> = MAY_NAME.iter().copied().collect();
    let mut complaints = Vec::new();
    for source in sources {
        let top = source.top();
        // The root declares the modules, and the binaries stand outside.
        if top.is_empty() || top == "bin" {
            continue;
        }
        let Some(allowed) = may_name.get(top) else {
            complaints.push(complain(source, &format!("module {top} is not in the list of directions of this test")));
            continue;
        };
        for path in source.paths() {
            let [root, module, ..] = path.as_slice() else { continue };
            if root == "crate" && module != top && !allowed.contains(&module.as_str()) {
                complaints.push(complain(source, &format!("{top} may not name {}", path.join("::"))));
            }
        }
    }
    complaints
}

#[test]
fn modules_depend_inward_only() {
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
    enforce(dependencies_point_inward, &broken);
}

/// The two wings of `decide`: what both need is on the floor under them.
fn wings_do_not_know_each_other(sources: &[Source]) -> Complaints {
    let mut complaints = Vec::new();
    for source in sources {
        let other = match source.name.split('/').collect::<Vec<_>>().as_slice() {
            ["decide", "reset", ..] => "claim",
            ["decide", "claim", ..] => "reset",
            _ => continue,
        };
        for path in source.paths() {
            if matches!(path.as_slice(), [root, decide, wing, ..] if root == "crate" && decide == "decide" && wing == other)
            {
                complaints.push(complain(source, &format!("may not name {}", path.join("::"))));
            }
        }
    }
    complaints
}

#[test]
fn the_two_machines_do_not_know_each_other() {
    let broken = [
        ("decide/reset/a.rs", "use crate::decide::claim::step::Call;"),
        ("decide/claim/a.rs", "use super::super::reset::plan;"),
    ];
    enforce(wings_do_not_know_each_other, &broken);
}

fn ecs_knows_no_kubernetes(sources: &[Source]) -> Complaints {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| ["ecs", "credentials"].contains(&source.top())) {
        for path in source.paths() {
            if ["kube", "k8s_openapi"].contains(&path[0].as_str()) {
                complaints.push(complain(source, &format!("may not name {}", path.join("::"))));
            }
        }
    }
    complaints
}

#[test]
fn the_ecs_client_knows_nothing_of_kubernetes() {
    let broken = [("ecs/a.rs", "use kube::Client;"), ("credentials/a.rs", "fn f(s: k8s_openapi::ByteString) {}")];
    enforce(ecs_knows_no_kubernetes, &broken);
}

#[test]
fn no_module_is_written_inside_another_file() {
    // The directions above resolve `super` by file: a module in braces would be read one level too high.
    fn rule(sources: &[Source]) -> Complaints {
        let is_inline =
            |tokens: &[Token]| matches!(tokens, [keyword, Token::Word(_), Token::Mark('{')] if keyword.is_word("mod"));
        let inline = sources.iter().filter(|source| source.tokens.windows(3).any(is_inline));
        inline.map(|source| complain(source, "a module in braces; give it a file")).collect()
    }
    enforce(rule, &[("ecs/a.rs", "mod inner { use super::super::super::api; }")]);
}

// === Every file ===

#[test]
fn every_file_says_first_what_it_is() {
    fn rule(sources: &[Source]) -> Complaints {
        let silent = sources.iter().filter(|source| !source.text.starts_with("//! "));
        silent.map(|source| complain(source, "the file must begin with `//!`")).collect()
    }
    enforce(rule, &[("clock.rs", "// not a doc comment\nfn f() {}"), ("clock.rs", "use std::fmt;\n//! too late")]);
}

// === Secrets ===

/// What reads more than one object, and so reveals the content of every Secret it meets.
const READS_MANY: &[&str] = &[
    "list",
    "list_metadata",
    "watch",
    "watch_metadata",
    "watcher",
    "metadata_watcher",
    "reflector",
    "watch_object",
    "Controller",
];

fn secrets_are_read_one_by_one(sources: &[Source]) -> Complaints {
    let mut complaints = Vec::new();
    for source in sources {
        let names_secret = source.tokens.iter().any(|token| match token {
            Token::Word(word) => word == "RawSecret" || word == "Secret",
            _ => false,
        });
        let reads_many = source.tokens.windows(2).find_map(|pair| match pair {
            [Token::Word(word), Token::Mark('(') | Token::PathSeparator] if READS_MANY.contains(&word.as_str()) => {
                Some(word)
            }
            _ => None,
        });
        if let (true, Some(word)) = (names_secret, reads_many) {
            complaints.push(complain(source, &format!("names a Secret and `{word}`, which reads many objects")));
        }
        // `Api<Secret>` is only ever made by the generic `Cluster::get` and `replace`, which name one object.
        for window in source.tokens.windows(8) {
            let is_api = window[0].is_word("Api");
            let closes = window.iter().position(|token| *token == Token::Mark('>')).unwrap_or(0);
            if is_api && window[..closes].iter().any(|token| token.is_word("Secret") || token.is_word("RawSecret")) {
                complaints.push(complain(source, "an Api of Secrets; read one by name through Cluster::get"));
            }
        }
    }
    complaints
}

#[test]
fn no_secret_is_listed_or_watched() {
    let broken = [
        ("controllers/a.rs", "fn f(api: Api<Secret>) { api.get(n); g(x, y, z); }"),
        ("run.rs", "let api = Api::<Secret>::namespaced(client, n); f(x);"),
        ("controllers/a.rs", "use super::RawSecret; fn f() { api.list(&params); }"),
        ("run.rs", "use k8s_openapi::api::core::v1::Secret; let s = watcher(api, config);"),
    ];
    enforce(secrets_are_read_one_by_one, &broken);
}

// === Reasons ===

/// What follows from a reason is a property of it, in `api`: a list kept elsewhere would miss the next reason in silence.
fn reasons_are_not_compared(sources: &[Source]) -> Complaints {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| source.top() != "api") {
        for window in source.tokens.windows(5) {
            let [a, b, Token::Word(reason), Token::PathSeparator, Token::Word(name)] = window else { continue };
            let is_compared = *b == Token::Mark('=') && [Token::Mark('='), Token::Mark('!')].contains(a);
            let is_listed = *b == Token::Mark('[') && *a != Token::Mark('!');
            if reason == "Reason" && (is_compared || is_listed) {
                complaints.push(complain(source, &format!("compares with {name}; ask a property of Reason")));
            }
        }
        for window in source.tokens.windows(5) {
            let [Token::Word(reason), Token::PathSeparator, Token::Word(name), Token::Mark('='), Token::Mark('>')] =
                window
            else {
                continue;
            };
            if reason == "Reason" {
                complaints.push(complain(source, &format!("matches on {name}; ask a property of Reason")));
            }
        }
    }
    complaints
}

#[test]
fn no_reason_is_compared_outside_api() {
    let broken = [
        ("decide/a.rs", "fn f() { if reason == Reason::Throttled {} }"),
        ("controllers/a.rs", "fn f() { let list = [Reason::Throttled, Reason::Failed]; }"),
        ("cloud/a.rs", "fn f() { match reason { Reason::Throttled => 1, _ => 2 } }"),
    ];
    enforce(reasons_are_not_compared, &broken);
}

#[test]
fn every_reason_is_given_somewhere() {
    fn rule(sources: &[Source]) -> Complaints {
        let given: BTreeSet<String> = sources
            .iter()
            .filter(|source| source.name != "api/reason.rs")
            .flat_map(Source::paths)
            .filter_map(|path| match path.as_slice() {
                [.., reason, name] if reason == "Reason" => Some(name.clone()),
                _ => None,
            })
            .collect();
        let never = Reason::ALL.iter().filter(|reason| !given.contains(reason.as_str()));
        never.map(|reason| format!("{reason} is documented and never given")).collect()
    }
    enforce(rule, &[("decide/a.rs", "fn f() -> Reason { Reason::Pending }")]);
}
