//! What became of a call that brought no success, and what follows from it.
//!
//! Two questions are answered apart: may the call have been executed ([`Executed`], [`Verdict`]), and what is in the
//! way ([`Class`]). The answers are data: `errors.tsv` holds a row for every code that the documents name.
//!
//! Nothing here holds a body, a password, a key or a signature.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use super::SendError;

/// A call without a success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// ECS, or something in front of it, answered with an error.
    #[error("{0}")]
    Refused(Refusal),
    /// No byte of the call left this machine.
    #[error("the call was not sent: {0}")]
    NotSent(String),
    /// The call may have left, and no answer says what became of it.
    #[error("the call was sent but its outcome is unknown: {0}")]
    Unknown(String),
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The API's error code, or `HTTP <status>` when the answer had none.
    pub code: String,
    /// For people only: one code appears with several.
    pub http_status: u16,
    /// What Alibaba support asks for.
    pub request_id: Option<String>,
    /// Whether the API's explanation speaks of the parameter `InstanceId`. The explanation itself may repeat anything.
    pub names_instance_id: bool,
    /// Whether the call may have been executed all the same.
    pub executed: Executed,
    /// What is in the way.
    pub class: Class,
    /// Not before this has passed should the call be made again; told by some throttled answers.
    pub retry_after: Option<Duration>,
}

/// Whether a refused call may have been executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executed {
    /// Refused before anything ran.
    No,
    /// It may have run.
    Unknown,
}

/// What is in the way of a call. Delay and reason follow from it.
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
    /// The credentials, the signature or the clock: load them anew, then sign again.
    Auth,
    /// Nobody can say: it was sent and not answered, or answered with something that no document names.
    Unknown,
}

/// What the sender of a changing call may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not executed, and what is in the way may pass: look again later.
    Later,
    /// Not executed, and the same call would be refused again.
    Definite,
    /// It may have been executed: observe, do not send.
    Unknown,
}

impl Class {
    /// As the table of error codes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "Throttled",
            Self::Transient => "Transient",
            Self::WaitState => "WaitState",
            Self::Denied => "Denied",
            Self::Invalid => "Invalid",
            Self::Gone => "Gone",
            Self::Auth => "Auth",
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
            Self::Unknown,
        ];
        all.into_iter().find(|class| class.as_str() == text)
    }

    /// What to do next, in words for people.
    fn advice(self) -> &'static str {
        match self {
            Self::Throttled => "too many calls; it is tried again more slowly",
            Self::Transient => "it is tried again",
            Self::WaitState => "it is tried again when the instance is Running or Stopped",
            Self::Denied => "check the account's RAM policy, its balance and the instance's locks",
            Self::Invalid => "it is not repeated; look the error code up in the ECS API reference",
            Self::Gone => "check the instance ID, the region and the RAM policy",
            Self::Auth => "check the credentials and the clock of this machine",
            Self::Unknown => "look the error code up, and look at the instance",
        }
    }
}

impl CallError {
    /// What is in the way. A call that was not sent is as good as a network that is down for a moment.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Refused(refusal) => refusal.class,
            Self::NotSent(_) => Class::Transient,
            Self::Unknown(_) => Class::Unknown,
        }
    }

    /// What the sender of a changing call may do next.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Refused(refusal) => refusal.verdict(),
            Self::NotSent(_) => Verdict::Later,
            Self::Unknown(_) => Verdict::Unknown,
        }
    }
}

impl From<SendError> for CallError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NotSent(why) => Self::NotSent(why),
            SendError::Unknown(why) => Self::Unknown(why),
        }
    }
}

impl Refusal {
    /// What the sender of a changing call may do next. Whether it may have been executed is looked at first.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (self.executed, self.class) {
            (Executed::Unknown, _) => Verdict::Unknown,
            (Executed::No, Class::Throttled | Class::Transient | Class::WaitState | Class::Auth) => Verdict::Later,
            (Executed::No, Class::Denied | Class::Invalid | Class::Gone | Class::Unknown) => Verdict::Definite,
        }
    }

    /// Whether the identity lacks a permission: other ones, or another grant, would do.
    #[must_use]
    pub fn names_a_missing_permission(&self) -> bool {
        ["Forbidden.RAM", "Forbidden.SubUser", "Forbidden.Unauthorized", "InvalidUser.Unauthorized"]
            .contains(&self.code.as_str())
    }

    /// Whether the access key or its token is of no use any more: newer ones may be.
    #[must_use]
    pub fn names_bad_credentials(&self) -> bool {
        ["InvalidSecurityToken", "MissingSecurityToken", "InvalidAccessKeyId", "Forbidden.AccessKeyDisabled"]
            .iter()
            .any(|prefix| self.code.starts_with(prefix))
    }

    /// Whether it was the Timestamp and not who signed it. The next one is made by the clock that this answer has shown.
    #[must_use]
    pub fn blames_the_clock(&self) -> bool {
        self.code.starts_with("InvalidTimeStamp") || self.code == "IllegalTimestamp"
    }

    /// Whether one of the instance IDs of a read made ECS refuse all of it.
    #[must_use]
    pub fn blames_an_instance(&self) -> bool {
        let says_so = self.code.starts_with("InvalidInstanceId") || self.names_instance_id;
        self.class == Class::Gone || self.class == Class::Invalid && says_so
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused with {} (HTTP {}", self.code, self.http_status)?;
        if let Some(request_id) = &self.request_id {
            write!(f, ", request {request_id}")?;
        }
        write!(f, "): {}", self.class.advice())
    }
}

/// What the table says about an error. `code` is `None` for an answer without one.
#[must_use]
pub fn classify(code: Option<&str>, message: &str, http_status: u16) -> (Class, Executed) {
    let Some(code) = code else {
        let row = if http_status >= 500 { TABLE.no_code } else { TABLE.anything_else };
        return (row.class, row.executed);
    };
    let row = TABLE.exact.get(code).and_then(|rows| rows.iter().find(|row| row.matches(message)));
    let row = row.or_else(|| TABLE.prefixes.iter().find(|(prefix, _)| code.starts_with(prefix)).map(|(_, row)| row));
    let Row { class, executed, .. } = row.unwrap_or(&TABLE.anything_else);
    (*class, *executed)
}

#[derive(Clone, Copy)]
struct Row {
    /// Empty where the code alone decides.
    message_part: &'static str,
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
    prefixes: Vec<(&'static str, Row)>,
    /// HTTP 5xx without a code.
    no_code: Row,
    anything_else: Row,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let unknown = Row { message_part: "", class: Class::Unknown, executed: Executed::Unknown };
    let mut table = Table { exact: HashMap::new(), prefixes: Vec::new(), no_code: unknown, anything_else: unknown };
    for (code, row) in include_str!("errors.tsv").lines().filter_map(parse_row) {
        match (code, code.strip_suffix('*')) {
            ("(none)", _) => table.no_code = row,
            ("*", _) => table.anything_else = row,
            (_, Some(prefix)) => table.prefixes.push((prefix, row)),
            (_, None) => table.exact.entry(code).or_default().push(row),
        }
    }
    table
});

/// `None` for the legend and the heading. A test holds that no other line is skipped.
fn parse_row(line: &'static str) -> Option<(&'static str, Row)> {
    let mut columns = line.split('\t');
    let (code, message_part, _http) = (columns.next()?, columns.next()?, columns.next()?);
    let class = Class::parse(columns.next()?)?;
    let executed = match columns.next()? {
        "no" => Executed::No,
        "unknown" => Executed::Unknown,
        _ => return None,
    };
    Some((code, Row { message_part, class, executed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_the_table_is_skipped() {
        let lines: Vec<_> = include_str!("errors.tsv").lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines[0].starts_with("code\tmessage\t"));
        for line in &lines[1..] {
            assert!(parse_row(line).is_some(), "{line}");
            assert_eq!(line.split('\t').count(), 7, "{line}");
        }
    }

    #[test]
    fn the_message_tells_apart_what_operation_denied_means() {
        let class = |message| classify(Some("OperationDenied"), message, 403);
        let wrong_status = "The current status of the resource does not support this operation.";
        assert_eq!(class(wrong_status), (Class::WaitState, Executed::No));
        assert_eq!(class("The specified Image is disabled or is deleted."), (Class::Denied, Executed::No));
        assert_eq!(class("Something new."), (Class::Unknown, Executed::Unknown));
    }

    #[test]
    fn wild_cards_cover_what_has_no_row_of_its_own() {
        assert_eq!(classify(Some("Throttling.Anything"), "", 400), (Class::Throttled, Executed::No));
        assert_eq!(classify(Some("MissingParameter.CommandId"), "", 400), (Class::Invalid, Executed::No));
        assert_eq!(classify(Some("NobodyKnows"), "", 403), (Class::Unknown, Executed::Unknown));
    }

    #[test]
    fn the_http_status_decides_nothing_where_there_is_a_code() {
        assert_eq!(classify(Some("IncorrectInstanceStatus"), "", 500), (Class::WaitState, Executed::No));
        assert_eq!(classify(None, "", 502), (Class::Transient, Executed::Unknown));
        assert_eq!(classify(None, "", 403), (Class::Unknown, Executed::Unknown));
    }
}
