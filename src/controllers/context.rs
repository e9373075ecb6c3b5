//! What every reconcile works with. It decides nothing.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::watch;

use super::PerObject;
use super::{password_reset, reset_record};
use crate::api::ecs_account::ECSAccount;
use crate::api::reset_record::ResetRecord;
use crate::clock::Clock;
use crate::cloud::accounts::Accounts;
use crate::cloud::calls::Calls;
use crate::cluster::fingerprint::FingerprintKey;
use crate::cluster::guarded::Guarded;
use crate::cluster::ledger::Ledger;
use crate::cluster::objects::Objects;
use crate::cluster::policies::Policies;
use crate::cluster::secrets::Secrets;
use crate::cluster::wake::{Urgent, Waiter};
use crate::cluster::{Cluster, ClusterError};
use crate::decide::ProtocolBounds;
use crate::ecs::{Instances, RatePermit};
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::settings::Settings;

/// What every pass works with.
pub struct Context<T> {
    /// The settings.
    pub settings: Settings,
    /// The clock.
    pub clock: Clock,
    /// The random id of this process: an attempt is sent by the process that wrote it and by no other.
    pub process: String,
    /// The way to the API server.
    pub cluster: Cluster,
    /// Asked for leave immediately before each changing call.
    pub leadership: Leadership,
    /// The way to ECS.
    pub calls: Arc<Calls<T>>,
    /// The readings of instances.
    pub instances: Instances<Waiter>,
    /// The accounts as last checked.
    pub accounts: Arc<Accounts>,
    /// Whether the admission policies were there when last looked.
    pub policies: Policies,
    /// The records as far as this process knows them.
    pub ledger: Ledger,
    /// The passwords as last read.
    pub secrets: Secrets,
    /// The `PasswordReset` objects as far as this process knows them.
    pub objects: Objects,
    /// The `ECSAccount` objects as last watched.
    pub ecs_accounts: Store<Guarded<ECSAccount>>,
    /// Whether the caches hold full lists.
    pub synced: Synced,
    /// The key of the fingerprints.
    pub fingerprint_key: FingerprintKey,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The objects that are to look again at once.
    pub urgent: Urgent,
    /// When each object's selector was last looked up.
    pub looked_up: PerObject<jiff::Timestamp>,
    /// The last pass of each object.
    pub last_passes: PerObject<password_reset::LastPass>,
    /// When each object's status was last written.
    pub status_writes: PerObject<jiff::Timestamp>,
    /// Which instances the rules of an account keep from each object, as logged last.
    pub denials: PerObject<password_reset::LoggedDenials>,
    /// The rate limiter's permit that a claim has taken, with the attempt that it stored, by the record.
    pub claim_rate_permits: PerObject<(String, RatePermit)>,
    /// The objects that wait for another value in their Secret.
    pub at_rest: super::secret_changes::AtRest,
    /// Which objects wait for a slot of their account.
    pub turns: super::turns::Turns,
    /// Held from counting slots until the restart, or the claim that takes one of its account's, is stored: two must not count past each
    /// other.
    pub counting_slots: tokio::sync::Mutex<()>,
    /// Since when the owner of each record's claim is missed, as far as this process has looked.
    pub owner_missed_since: PerObject<jiff::Timestamp>,
    /// Since when this process has seen a record as it is without knowing ECS's time, and the newest moment in it.
    pub untimed_since: PerObject<(jiff::Timestamp, tokio::time::Instant)>,
    /// What dry runs have said of the instances that readings do not show, by the record.
    pub absent: PerObject<reset_record::Absent>,
    /// The attempt that this process last sent for each record: an attempt is sent once.
    pub sent: PerObject<String>,
}

impl<T> Context<T> {
    /// Whether an account, as last watched, is suspended.
    pub fn is_suspended(&self, account: &str) -> bool {
        let watched = self.ecs_accounts.get(&ObjectRef::new(account));
        watched.is_some_and(|guard| guard.0.as_ref().is_ok_and(|account| account.spec.suspended()))
    }

    /// Writes a record upon the version in it. One whose write met another version, or may have been made although it failed, is in doubt
    /// until it is read again.
    pub(super) async fn write_record(&self, record: &ResetRecord) -> Result<ResetRecord, ClusterError> {
        let written = self.cluster.write_record(record).await.inspect_err(|error| {
            if error.leaves_doubt() {
                self.ledger.doubt(&record.name_any());
            }
        })?;
        self.ledger.put(written.clone());
        Ok(written)
    }

    /// The lengths of time that ECS's behaviour dictates, as set.
    pub fn bounds(&self) -> ProtocolBounds {
        let signed = |duration: Duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        ProtocolBounds {
            request_validity: signed(self.settings.request_validity),
            restart_settle: signed(self.settings.restart_settle),
        }
    }
}

/// Whether the caches hold full lists: no slot may be counted, and no account called missing, before.
///
/// kube's own `Store::wait_until_ready` remembers one waiter only: of several, all but the last wait for ever.
pub struct Synced([watch::Receiver<bool>; 3]);

impl Synced {
    /// One flag for each cache.
    pub fn new(caches: [watch::Receiver<bool>; 3]) -> Self {
        Self(caches)
    }

    /// Returns once every cache holds a full list.
    pub async fn wait(&self) {
        for cache in &self.0 {
            // The sender goes only when the process stops, and then nothing is started either.
            let _ = cache.clone().wait_for(|synced| *synced).await;
        }
    }
}
