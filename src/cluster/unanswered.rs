//! Why the API server did not answer: its address and every cause, for the log. Never what was sent or received.
//!
//! kube's errors say "client error (Connect)" and leave the rest to their sources.

use std::error::Error;
use std::fmt::Write as _;

use kube::client::AuthError;
use tower::BoxError;

/// The server that did not answer, and why.
#[derive(Debug, thiserror::Error)]
#[error("{server} did not answer: {why}")]
struct Unanswered {
    server: String,
    why: String,
}

/// The error of a request, with the server and every cause in its words. An error of kube's own stays as it is.
pub fn unanswered(server: &str, error: BoxError) -> BoxError {
    if error.is::<kube::Error>() {
        return error;
    }
    Box::new(Unanswered { server: server.trim_end_matches('/').to_owned(), why: causes(&*error) })
}

/// Why a request brought no usable answer.
pub(super) fn why(error: &kube::Error) -> String {
    match error {
        kube::Error::Service(error) => causes(&**error),
        kube::Error::HyperError(error) => causes(error),
        kube::Error::ReadEvents(error) => causes(error),
        kube::Error::Auth(error) => causes(error),
        _ => "the answer cannot be used".to_owned(),
    }
}

/// An error and its sources, but for what a source repeats.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        // It may quote what a credential plugin of a kubeconfig has printed.
        let words =
            if error.is::<AuthError>() { "there are no credentials for it".to_owned() } else { error.to_string() };
        if text.is_empty() {
            text = words;
        } else if !text.contains(&words) {
            let _ = write!(text, ": {words}");
        }
        next = error.source().filter(|_| !error.is::<AuthError>());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("client error (Connect)")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("tcp connect error: {0}")]
    struct Inner(#[source] io::Error);

    #[test]
    fn server_and_every_cause_are_named_once() {
        let error = Outer(Inner(io::Error::other("connection refused")));
        let named = unanswered("https://10.0.0.1:6443/", error.into());
        let expected =
            "https://10.0.0.1:6443 did not answer: client error (Connect): tcp connect error: connection refused";
        assert_eq!(named.to_string(), expected);
        assert_eq!(why(&kube::Error::Service(named)), expected);
    }

    #[test]
    fn what_a_credential_plugin_printed_is_left_out() {
        let printed = AuthError::AuthExec("token: hunter2".to_owned());
        let named = unanswered("https://10.0.0.1:6443", printed.into());
        assert_eq!(named.to_string(), "https://10.0.0.1:6443 did not answer: there are no credentials for it");
        let printed = AuthError::AuthExec("token: hunter2".to_owned());
        assert!(!why(&kube::Error::Auth(printed)).contains("hunter2"));
    }
}
