//! What became of a call that brought no success, and what follows from it.
//!
//! Two questions are answered apart: may the call have been executed ([`Executed`], [`RetryRule`]), and what is in the
//! way ([`Class`]). An answer of HTTP 4xx with Code and RequestId says by itself that the call was judged and refused; any other
//! answer says nothing of the kind. The exceptions are data: `errors.tsv` holds a row for every code that the documents name.
//!
//! Nothing here holds a body, a password, a key or a signature.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use super::wire::ApiCall;

/// A call without a success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// ECS, or something in front of it, answered, and not with a success.
    #[error("{0}")]
    Refused(ErrorResponse),
    /// No byte of the call left this machine.
    #[error("the call was not sent: {0}")]
    NotSent(String),
    /// The call may have left, and nothing answered.
    #[error("{0}")]
    NoAnswer(String),
}

/// An answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// What was called.
    pub action: ApiCall,
    /// The API's error code, or `HTTP <status>` when the answer had none.
    pub code: String,
    /// For people, and where the code decides nothing.
    pub http_status: u16,
    /// What Alibaba support asks for.
    pub request_id: Option<String>,
    /// Why the answer could not be read, in our own words; `None`: it has a code.
    pub unreadable: Option<String>,
    /// Whether the API's explanation speaks of the parameter `InstanceId`. The explanation itself may repeat anything.
    pub names_instance_id: bool,
    /// Whether the call may have been executed all the same.
    pub executed: Executed,
    /// The kind of obstacle.
    pub class: Class,
    /// Not before this has passed should the call be made again; told by some throttled answers.
    pub retry_after: Option<Duration>,
}

/// What an answer that is not a success says, as far as it decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorAnswer<'a> {
    /// The HTTP status.
    pub http_status: u16,
    /// The API's error code.
    pub code: Option<&'a str>,
    /// The RequestId. A proxy in front of the API gives none.
    pub request_id: Option<&'a str>,
    /// The API's explanation.
    pub message: &'a str,
}

/// Whether a refused call may have been executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executed {
    /// Refused before anything ran.
    No,
    /// It may have run.
    Unknown,
}

/// The kind of obstacle to a call. Delay and reason follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Too many calls: ask the limiter.
    Throttled,
    /// It passes by itself.
    Transient,
    /// The instance is in the wrong status, and that passes.
    WaitState,
    /// The account, its rights or its balance, or a lock: a person must act.
    Denied,
    /// The call itself is wrong: the same one will never succeed.
    Invalid,
    /// There is no such instance in this region, or none that these credentials may see.
    Gone,
    /// The credentials, the signature or the clock: load them again, then sign again.
    Auth,
    /// Judged and refused, for a reason that no document names.
    Refused,
    /// Nobody can say: nothing answered, or what answered may not have been the API.
    Unknown,
}

/// What the sender of a changing call may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryRule {
    /// Not executed, and what is in the way may pass: look again later.
    Later,
    /// Not executed, and the same call would be refused again.
    Definite,
    /// It may have been executed: observe, do not send.
    Unknown,
}

impl Class {
    /// As the table of error codes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "Throttled",
            Self::Transient => "Transient",
            Self::WaitState => "WaitState",
            Self::Denied => "Denied",
            Self::Invalid => "Invalid",
            Self::Gone => "Gone",
            Self::Auth => "Auth",
            Self::Refused => "Refused",
            Self::Unknown => "Unknown",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::Throttled,
            Self::Transient,
            Self::WaitState,
            Self::Denied,
            Self::Invalid,
            Self::Gone,
            Self::Auth,
            Self::Refused,
            Self::Unknown,
        ];
        all.into_iter().find(|class| class.as_str() == text)
    }
}

impl CallError {
    /// The kind of obstacle. A call that was not sent counts as a network that is down for a moment.
    pub fn class(&self) -> Class {
        match self {
            Self::Refused(refusal) => refusal.class,
            Self::NotSent(_) => Class::Transient,
            Self::NoAnswer(_) => Class::Unknown,
        }
    }

    /// One of a fixed number of words: the row of the table that fits the error code, or its substitute where there is none. An
    /// answer may hold any code, so that the code itself would be without bound.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotSent(_) => "NotSent",
            Self::NoAnswer(_) => "NoAnswer",
            Self::Refused(refusal) if refusal.unreadable.is_none() => TABLE.code(&refusal.code).unwrap_or("other"),
            Self::Refused(refusal) => match refusal.http_status {
                400..500 => "HTTP 4xx",
                500..600 => "HTTP 5xx",
                _ => "HTTP other",
            },
        }
    }

    /// What the sender of a changing call may do next.
    pub fn retry_rule(&self) -> RetryRule {
        match self {
            Self::Refused(refusal) => refusal.retry_rule(),
            Self::NotSent(_) => RetryRule::Later,
            Self::NoAnswer(_) => RetryRule::Unknown,
        }
    }
}

impl ErrorResponse {
    /// What the sender of a changing call may do next. Whether it may have been executed is checked first.
    pub fn retry_rule(&self) -> RetryRule {
        match (self.executed, self.class) {
            (Executed::Unknown, _) => RetryRule::Unknown,
            (Executed::No, Class::Throttled | Class::Transient | Class::WaitState | Class::Auth) => RetryRule::Later,
            (Executed::No, Class::Denied | Class::Invalid | Class::Gone | Class::Refused | Class::Unknown) => {
                RetryRule::Definite
            }
        }
    }

    /// Whether the identity lacks a permission: other ones, or another grant, would do.
    pub fn names_a_missing_permission(&self) -> bool {
        ["Forbidden.RAM", "Forbidden.SubUser", "Forbidden.Unauthorized", "InvalidUser.Unauthorized"]
            .contains(&self.code.as_str())
    }

    /// Whether it is who calls that is refused: another grant, or another identity, would do. All else that is denied lies with the bill, the
    /// instance or the stock.
    pub fn is_about_rights(&self) -> bool {
        let is_named = ["Forbidden.", "NoPermission"].iter().any(|prefix| self.code.starts_with(prefix));
        self.class == Class::Denied
            && (self.names_a_missing_permission() || is_named && self.code != "Forbidden.RiskControl")
    }

    /// Whether the access key or its token is of no use any more: newer ones may be.
    pub fn names_bad_credentials(&self) -> bool {
        ["InvalidSecurityToken", "MissingSecurityToken", "InvalidAccessKeyId", "Forbidden.AccessKeyDisabled"]
            .iter()
            .any(|prefix| self.code.starts_with(prefix))
    }

    /// Whether it was the Timestamp and not who signed it. The next one is made by the clock that this answer has shown.
    pub fn blames_the_clock(&self) -> bool {
        self.code.starts_with("InvalidTimeStamp") || self.code == "IllegalTimestamp"
    }

    /// Whether one of the instance IDs of a read made ECS refuse all of it.
    pub fn blames_an_instance(&self) -> bool {
        let says_so = self.code.starts_with("InvalidInstanceId") || self.names_instance_id;
        self.class == Class::Gone || self.class == Class::Invalid && says_so
    }
}

/// What was answered, and what to do about it. Advice about a call that changes something is not advice about a read.
impl std::fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { code, http_status, .. } = self;
        let request = self.request_id.as_ref().map(|id| format!(", request {id}")).unwrap_or_default();
        if let Some(why) = &self.unreadable {
            write!(f, "answered with HTTP {http_status}{request}, but {why}")?;
        } else if self.executed == Executed::Unknown {
            write!(f, "answered with HTTP {http_status}, code {code}{request}")?;
        } else {
            return write!(f, "refused with {code} (HTTP {http_status}{request}): {}", self.advice());
        }
        if self.action.is_change() { f.write_str(", outcome not known") } else { write!(f, ": {}", self.advice()) }
    }
}

/// What an error means: by the table's row for its code, else by the HTTP status. Only an answer that is the API's own, and that
/// says by its HTTP status that the call was refused, proves that it was not executed.
pub fn classify(answer: &ErrorAnswer<'_>) -> (Class, Executed) {
    let ErrorAnswer { http_status, code, request_id, message } = *answer;
    let is_whole = code.is_some() && request_id.is_some();
    let is_refused = (400..500).contains(&http_status);
    let row = code.and_then(|code| TABLE.row(code, message)).unwrap_or(match http_status {
        400..500 if is_whole => &TABLE.refused,
        500.. => &TABLE.failed,
        _ => &TABLE.anything_else,
    });
    let is_judged = is_whole && (is_refused || row.http.contains(&http_status));
    (row.class, if is_judged { row.executed } else { Executed::Unknown })
}

#[derive(Clone)]
struct Row {
    /// Empty where the code alone decides.
    message_part: &'static str,
    /// The HTTP statuses that are documented.
    http: Vec<u16>,
    class: Class,
    executed: Executed,
}

impl Row {
    fn matches(&self, message: &str) -> bool {
        self.message_part.is_empty() || message.to_lowercase().contains(&self.message_part.to_lowercase())
    }
}

struct Table {
    exact: HashMap<&'static str, Vec<Row>>,
    /// With the `*` at their end, in the order of the file.
    prefixes: Vec<(&'static str, Row)>,
    /// HTTP 4xx by the API, with a code that has no row.
    refused: Row,
    /// HTTP 5xx, with a code that has no row or without one.
    failed: Row,
    anything_else: Row,
}

impl Table {
    fn row(&self, code: &str, message: &str) -> Option<&Row> {
        let exact = self.exact.get(code).and_then(|rows| rows.iter().find(|row| row.matches(message)));
        exact.or_else(|| self.prefix(code).map(|(_, row)| row))
    }

    fn prefix(&self, code: &str) -> Option<&(&'static str, Row)> {
        self.prefixes.iter().find(|(prefix, _)| code.starts_with(prefix.trim_end_matches('*')))
    }

    /// A code as the table writes it.
    fn code(&self, code: &str) -> Option<&'static str> {
        self.exact.get_key_value(code).map(|(code, _)| *code).or_else(|| Some(self.prefix(code)?.0))
    }
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let unknown = Row { message_part: "", http: Vec::new(), class: Class::Unknown, executed: Executed::Unknown };
    let mut table = Table {
        exact: HashMap::new(),
        prefixes: Vec::new(),
        refused: unknown.clone(),
        failed: unknown.clone(),
        anything_else: unknown,
    };
    for (code, row) in include_str!("errors.tsv").lines().filter_map(parse_row) {
        match code {
            "(4xx)" => table.refused = row,
            "(5xx)" => table.failed = row,
            "*" => table.anything_else = row,
            _ if code.ends_with('*') => table.prefixes.push((code, row)),
            _ => table.exact.entry(code).or_default().push(row),
        }
    }
    table
});

/// `None` for the legend and the heading. A test holds that no other line is skipped.
fn parse_row(line: &'static str) -> Option<(&'static str, Row)> {
    let mut columns = line.split('\t');
    let (code, message_part, http) = (columns.next()?, columns.next()?, columns.next()?);
    let class = Class::parse(columns.next()?)?;
    let executed = match columns.next()? {
        "no" => Executed::No,
        "unknown" => Executed::Unknown,
        _ => return None,
    };
    let http = http.split('|').filter_map(|status| status.parse().ok()).collect();
    Some((code, Row { message_part, http, class, executed }))
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
