//! Targets: the command line, and the Lease that others may have written.

use std::convert::Infallible;
use std::time::Duration;

use ecs_password_reset::clock::Clock;
use ecs_password_reset::leader::{Candidate, ElectionTimes};
use ecs_password_reset::settings;
use kube::client::Body;
use tower::service_fn;

use super::near::fuzz;

#[test]
fn command_lines() {
    let words = "--request-validity-seconds --restart-settle-seconds --describe-interval-milliseconds --secret-poll-seconds \
        --concurrency --leader-elect=false --leader-elect-renew-deadline-seconds --log-filter --log-format --help 0.0.0.0:8080";
    fuzz("command_lines", words, |input| {
        let text = String::from_utf8_lossy(input);
        let line = ["ecs-password-reset", "controller"].into_iter().chain(text.lines());
        let Ok(settings) = settings::parse(line.map(str::to_owned)) else { return };
        let ElectionTimes { lease_duration, renew_deadline, retry_period } = settings.election;
        assert!(retry_period < renew_deadline, "one try and no other");
        assert!(lease_duration >= renew_deadline + settings.ecs_connect_timeout, "two could lead at once");
        let of_ecs = settings.request_validity >= Duration::from_mins(32);
        assert!(settings.allow_short_safety_times || of_ecs, "a limit that protects machines was loosened");
        assert!((1..=63).contains(&settings.namespace.len()) && settings.concurrency > 0);
    });
}

/// An API server that holds `lease` and takes no write.
fn server(lease: Vec<u8>) -> kube::Client {
    let service = service_fn(move |request: http::Request<Body>| {
        let (code, body) = if request.method() == http::Method::GET {
            (200, lease.clone())
        } else {
            (409, br#"{"kind": "Status", "code": 409, "reason": "Conflict", "message": ""}"#.to_vec())
        };
        async move { Ok::<_, Infallible>(http::Response::builder().status(code).body(Body::from(body)).unwrap()) }
    });
    kube::Client::new(service, "system")
}

#[test]
fn leases() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let times = ElectionTimes {
        lease_duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    };
    fuzz("leases", "2147483647 2147483648", |input| {
        let clock = Clock::simulated("2026-11-24T12:00:00Z".parse().unwrap(), 1.0, 1);
        let leads = runtime.block_on(async {
            let mut candidate = Candidate::new(server(input.to_vec()), "system", "me".to_owned(), times, clock);
            let leadership = candidate.leadership();
            let acquired = tokio::time::timeout(Duration::from_secs(20), candidate.acquire(|| {})).await;
            acquired.is_ok() || leadership.permit(Duration::ZERO).is_some()
        });
        assert!(!leads, "a process leads whose write was never taken");
    });
}
