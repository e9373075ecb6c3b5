//! Logs: lines on stderr, in JSON under the names that Flux and kubebuilder use, or as text; with every span's fields on the line.
//!
//! The message of a line is constant, so that lines can be counted and searched by it; values are fields. A sentence made for the
//! occasion is the field `detail` or `error`. `docs/reference/logs.md` lists every message, and a test compares.
//!
//! No password may reach a log, whatever the filter says. The rest of the crate sees to it by types that cannot be
//! printed; this module sees to the other crates: each has a ceiling that no filter lifts ([`ceiling`]), `log` is not
//! bridged, and a panic's message, which may quote any value, is never printed.
//!
//! Fields that code and dashboards agree on: `controller controllerKind namespace name record reconcileID instanceID requestID
//! error`. Each of these has exactly this name. `namespace` and `name` are those of the object that a user wrote, also
//! in a line about its record.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
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
    let format = match settings.log_format {
        LogFormat::Json => Format::Json,
        LogFormat::Text => {
            Format::Text { colours: io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
        }
    };
    let dispatch = dispatch(&settings.log_filter, format, Clock::System, io::stderr)?;
    Ok(dispatcher::set_global_default(dispatch)?)
}

/// What a line looks like.
#[derive(Clone, Copy)]
enum Format {
    Json,
    Text { colours: bool },
}

fn dispatch<W>(filter: &str, format: Format, clock: Clock, writer: W) -> Result<Dispatch, ParseError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .with_regex(false)
        .parse(filter)?
        .and(filter_fn(|metadata| *metadata.level() <= ceiling(metadata.target())));
    Ok(Registry::default().with(Lines { format, clock, writer }.with_filter(filter)).into())
}

/// The most that a crate may log, by the target of its events. Everything that is not ours is bounded, so that a new
/// dependency cannot leak before its fields are known.
fn ceiling(target: &str) -> LevelFilter {
    match target.split("::").next() {
        Some("ecs_password_reset") => LevelFilter::TRACE,
        // Prints whole response bodies at WARN when it cannot parse them: a Secret with one bad byte, in full. At ERROR it repeats
        // without address and cause what `cluster` logs with both.
        Some("kube_client") => LevelFilter::OFF,
        _ => LevelFilter::WARN,
    }
}

/// One line an event, in one write, so that lines of several threads never mix.
struct Lines<W> {
    format: Format,
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

impl Line<'_> {
    fn to_json(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// For a person: the message first, then what it is about.
    fn to_text(&self, colours: bool) -> String {
        let (colour, faint, plain) = match (colours, self.level) {
            (false, _) => ("", "", ""),
            (true, "error") => ("\u{1b}[31m", "\u{1b}[2m", "\u{1b}[0m"),
            (true, "warn") => ("\u{1b}[33m", "\u{1b}[2m", "\u{1b}[0m"),
            (true, _) => ("", "\u{1b}[2m", "\u{1b}[0m"),
        };
        let mut text = format!("{} {colour}{:<5}{plain} {}", self.ts, self.level, one_line(&self.msg));
        for (name, value) in &self.fields {
            let value = match value {
                Value::String(text) if is_plain(text) => text.clone(),
                value => one_line(&value.to_string()),
            };
            let _ = write!(text, " {faint}{name}={plain}{value}");
        }
        text
    }
}

/// Nothing in it may end the line, or speak to the terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// Whether a value can be read without quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_alphanumeric() || "-_./:+@".contains(letter))
}

impl<S, W> Layer<S> for Lines<W>
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
        let Some(mut text) = (match self.format {
            Format::Json => line.to_json(),
            Format::Text { colours } => Some(line.to_text(colours)),
        }) else {
            return;
        };
        text.push('\n');
        // A line that cannot be written has nowhere to be reported.
        let _ = self.writer.make_writer_for(event.metadata()).write_all(text.as_bytes());
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
