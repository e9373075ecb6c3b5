//! What a log line looks like.

use std::sync::{Arc, Mutex};

use tracing::{debug, error, info, info_span, trace, warn};

use super::*;

/// What was logged, as text.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged_as(format: Format, filter: &str, log: impl FnOnce()) -> String {
    let captured = Captured::default();
    let writer = captured.clone();
    let dispatch = dispatch(filter, format, Clock::System, move || writer.clone()).unwrap();
    dispatcher::with_default(&dispatch, log);
    let bytes = captured.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn logged(filter: &str, log: impl FnOnce()) -> Vec<Value> {
    let text = logged_as(Format::Json, filter, log);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn span_and_event_fields_are_on_the_line_under_the_agreed_names() {
    let lines = logged("info", || {
        let pass = info_span!(
            "pass",
            controller = "resetrecord",
            controllerKind = "ResetRecord",
            namespace = "system",
            name = "cn-hangzhou.i-1",
            reconcileID = "r1",
            requestID = tracing::field::Empty,
        );
        let _pass = pass.enter();
        let _call = info_span!("call", instanceID = "i-1").entered();
        pass.record("requestID", "q1");
        error!(error = %io::Error::other("it broke"), attempts = 2, "no {}", "answer");
    });
    let mut line = lines[0].as_object().unwrap().clone();
    assert!(line.remove("ts").is_some());
    let expected = serde_json::json!({
        "level": "error",
        "logger": "ecs_password_reset::telemetry::tests",
        "msg": "no answer",
        "controller": "resetrecord",
        "controllerKind": "ResetRecord",
        "namespace": "system",
        "name": "cn-hangzhou.i-1",
        "reconcileID": "r1",
        "requestID": "q1",
        "instanceID": "i-1",
        "error": "it broke",
        "attempts": 2,
    });
    assert_eq!(Value::Object(line), expected);
}

#[tokio::test(start_paused = true)]
async fn a_line_starts_with_level_time_logger_and_message() {
    let captured = Captured::default();
    let writer = captured.clone();
    let clock = Clock::simulated("2026-11-01T03:12:00.5Z".parse().unwrap(), 1.0, 1);
    let dispatch = dispatch("info", Format::Json, clock, move || writer.clone()).unwrap();
    dispatcher::with_default(&dispatch, || info!(target: "ecs_password_reset", a = true, "two\nlines"));
    let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    let expected =
        r#"{"level":"info","ts":"2026-11-01T03:12:00.500Z","logger":"ecs_password_reset","msg":"two\nlines","a":true}"#;
    assert_eq!(text, format!("{expected}\n"));
}

#[tokio::test(start_paused = true)]
async fn a_text_line_starts_with_time_level_and_message() {
    let text = |colours| {
        let captured = Captured::default();
        let writer = captured.clone();
        let clock = Clock::simulated("2026-11-01T03:12:00.5Z".parse().unwrap(), 1.0, 1);
        let dispatch = dispatch("info", Format::Text { colours }, clock, move || writer.clone()).unwrap();
        dispatcher::with_default(&dispatch, || {
            let _pass = info_span!("pass", name = "web", namespace = "prod").entered();
            warn!(error = "two\nlines \u{1b}[31m", count = 2, empty = "", "it\nbroke");
        });
        String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
    };
    let plain = "2026-11-01T03:12:00.500Z warn  it broke count=2 empty=\"\" error=\"two\\nlines \\u001b[31m\" name=web namespace=prod\n";
    assert_eq!(text(false), plain);
    let coloured = text(true);
    assert!(
        coloured.starts_with("2026-11-01T03:12:00.500Z \u{1b}[33mwarn \u{1b}[0m it broke \u{1b}[2m"),
        "{coloured:?}"
    );
}

#[test]
fn the_inner_value_of_a_field_wins_and_no_key_comes_twice() {
    let captured = logged_as(Format::Json, "info", || {
        let _outer = info_span!("outer", name = "outer", level = 1).entered();
        let _inner = info_span!("inner", name = "inner").entered();
        info!(msg = "a field", "the message");
    });
    assert!(captured.contains(r#""name":"inner""#) && !captured.contains("outer"), "{captured}");
    assert!(captured.contains(r#""field.level":1"#), "{captured}");
    assert_eq!(captured.matches(r#""msg":"#).count(), 1, "{captured}");
}

#[test]
fn no_filter_lifts_the_ceiling_of_another_crate() {
    let filters = ["trace", "trace,kube_client=trace,kube_runtime=trace,hyper=trace,reqwest=trace,rustls=trace"];
    for filter in filters {
        for format in [Format::Json, Format::Text { colours: false }, Format::Text { colours: true }] {
            let captured = logged_as(format, filter, || {
                warn!(target: "kube_client::client", "hidden: body");
                trace!(target: "kube_client", "hidden: body");
                debug!(target: "kube_runtime::watcher", "hidden: error");
                info!(target: "hyper_util::client", "hidden: headers");
                info!(target: "reqwest::connect", "hidden: bytes");
                info!(target: "rustls::client", "hidden: keys");
                info!(target: "a_crate_of_tomorrow", "hidden: anything");
                let _span = info_span!(target: "kube_client::client", "http", url = "hidden: url").entered();
                error!(target: "kube_client::client", "hidden: without address");
                let _pass =
                    info_span!(target: "kube_runtime::controller", "reconciling", "hidden: object.ref" = 1).entered();
                warn!(target: "kube_runtime::controller", "shown: two");
                warn!(target: "hyper", "shown: three");
                trace!("shown: four");
            });
            assert_eq!(captured.matches("shown").count(), 3, "{captured}");
            assert!(!captured.contains("hidden"), "{captured}");
        }
    }
}

#[test]
fn the_filter_still_lowers_what_is_shown() {
    let lines = logged("warn,ecs_password_reset=error", || {
        warn!("ours");
        warn!(target: "hyper", "theirs");
    });
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["msg"], "theirs");
}

#[test]
fn a_panic_is_logged_with_its_place_and_without_its_message() {
    // The hook is the whole process's: other tests may panic meanwhile, into whatever they log to.
    let before = panic::take_hook();
    panic_hook();
    let lines = logged("info", || {
        let _pass = info_span!("pass", instanceID = "i-1").entered();
        let panicked = panic::catch_unwind(|| panic!("hunter2"));
        assert!(panicked.is_err());
    });
    panic::set_hook(before);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["level"], "error");
    assert_eq!(lines[0]["instanceID"], "i-1");
    assert!(lines[0]["place"].as_str().unwrap().starts_with("src/telemetry_tests.rs:"), "{}", lines[0]);
    assert!(!lines[0].to_string().contains("hunter2"));
}

#[test]
fn a_hardened_process_leaves_no_core_and_cannot_be_traced() {
    harden_process().unwrap();
    assert_eq!(rustix::process::getrlimit(Resource::Core).current, Some(0));
    #[cfg(target_os = "linux")]
    assert_eq!(rustix::process::dumpable_behavior().unwrap(), rustix::process::DumpableBehavior::NotDumpable);
}
