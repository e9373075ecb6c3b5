//! Logs: JSON lines on stderr under the names that Flux and kubebuilder use, with every span's fields on the line.
//!
//! No password may reach a log, whatever the filter says. The rest of the crate sees to it by types that cannot be
//! printed; this module sees to the other crates: each has a ceiling that no filter lifts ([`ceiling`]), `log` is not
//! bridged, and a panic's message, which may quote any value, is never printed.
//!
//! Fields that code and dashboards agree on: `controller controllerGroup controllerKind namespace name reconcileID
//! instanceID requestID error`. What is one of these goes by exactly this name.

use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::{fmt, panic};

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Subscriber, dispatcher};
use tracing_subscriber::filter::{EnvFilter, FilterExt, ParseError, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry, Scope};

use crate::clock::Clock;
use crate::settings::{LogFormat, Settings};

/// Logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The filter does not parse.
    #[error("--log-filter: {0}")]
    Filter(#[from] ParseError),
    /// Something else has set up logging in this process before.
    #[error("logging is already set up in this process: call init once")]
    AlreadySet(#[from] dispatcher::SetGlobalDefaultError),
}

/// Logs to stderr from here on, for the whole process.
pub fn init(settings: &Settings) -> Result<(), InitError> {
    let dispatch = dispatch(&settings.log_filter, settings.log_format, Clock::System, io::stderr)?;
    Ok(dispatcher::set_global_default(dispatch)?)
}

fn dispatch<W>(filter: &str, format: LogFormat, clock: Clock, writer: W) -> Result<Dispatch, ParseError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .with_regex(false)
        .parse(filter)?
        .and(filter_fn(|metadata| *metadata.level() <= ceiling(metadata.target())));
    Ok(match format {
        LogFormat::Json => Registry::default().with(JsonLines { clock, writer }.with_filter(filter)).into(),
        LogFormat::Text => {
            let text = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
            Registry::default().with(text.with_filter(filter)).into()
        }
    })
}

/// The most that a crate may log, by the target of its events. Everything that is not ours is bounded, so that a new
/// dependency cannot leak before somebody thinks of it.
fn ceiling(target: &str) -> LevelFilter {
    match target.split("::").next() {
        Some("ecs_password_reset") => LevelFilter::TRACE,
        // Prints whole response bodies at WARN when it cannot parse them: a Secret with one bad byte, in full.
        Some("kube_client") => LevelFilter::ERROR,
        // Its span around a pass tells why the pass runs; errors with bodies come at DEBUG.
        Some("kube_runtime") => LevelFilter::INFO,
        _ => LevelFilter::WARN,
    }
}

/// One JSON object an event, in one write, so that lines of several threads never mix.
struct JsonLines<W> {
    clock: Clock,
    writer: W,
}

/// The order of a line; the rest follows by name.
#[derive(Serialize)]
struct Line<'a> {
    level: &'static str,
    ts: String,
    logger: &'a str,
    msg: String,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut all = Fields::default();
        // From the outermost span inwards, the event last: the closer value wins.
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(fields) = span.extensions().get::<Fields>() {
                all.fields.extend(fields.fields.clone());
            }
        }
        event.record(&mut all);
        let line = Line {
            level: level_name(*event.metadata().level()),
            ts: format!("{:.3}", self.clock.now()),
            logger: event.metadata().target(),
            msg: all.message,
            fields: all.fields,
        };
        let Ok(mut bytes) = serde_json::to_vec(&line) else { return };
        bytes.push(b'\n');
        // A line that cannot be written has nowhere to be reported.
        let _ = self.writer.make_writer_for(event.metadata()).write_all(&bytes);
    }
}

const fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// The fields of a span or an event. An error is recorded as its own text, not with its sources: what a source says is
/// what the error above it left out.
#[derive(Default)]
struct Fields {
    message: String,
    fields: Map<String, Value>,
}

impl Fields {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        let name = match field.name() {
            // A second key of the same name would make the line ambiguous.
            name @ ("level" | "ts" | "logger" | "msg") => format!("field.{name}"),
            name => name.to_owned(),
        };
        self.fields.insert(name, value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.insert(field, format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }
}

/// From here on a panic is one line in the log, with its place and the fields of the pass it broke. Call after [`init`].
pub fn panic_hook() {
    panic::set_hook(Box::new(log_panic));
}

/// Place only: the message may quote any value that the code held, a password too.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(String::new, |place| format!("{}:{}", place.file(), place.line()));
    tracing::error!(
        place,
        "panicked; the message is withheld because it may quote secrets, see the code at this place"
    );
}

/// Keeps passwords in memory out of core dumps and away from other processes of the same user (`ptrace`,
/// `/proc/<pid>/mem`). From then on the files in `/proc/<pid>` belong to root: a process that does not run as root can
/// no longer open its own `/proc/self/fd`.
///
/// # Errors
/// The operating system refused, as a seccomp profile may; core dumps may then hold passwords.
pub fn harden_process() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
#[path = "telemetry_tests.rs"]
mod tests;
