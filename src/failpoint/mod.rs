//! Points at which a test has this process killed or stopped: around every request to the API server and every call to
//! ECS. Compiled in only under the feature `failpoints`; without it [`around`] is the request and nothing else.
//!
//! A point is `<request>@<n>:<stage>`: the n-th such request of this process, `before` it is sent, `sent` but not answered,
//! or `answered` but the answer not used.

/// Makes a request, whose name is a verb and a kind.
#[cfg(not(feature = "failpoints"))]
pub async fn around<F: Future>(_verb: &str, _kind: &str, request: F) -> F::Output {
    request.await
}

#[cfg(feature = "failpoints")]
mod armed;

#[cfg(feature = "failpoints")]
pub use armed::around;
