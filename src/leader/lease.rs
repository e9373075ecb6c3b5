//! The Lease on the API server: the reads and writes that [`super::election`] asks for, and the loop that keeps them
//! coming. Does not decide who leads.
//!
//! It is written by `create` and by `replace` with resourceVersion, never by patch, and each request is made once. What is
//! not answered may have been done: it is read again.

use std::convert::Infallible;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client, Error, ResourceExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::election::{Election, ElectionTimes, LeadershipLoss, LeaseView, Write};
use super::leadership::Leadership;
use crate::clock::Clock;

/// The name of the Lease, in the controller's namespace. It is fixed, since the right to write it is given by name.
pub const LEASE_NAME: &str = "ecs-password-reset";

/// How often a release is tried that meets another write, for example the last renewal of this process.
const RELEASE_TRIES: u32 = 3;

/// This process as a candidate in the election.
pub struct Candidate {
    api: Api<Lease>,
    clock: Clock,
    request_timeout: Duration,
    election: Election,
    /// As last read or written. A replace keeps what others have put on it, such as labels.
    lease: Option<Lease>,
    leads_until: watch::Sender<Option<Instant>>,
    /// Whether the last request brought nothing: the first of a row is worth a warning, not each.
    failing: bool,
    /// Whether this process has tried to write the Lease in its name: then it may hold it, answered or not.
    has_claimed: bool,
}

/// A request that brought nothing; it has been logged.
struct Failed;

impl Candidate {
    /// A candidate that has not looked yet. `client` must not retry by itself, and should be nobody else's: a renewal that
    /// waits for a connection behind a hundred other requests is a leadership lost. `clock` only makes the times that
    /// people read.
    pub fn new(client: Client, namespace: &str, identity: String, times: ElectionTimes, clock: Clock) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            clock,
            // A renewal that is not answered leaves time to see what became of it.
            request_timeout: times.renew_deadline / 2,
            election: Election::new(identity, times),
            lease: None,
            leads_until: watch::Sender::new(None),
            failing: false,
            has_claimed: false,
        }
    }

    /// What the calls of this process are allowed by while it leads.
    pub fn leadership(&self) -> Leadership {
        Leadership::until(self.leads_until.subscribe())
    }

    /// Stands by until this process leads. `standing_by` is called for each other leader that a look has shown.
    pub async fn acquire(&mut self, standing_by: impl Fn()) {
        let mut leader = String::new();
        loop {
            let began = now();
            // Only who leads can lose.
            let _ = self.round().await;
            let (holder, since) = self.lease.as_ref().map(held).unwrap_or_default();
            if self.election.leads_until().is_some() {
                tracing::info!(leader = holder, since, "this process leads");
                return;
            }
            if leader != holder && !holder.is_empty() {
                tracing::info!(leader = holder, since, "another process leads; standing by");
                standing_by();
                holder.clone_into(&mut leader);
            }
            sleep_until(began + self.election.pause()).await;
        }
    }

    /// Renews until leadership is lost. No call is permitted then, and what was begun under this leadership has to stop: dropped,
    /// not finished.
    pub async fn hold(&mut self) -> LeadershipLoss {
        let Err(loss) = self.renew().await;
        self.leads_until.send_replace(None);
        loss
    }

    /// Gives the Lease back, so that the next leader need not wait until it expires. For who has nothing more to send.
    pub async fn release(mut self) {
        self.leads_until.send_replace(None);
        if !self.has_claimed {
            return;
        }
        for _ in 0..RELEASE_TRIES {
            let Ok(lease) = self.read().await else { break };
            let Some(write) = self.election.release(lease.as_ref().map(seen)) else { return };
            if self.write(lease, &write).await.is_ok() {
                tracing::info!("the Lease is released");
                return;
            }
        }
        tracing::warn!("the Lease could not be released; the next leader waits until it expires");
    }

    async fn renew(&mut self) -> Result<Infallible, LeadershipLoss> {
        let mut began = now();
        loop {
            // Also where the process stood still for a while: here it learns that it is too late.
            let deadline = self.election.renew_by(now())?;
            sleep_until(deadline.min(began + self.election.pause())).await;
            began = now();
            // A round that is cut off has not renewed, and the next look at the deadline says so.
            if let Ok(round) = timeout_at(deadline, self.round()).await {
                round?;
            }
        }
    }

    /// A renewal; or a look, and the claim that it gives reason to make.
    async fn round(&mut self) -> Result<(), LeadershipLoss> {
        if let Some(write) = self.election.renewal()
            && self.claim(self.lease.clone(), &write).await.is_ok()
        {
            return Ok(());
        }
        let Ok(lease) = self.read().await else { return Ok(()) };
        let claim = self.election.read(lease.as_ref().map(seen), now())?;
        self.lease.clone_from(&lease);
        if let Some(write) = claim {
            // Refused or not answered: the next round reads what there is then.
            let _ = self.claim(lease, &write).await;
        }
        Ok(())
    }

    /// Writes the Lease in this process's name. That makes a leader only once it is answered.
    async fn claim(&mut self, base: Option<Lease>, write: &Write) -> Result<(), Failed> {
        let sent = now();
        self.has_claimed = true;
        let stored = self.write(base, write).await;
        match &stored {
            Ok(lease) => self.election.written(seen(lease), sent),
            Err(Failed) => self.election.not_written(),
        }
        self.leads_until.send_replace(self.election.leads_until());
        self.lease = Some(stored?);
        Ok(())
    }

    async fn read(&mut self) -> Result<Option<Lease>, Failed> {
        let answer = timeout(self.request_timeout, self.api.get_opt(LEASE_NAME)).await;
        self.answered("read", answer.ok())
    }

    async fn write(&mut self, base: Option<Lease>, write: &Write) -> Result<Lease, Failed> {
        let lease = self.lease(base.unwrap_or_default(), write);
        let (api, post) = (self.api.clone(), PostParams::default());
        let answer = if write.replaces.is_some() {
            timeout(self.request_timeout, api.replace(LEASE_NAME, &post, &lease)).await
        } else {
            timeout(self.request_timeout, api.create(&post, &lease)).await
        };
        self.answered("write", answer.ok())
    }

    /// `base` with what `write` says, and with the times that people read.
    fn lease(&self, mut base: Lease, write: &Write) -> Lease {
        // In full: a new field of a write is not forgotten here.
        let Write { replaces, holder, duration, transitions, changes_hands } = write;
        let time = MicroTime(self.clock.now());
        base.metadata.name = Some(LEASE_NAME.to_owned());
        base.metadata.resource_version.clone_from(replaces);
        let spec = base.spec.get_or_insert_with(LeaseSpec::default);
        spec.holder_identity = Some(holder.clone());
        spec.lease_duration_seconds = Some(i32::try_from(duration.as_secs()).unwrap_or(i32::MAX));
        spec.lease_transitions = Some(*transitions);
        spec.renew_time = Some(time.clone());
        if *changes_hands {
            spec.acquire_time = Some(time);
        }
        base
    }

    /// Says what went wrong; `None`: there was no answer in time.
    fn answered<T>(&mut self, verb: &'static str, answer: Option<Result<T, Error>>) -> Result<T, Failed> {
        let error = match answer {
            Some(Ok(value)) => {
                self.failing = false;
                return Ok(value);
            }
            Some(Err(Error::Api(status))) if status.code == 409 => {
                tracing::debug!("another process has written the Lease; it is read again");
                return Err(Failed);
            }
            Some(Err(Error::Api(status))) => status.message,
            Some(Err(error)) => error.to_string(),
            None => format!("no answer within {} ms", self.request_timeout.as_millis()),
        };
        if std::mem::replace(&mut self.failing, true) {
            tracing::debug!(verb, error, "the request for the Lease failed again");
        } else {
            tracing::warn!(verb, error, "the request for the Lease failed; it is tried again");
        }
        Err(Failed)
    }
}

/// A Lease as the election sees it.
fn seen(lease: &Lease) -> LeaseView {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
    LeaseView {
        version: lease.resource_version().unwrap_or_default(),
        holder: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default(),
        duration: seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|it| *it > 0).map(Duration::from_secs),
        transitions: spec.and_then(|spec| spec.lease_transitions).unwrap_or_default(),
    }
}

/// A Lease for people: who holds it, and since when by that holder's clock.
fn held(lease: &Lease) -> (&str, Option<String>) {
    let spec = lease.spec.as_ref();
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
    (holder, spec.and_then(|spec| spec.acquire_time.as_ref()).map(|MicroTime(time)| time.to_string()))
}

#[allow(clippy::disallowed_methods)] // the election's time, which has to go on where this machine's wall clock is set
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
