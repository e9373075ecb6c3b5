//! Why a request to the API server brought nothing, in our own words. It never holds a body, nor anything of an answer but what admission
//! said about a kind that holds no secret.

/// The kinds whose words of refusal are shown: no password is ever in one.
const HOLD_NO_SECRET: [&str; 3] = ["PasswordReset", "ResetRecord", "ECSAccount"];
/// How the words begin in which the API server passes on what its admission said.
const REFUSALS_OF_ADMISSION: [&str; 3] = ["ValidatingAdmissionPolicy '", "admission webhook \"", "exceeded quota: "];
/// As much of them as a row or an event has room for.
const ADMISSION_WORDS_BYTES_MAX: usize = 512;

/// Why a request to the API server brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// There is no such object.
    #[error("{what} does not exist")]
    NotFound {
        /// The object.
        what: String,
    },
    /// The object was changed in the meantime, or exists already.
    #[error("{what} was changed in the meantime")]
    Conflict {
        /// The object.
        what: String,
    },
    /// The controller may not do this.
    #[error("the controller may not {verb} {what}; check its Role and RoleBindings")]
    Forbidden {
        /// The object.
        what: String,
        /// What was tried.
        verb: &'static str,
    },
    /// The API server refused it.
    #[error("the API server refused to {verb} {what} (HTTP {code}, {reason}){}", said(words.as_ref()))]
    Refused {
        /// The object.
        what: String,
        /// What was tried.
        verb: &'static str,
        /// The HTTP status.
        code: u16,
        /// The API server's one-word reason.
        reason: String,
        /// What an admission policy, a webhook or a quota said, for a kind that holds no secret.
        words: Option<String>,
    },
    /// No usable answer; a write may have been made.
    #[error("the API server did not answer the request to {verb} {what}; the controller tries again")]
    Unanswered {
        /// The object.
        what: String,
        /// What was tried.
        verb: &'static str,
    },
    /// The record claims another instance than the one that it is named after.
    #[error(
        "{what} names a different instance in its spec than in its name; it is not used until a cluster admin fixes it"
    )]
    Misnamed {
        /// The record.
        what: String,
    },
    /// The object is stored in a form that this version cannot read.
    #[error("{what} is stored in a form that this version cannot read: {why}")]
    Unreadable {
        /// The object.
        what: String,
        /// Why, by field and type; never a value of a Secret.
        why: String,
        /// Its generation, where even that can be read.
        generation: Option<i64>,
    },
}

impl ClusterError {
    /// Whether what was written upon is not what is stored, or may not be.
    pub fn shows_another_version(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Unanswered { .. } | Self::NotFound { .. })
    }

    /// Whether a write that ended so may have been made, or met another version. A proxy in front of the API server may fail after the
    /// object was stored.
    pub fn leaves_doubt(&self) -> bool {
        !matches!(self, Self::Forbidden { .. } | Self::Refused { code: ..500, .. })
    }
}

/// Our own words: kube's errors may show what was sent or received.
pub(super) fn classify(error: &kube::Error, verb: &'static str, what: String) -> ClusterError {
    match error {
        kube::Error::Api(status) => match (status.code, admission_words(&what, &status.message)) {
            (404, None) => ClusterError::NotFound { what },
            (409, None) => ClusterError::Conflict { what },
            (403, None) => ClusterError::Forbidden { what, verb },
            (code, words) => ClusterError::Refused { what, verb, code, reason: status.reason.clone(), words },
        },
        kube::Error::SerdeError(_) => {
            ClusterError::Unreadable { what, why: "it cannot be parsed".to_owned(), generation: None }
        }
        _ => ClusterError::Unanswered { what, verb },
    }
}

/// What admission said when it refused to write an object of ours. Nothing else of an answer is copied: of a Secret it could hold
/// a value.
fn admission_words(what: &str, message: &str) -> Option<String> {
    let kind = what.split(' ').next().unwrap_or_default();
    if !HOLD_NO_SECRET.contains(&kind) {
        return None;
    }
    let begin = REFUSALS_OF_ADMISSION.iter().filter_map(|sign| message.find(sign)).min()?;
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    let words: String = message.get(begin..)?.chars().map(plain).collect();
    let end = words.floor_char_boundary(ADMISSION_WORDS_BYTES_MAX);
    words.get(..end).map(str::to_owned)
}

fn said(words: Option<&String>) -> String {
    words.map_or_else(String::new, |words| format!(": {words}"))
}
