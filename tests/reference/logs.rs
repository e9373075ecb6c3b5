//! Log messages, by the calls in the source. A call must have a message that is constant, so that lines can be counted and searched by
//! it, and an entry here that says what it means.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::{cell, note, project};

/// What each message means, and what to do where a person has to do something.
const MEANINGS: &[(&str, &str)] = &[
    (
        "the version of a Secret could not be read",
        "an object with `onSecretChange: Reset` is at rest; the next look asks again",
    ),
    ("the controller starts", "the first line; `settings` has every flag with its value, wherever that comes from"),
    ("ready", "the caches hold full lists, and work begins; `process` is a part of this process's name in the Lease"),
    ("stopped", "every pass in flight has finished"),
    ("asked to stop; finishing what is in flight", "SIGTERM or SIGINT"),
    (
        "shutdown timeout reached with passes in flight; their progress is in the ResetRecords",
        "nothing to do; raise `--shutdown-timeout-seconds` if it is frequent",
    ),
    ("the controller cannot go on", "the process ends; `error` says why. The kubelet starts it again"),
    ("the runtime could not be started", "the process ends; the node has too few threads or file descriptors"),
    (
        "core dumps could not be switched off; a dump would hold passwords",
        "allow `setrlimit` and `prctl` in the seccomp profile, or switch core dumps off on the node",
    ),
    (
        "panicked; the message is withheld because it may quote secrets, see the code at this place",
        "a defect: report `place` and the version",
    ),
    ("the pass panicked; it is repeated after a pause", "a defect; only this object waits"),
    (
        "--allow-short-safety-times is set: an instance of ECS may be restarted twice; it is for tests against the simulator only",
        "take the flag away",
    ),
    (
        "the API server is asked without the proxy that the kubeconfig or HTTPS_PROXY names",
        "nothing to do, unless the API server can only be reached through that proxy",
    ),
    ("this process leads", "it holds the Lease since `since`"),
    ("another process leads; standing by", "`leader` holds the Lease since `since`"),
    ("the Lease is released", "the next leader can begin at once"),
    (
        "the Lease could not be released; the next leader waits until it expires",
        "nothing to do; it takes `--leader-elect-lease-duration-seconds`",
    ),
    ("the request for the Lease failed; it is tried again", "see `error`; a leader that cannot renew ends"),
    ("the request for the Lease failed again", "as before"),
    ("another process has written the Lease; it is read again", "nothing to do"),
    ("the API server did not answer", "the first of a row; `error` has its address and every cause"),
    ("the API server did not answer again", "as before"),
    ("the watch was interrupted; it is started again", "see `error`; `kind` is the kind that is watched"),
    ("the watch was interrupted again", "as before, with the same `error`"),
    ("waiting for the fingerprint key", "the controller cannot read or make its Secret; see `error`"),
    ("made the fingerprint key", "the first start of an installation, or its Secret was deleted"),
    (
        "the admission policies are not in force; no resets start",
        "[install them again](../how-to/upgrade.md#if-an-account-stays-at-policymissing)",
    ),
    (
        "Ready has changed",
        "of an `ECSAccount` or a `PasswordReset`: `ready` and `reason` are the new ones, `was` and `because` the old ones, \
         `detail` is the message. [Reasons](../REASONS.md)",
    ),
    ("a run has begun", "with its first claim; `trigger` says what asked for it"),
    ("a run has ended", "after `seconds`; the other fields count instances"),
    ("an event was lost", "see `error`; the status has the same"),
    ("the object cannot be read", "it was written for another version of the CRDs; see `error`"),
    (
        "the credentials could not be checked; the last ones stay in use",
        "the first of a row; see `error`. If it lasts until they expire, the account is not Ready",
    ),
    ("the credentials could not be checked again", "as before"),
    (
        "the account's rules keep an instance from the object",
        "for the account's owner: `why` says which; the tenant is told only that it is not found or not allowed",
    ),
    ("looked up the selector", "`matched` instances may be reset; they are in `status.targets` before the first claim"),
    ("claimed the instance", "a record holds the claim; the password is sent next"),
    ("the claim was not made; looking again", "another write was quicker, or the API server did not answer"),
    ("the claim was refused", "see `reason` and `error`"),
    ("nothing is claimed yet: the object has changed", "nothing to do"),
    ("nothing is claimed: the object could not be read", "see `error`"),
    ("a person has decided on the Unknown", "by `resolve-unknown`"),
    (
        "the memory of the instance is lost; a person decides",
        "[After MemoryLost](../how-to/disaster-recovery.md#after-memorylost)",
    ),
    ("a loss of memory could not be written down", "see `error`; it is tried again"),
    (
        "the record was deleted; what was done to its instance is forgotten",
        "somebody deleted a `ResetRecord`: [memory](../explanation/memory.md)",
    ),
    ("the record could not be read", "see `error`"),
    ("the record cannot be used until a cluster admin repairs it", "`problem` says why"),
    ("the claim has a new phase", "`phase`, `reason` and `detail` are those of the row"),
    (
        "the claim has failed",
        "`phase` is `Failed` or `Unknown`; `reason` and `detail` are those of the row. [Decide an \
         Unknown](../how-to/emergency.md#4-decide-each-unknown)",
    ),
    ("ECS accepted the call", "`requestID` is for a ticket to Alibaba Cloud"),
    ("ECS refused the call", "see `error`; `later` says whether it is tried again"),
    ("the call was not sent", "see `error`; it is tried again"),
    (
        "the outcome of the call is not known",
        "it may have been carried out; it is not sent again before that is proven",
    ),
    ("the object was changed in the meantime; the pass is repeated", "nothing to do"),
    ("the pass ended early; it is repeated", "see `error`"),
];

/// One call of a macro of `tracing`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    level: String,
    message: String,
    fields: Vec<String>,
}

/// The page.
pub fn page() -> String {
    let mut page = note("the calls in `src` and `tests/reference/logs.rs`");
    page.push_str("# Log messages\n\n");
    page.push_str(
        "The controller logs to stderr, one line an event: JSON, or text with `--log-format=text`. A message is constant, so \
         search and count lines by `msg`. Values are fields:\n\n\
         | field | what it holds |\n|---|---|\n\
         | `level`, `ts`, `logger`, `msg` | severity, time, module, message |\n\
         | `namespace`, `name` | the object; in a line about a record, the `PasswordReset` that owns it |\n\
         | `record` | the `ResetRecord`, if the line is about one |\n\
         | `controller`, `controllerKind` | which of the three controllers, and its kind |\n\
         | `reconcileID` | the same on all lines of one pass |\n\
         | `instanceID`, `requestID` | ECS's ids |\n\
         | `error`, `detail` | a sentence: what failed, or what is so now |\n\n\
         A line within a pass has those of its pass beside its own, which the table below lists. `debug` is shown with \
         `--log-filter=info,ecs_password_reset=debug`.\n\n\
         All lines about one object, and what needs a person:\n\n\
         ```sh\n\
         kubectl logs -n ecs-password-reset-system -l app.kubernetes.io/name=ecs-password-reset --tail -1 |\n\
         \u{20} jq -c 'select(.namespace == \"prod\" and .name == \"web-root\")'\n\
         kubectl logs -n ecs-password-reset-system -l app.kubernetes.io/name=ecs-password-reset --tail -1 |\n\
         \u{20} jq -c 'select(.level == \"warn\" or .level == \"error\")'\n\
         ```\n\n\
         | level | `msg` | fields | what it says |\n|---|---|---|---|\n",
    );
    let calls = calls();
    let mut meanings: BTreeMap<&str, &str> = MEANINGS.iter().copied().collect();
    assert_eq!(meanings.len(), MEANINGS.len(), "a message is explained twice");
    let mut used = Vec::new();
    for Call { level, message, fields } in &calls {
        let meaning =
            meanings.get(message.as_str()).unwrap_or_else(|| panic!("say in MEANINGS what this means: {message:?}"));
        used.push(message.as_str());
        let fields = fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(page, "| {level} | {} | {} | {} |", cell(message), cell(&fields), cell(meaning));
    }
    meanings.retain(|message, _| !used.contains(message));
    assert!(meanings.is_empty(), "nothing logs these any more: {meanings:?}");
    page
}

/// All calls of the crate, errors first, each message and level once.
fn calls() -> Vec<Call> {
    let mut calls = Vec::new();
    walk(&project("src"), &mut calls);
    assert!(calls.len() > 40, "the source was not understood");
    let rank = |level: &str| ["error", "warn", "info", "debug", "trace"].iter().position(|it| *it == level);
    calls.sort_by(|a, b| (rank(&a.level), &a.message).cmp(&(rank(&b.level), &b.message)));
    let mut merged: Vec<Call> = Vec::new();
    for call in calls {
        match merged.last_mut().filter(|last| last.level == call.level && last.message == call.message) {
            Some(last) => {
                let more = call.fields.into_iter().filter(|field| !last.fields.contains(field)).collect::<Vec<_>>();
                last.fields.extend(more);
            }
            None => merged.push(call),
        }
    }
    merged
}

fn walk(directory: &Path, calls: &mut Vec<Call>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            walk(&path, calls);
        } else if name.strip_suffix(".rs").is_some_and(|name| !name.ends_with("_tests")) {
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
            find(&path.display().to_string(), text, calls);
        }
    }
}

/// The calls in a source: `tracing::warn!(field, name = value, %shown, "message")`.
fn find(file: &str, text: &str, calls: &mut Vec<Call>) {
    for level in ["error", "warn", "info", "debug", "trace"] {
        for (at, start) in text.match_indices(&format!("tracing::{level}!(")) {
            let arguments = arguments(&text[at + start.len()..]);
            let (message, fields) =
                arguments.split_last().unwrap_or_else(|| panic!("{file}: a call without a message"));
            let message = literal(message).unwrap_or_else(|| panic!("{file}: the message is not a literal: {message}"));
            assert!(
                !message.contains(['{', '}']),
                "{file}: the message must be constant, and values fields: {message}"
            );
            let fields = fields.iter().map(|field| field_name(field)).collect();
            calls.push(Call { level: level.to_owned(), message, fields });
        }
    }
}

/// The arguments of a call, up to the parenthesis that ends it.
fn arguments(text: &str) -> Vec<String> {
    let (mut all, mut current, mut depth, mut in_string, mut escaped) = (Vec::new(), String::new(), 0, false, false);
    for letter in text.chars() {
        if in_string {
            in_string = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
        } else {
            match letter {
                '"' => in_string = true,
                '(' | '[' | '{' => depth += 1,
                ')' if depth == 0 => break,
                ')' | ']' | '}' => depth -= 1,
                ',' if depth == 0 => {
                    all.push(std::mem::take(&mut current).trim().to_owned());
                    continue;
                }
                _ => {}
            }
        }
        current.push(letter);
    }
    all.push(current.trim().to_owned());
    all.retain(|argument| !argument.is_empty());
    all
}

fn literal(argument: &str) -> Option<String> {
    let inner = argument.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.split("\\\n").map(str::trim_start).collect::<Vec<_>>().concat().replace("\\\"", "\""))
}

fn field_name(argument: &str) -> String {
    let name = argument.split_once(" = ").map_or(argument, |(name, _)| name);
    name.trim_start_matches(['%', '?']).rsplit('.').next().unwrap().to_owned()
}

#[test]
fn a_call_is_taken_apart() {
    let source = r#"tracing::warn!(%error, instanceID = claim.id(a, "b,)"), ?self.loss, "it \
        broke");"#;
    let mut calls = Vec::new();
    find("a.rs", source, &mut calls);
    let Call { level, message, fields } = &calls[0];
    assert_eq!((level.as_str(), message.as_str()), ("warn", "it broke"));
    assert_eq!(fields, &["error", "instanceID", "loss"]);
    for wrong in [r#"tracing::info!("{why}");"#, "tracing::info!(why);"] {
        let found = std::panic::catch_unwind(|| find("a.rs", wrong, &mut Vec::new()));
        assert!(found.is_err(), "{wrong}");
    }
}
