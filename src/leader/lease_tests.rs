//! Candidates against an API server that holds one Lease, in paused time: what is asked for, and how long things take.

use std::pin::pin;
use std::sync::{Arc, Mutex};

use futures::future::pending;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::{advance, sleep_until};
use tower::service_fn;

use super::*;

const TIMING: ElectionTimes = ElectionTimes {
    lease_duration: Duration::from_secs(15),
    renew_deadline: Duration::from_secs(10),
    retry_period: Duration::from_secs(2),
};

/// An API server with room for one Lease.
#[derive(Default)]
struct Server {
    lease: Option<Value>,
    version: u64,
    /// Verb and holder of each write that was tried.
    writes: Vec<(String, String)>,
    requests: usize,
    /// The next write is handled and never answered.
    loses_answer: bool,
    /// No request arrives.
    down: bool,
    /// How long an answer is under way.
    answer_takes: Duration,
}

type Shared = Arc<Mutex<Server>>;

impl Server {
    /// `None`: the sender hears nothing.
    fn answer(&mut self, method: &str, body: &[u8]) -> Option<(u16, Value)> {
        self.requests += 1;
        if self.down {
            return None;
        }
        let answer = self.handle(method, body);
        let lost = method != "GET" && std::mem::take(&mut self.loses_answer);
        (!lost).then_some(answer)
    }

    fn handle(&mut self, method: &str, body: &[u8]) -> (u16, Value) {
        let refused = |code: u16, reason: &str| (code, json!({"kind": "Status", "code": code, "reason": reason}));
        if method == "GET" {
            return self.lease.clone().map_or_else(|| refused(404, "NotFound"), |lease| (200, lease));
        }
        let mut written: Value = serde_json::from_slice(body).unwrap();
        let holder = written["spec"]["holderIdentity"].as_str().unwrap();
        self.writes.push((method.to_owned(), holder.to_owned()));
        let based_on = &written["metadata"]["resourceVersion"];
        match (method, &self.lease) {
            ("POST", None) => {}
            ("PUT", Some(stored)) if stored["metadata"]["resourceVersion"] == *based_on => {}
            ("POST" | "PUT", _) => return refused(409, "Conflict"),
            _ => panic!("{method} is no way to write a Lease"),
        }
        (200, self.store(written.take()))
    }

    fn store(&mut self, mut lease: Value) -> Value {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease.insert(lease).clone()
    }

    /// A write by a client that is not a candidate.
    fn edit(&mut self, edit: impl FnOnce(&mut Value)) {
        let mut lease = self.lease.take().unwrap();
        edit(&mut lease);
        self.store(lease);
    }
}

fn client(server: &Shared) -> Client {
    let server = Arc::clone(server);
    let service = service_fn(move |request: http::Request<Body>| {
        let server = Arc::clone(&server);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            let answer = server.lock().unwrap().answer(parts.method.as_str(), &body);
            let Some((code, body)) = answer else { return pending().await };
            let answer_takes = server.lock().unwrap().answer_takes;
            sleep_until(now() + answer_takes).await;
            let response = http::Response::builder().status(code).body(Body::from(serde_json::to_vec(&body).unwrap()));
            Ok::<_, std::convert::Infallible>(response.unwrap())
        }
    });
    Client::new(service, "system")
}

/// A candidate whose wall clock shows this hour.
fn candidate_at(server: &Shared, identity: &str, hour: u64) -> Candidate {
    let clock = Clock::simulated(format!("2026-11-24T{hour:02}:00:00Z").parse().unwrap(), 1.0, 1);
    Candidate::new(client(server), "system", identity.to_owned(), TIMING, clock)
}

fn candidate(server: &Shared, identity: &str) -> Candidate {
    candidate_at(server, identity, 12)
}

/// A candidate that leads, with its Lease in a server of its own.
async fn leader() -> (Candidate, Shared) {
    let server = Shared::default();
    let mut leader = candidate(&server, "leader");
    leader.acquire(|| panic!("nobody else leads")).await;
    (leader, server)
}

fn spec(server: &Shared) -> Value {
    server.lock().unwrap().lease.as_ref().unwrap()["spec"].clone()
}

async fn seconds(seconds: u64) {
    sleep_until(now() + Duration::from_secs(seconds)).await;
}

fn leads(leadership: &Leadership) -> bool {
    leadership.permit(Duration::ZERO).is_some()
}

#[tokio::test(start_paused = true)]
async fn first_candidate_leads_at_once_and_the_next_waits() {
    let (leader, server) = leader().await;
    let expected = json!({
        "holderIdentity": "leader",
        "leaseDurationSeconds": 15,
        "leaseTransitions": 0,
        "acquireTime": "2026-11-24T12:00:00.000000Z",
        "renewTime": "2026-11-24T12:00:00.000000Z",
    });
    assert_eq!(spec(&server), expected);
    assert!(leads(&leader.leadership()));

    let mut standby = candidate(&server, "standby");
    let told = std::cell::Cell::new(0);
    let acquired = timeout(Duration::from_secs(10), standby.acquire(|| told.set(told.get() + 1))).await;
    assert!(acquired.is_err());
    assert_eq!(told.get(), 1, "once for each leader, not for each look");
    assert!(!leads(&standby.leadership()));
    assert_eq!(server.lock().unwrap().writes.len(), 1, "a standby only looks");
}

#[tokio::test(start_paused = true)]
async fn a_leader_renews_for_as_long_as_it_lives() {
    let (mut leader, server) = leader().await;
    let leadership = leader.leadership();
    assert!(timeout(Duration::from_hours(1), leader.hold()).await.is_err());
    assert!(leads(&leadership));
    let renewals = 3_600 / 2 - 1;
    assert_eq!(server.lock().unwrap().writes.len(), 1 + renewals);
    assert_eq!(server.lock().unwrap().requests, 2 + renewals, "a renewal reads nothing");
    let spec = spec(&server);
    assert_eq!((&spec["leaseTransitions"], &spec["acquireTime"]), (&json!(0), &json!("2026-11-24T12:00:00.000000Z")));
    assert_eq!(spec["renewTime"], "2026-11-24T12:59:58.000000Z");
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_within_a_second() {
    let (leader, server) = leader().await;
    let leadership = leader.leadership();
    let mut standby = candidate(&server, "standby");
    let mut standing = pin!(standby.acquire(|| {}));
    assert!(timeout(Duration::from_millis(5_300), &mut standing).await.is_err());
    leader.release().await;
    let released = now();
    assert!(!leads(&leadership));
    assert_eq!((&spec(&server)["holderIdentity"], &spec(&server)["leaseDurationSeconds"]), (&json!(""), &json!(1)));
    standing.await;
    assert!(now() - released <= Duration::from_secs(1));
    let spec = spec(&server);
    assert_eq!((&spec["holderIdentity"], &spec["leaseTransitions"]), (&json!("standby"), &json!(1)));
    assert_eq!(spec["acquireTime"], "2026-11-24T12:00:06.000000Z");
}

#[tokio::test(start_paused = true)]
async fn crashed_leaders_lease_is_taken_whatever_the_clocks_say() {
    for (leader_hour, standby_hour) in [(12, 12), (0, 23), (23, 0)] {
        let server = Shared::default();
        let mut leader = candidate_at(&server, "leader", leader_hour);
        leader.acquire(|| {}).await;
        let leadership = leader.leadership();
        let mut standby = candidate_at(&server, "standby", standby_hour);
        let mut standing = pin!(standby.acquire(|| {}));
        {
            let mut holding = pin!(leader.hold());
            tokio::select! {
                () = &mut standing => panic!("the leader lives"),
                _ = &mut holding => panic!("nothing disturbs it"),
                () = seconds(61) => {}
            }
        }
        // Its last renewal was a second ago, and the standby looks once a second.
        let crashed = now();
        standing.await;
        let took = now() - crashed;
        assert!((Duration::from_secs(14)..=Duration::from_secs(16)).contains(&took), "{took:?}");
        assert!(!leads(&leadership), "the crashed leader's time was over before");
        assert_eq!(spec(&server)["leaseTransitions"], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_before_anybody_else_can_lead() {
    let (mut leader, server) = leader().await;
    let leadership = leader.leadership();
    let acquired = now();
    server.lock().unwrap().down = true;
    assert_eq!(leader.hold().await, LeadershipLoss::NotRenewed(TIMING.renew_deadline));
    assert_eq!(now() - acquired, TIMING.renew_deadline);
    assert!(!leads(&leadership));
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_does_not_lengthen_leadership() {
    let server = Shared::default();
    server.lock().unwrap().answer_takes = Duration::from_secs(4);
    let mut leader = candidate(&server, "leader");
    leader.acquire(|| {}).await;
    // The others count from when the API server stored it, which was up to four seconds ago.
    let left = TIMING.lease_duration.saturating_sub(Duration::from_secs(4));
    assert!(leader.leadership().permit(left.saturating_sub(Duration::from_millis(10))).is_some());
    assert!(leader.leadership().permit(left).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_is_survived() {
    let (mut leader, server) = leader().await;
    let leadership = leader.leadership();
    let mut holding = pin!(leader.hold());
    assert!(timeout(Duration::from_secs(1), &mut holding).await.is_err());
    server.lock().unwrap().down = true;
    assert!(timeout(Duration::from_secs(5), &mut holding).await.is_err());
    server.lock().unwrap().down = false;
    assert!(timeout(Duration::from_mins(1), &mut holding).await.is_err());
    assert!(leads(&leadership));
}

#[tokio::test(start_paused = true)]
async fn paused_leader_that_wakes_too_late_has_lost() {
    let (mut leader, server) = leader().await;
    let leadership = leader.leadership();
    let mut holding = pin!(leader.hold());
    assert!(timeout(Duration::from_secs(3), &mut holding).await.is_err());
    let before = server.lock().unwrap().requests;
    advance(Duration::from_mins(1)).await;
    assert!(!leads(&leadership), "leadership needs no message to end");
    assert_eq!(holding.await, LeadershipLoss::NotRenewed(TIMING.renew_deadline));
    assert_eq!(server.lock().unwrap().requests, before);
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_is_lost_is_made_again_before_it_counts() {
    let server = Shared::default();
    server.lock().unwrap().loses_answer = true;
    let mut candidate = candidate(&server, "me");
    let leadership = candidate.leadership();
    let mut acquiring = pin!(candidate.acquire(|| {}));
    assert!(timeout(Duration::from_secs(4), &mut acquiring).await.is_err());
    assert_eq!(spec(&server)["holderIdentity"], "me");
    assert!(!leads(&leadership), "it does not know");
    acquiring.await;
    assert!(leads(&leadership));
    let expected = ["POST", "PUT"].map(|verb| (verb.to_owned(), "me".to_owned()));
    assert_eq!(server.lock().unwrap().writes, expected);
    assert_eq!(spec(&server)["leaseTransitions"], 0, "it has not changed hands");
}

#[tokio::test(start_paused = true)]
async fn renewal_with_a_lost_answer_is_read_and_made_again() {
    let (mut leader, server) = leader().await;
    server.lock().unwrap().loses_answer = true;
    let leadership = leader.leadership();
    assert!(timeout(Duration::from_mins(1), leader.hold()).await.is_err());
    assert!(leads(&leadership));
}

#[tokio::test(start_paused = true)]
async fn a_label_on_the_lease_disturbs_nothing_and_is_kept() {
    let (mut leader, server) = leader().await;
    server.lock().unwrap().edit(|lease| lease["metadata"]["labels"] = json!({"team": "ops"}));
    assert!(timeout(Duration::from_mins(1), leader.hold()).await.is_err());
    let lease = server.lock().unwrap().lease.clone().unwrap();
    assert_eq!(lease["metadata"]["labels"], json!({"team": "ops"}));
    assert_eq!(lease["spec"]["acquireTime"], "2026-11-24T12:00:00.000000Z");
    assert_eq!(lease["spec"]["renewTime"], "2026-11-24T12:00:58.000000Z");
}

#[tokio::test(start_paused = true)]
async fn lease_taken_emptied_or_deleted_is_lost() {
    type Edit = fn(&mut Server);
    let edits: [(Edit, LeadershipLoss); 3] = [
        (
            |server| server.edit(|it| it["spec"]["holderIdentity"] = json!("other")),
            LeadershipLoss::Taken("other".to_owned()),
        ),
        (|server| server.edit(|it| it["spec"]["holderIdentity"] = json!("")), LeadershipLoss::Gone),
        (|server| server.lease = None, LeadershipLoss::Gone),
    ];
    for (edit, loss) in edits {
        let (mut leader, server) = leader().await;
        let leadership = leader.leadership();
        edit(&mut server.lock().unwrap());
        assert_eq!(leader.hold().await, loss);
        assert!(!leads(&leadership));
    }
}

#[tokio::test(start_paused = true)]
async fn two_that_claim_at_once_do_not_both_lead() {
    let server = Shared::default();
    let (mut one, mut two) = (candidate(&server, "one"), candidate(&server, "two"));
    let (first, second) = (one.leadership(), two.leadership());
    tokio::select! {
        () = async { tokio::join!(one.acquire(|| {}), two.acquire(|| {})); } => panic!("both lead"),
        () = seconds(10) => {}
    }
    assert_eq!(server.lock().unwrap().writes.len(), 2, "both have tried");
    assert_ne!(leads(&first), leads(&second));
}

#[tokio::test(start_paused = true)]
async fn a_release_leaves_the_lease_of_another_alone() {
    let (leader, server) = leader().await;
    server.lock().unwrap().edit(|lease| lease["spec"]["holderIdentity"] = json!("other"));
    leader.release().await;
    assert_eq!(spec(&server)["holderIdentity"], "other");
    assert_eq!(server.lock().unwrap().writes.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_release_meets_the_last_renewal_and_is_made_again() {
    let (leader, server) = leader().await;
    server.lock().unwrap().answer_takes = Duration::from_secs(2);
    // The renewal that was under way arrives after the release has read, and before it writes.
    let renewal = async {
        seconds(1).await;
        server.lock().unwrap().edit(|lease| lease["spec"]["renewTime"] = json!("2026-11-24T12:00:01.000000Z"));
    };
    tokio::join!(leader.release(), renewal);
    assert_eq!(spec(&server)["holderIdentity"], "");
}
