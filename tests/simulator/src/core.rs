//! The whole of ECS as one value: requests in, answers out, time as an argument.
//!
//! `now` is ECS's clock. It never goes back: an earlier moment than the last one counts as the last one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::access_key::AccessKey;
use crate::actions::change::{self, Power};
use crate::actions::describe::{self, View};
use crate::actions::{check_version, forbidden, identity};
use crate::answer::{self, Body, Format, Handling, Held, Refusal, Reply};
use crate::call::Call;
use crate::config::Config;
use crate::fault::{Fault, Faults};
use crate::gate::Gate;
use crate::journal::{Journal, Outcome};
use crate::machine::{Effects, Machine};
use crate::metadata::{self, Metadata};
use crate::quota::Quotas;
use crate::random::Random;
use crate::role::Role;
use crate::sts;
use crate::time::before;

/// All state of the simulated ECS. No `Debug`: it holds secrets and passwords.
pub struct Core {
    pub(crate) now: Timestamp,
    pub(crate) gate: Gate,
    pub(crate) roles: BTreeMap<String, Role>,
    pub(crate) metadata: Metadata,
    pub(crate) quotas: Quotas,
    pub(crate) faults: Faults,
    pub(crate) machines: BTreeMap<String, Machine>,
    pub(crate) regions: BTreeSet<String>,
    unpermitted_are_unlisted: bool,
    pub(crate) page_max: usize,
    pub(crate) journal: Journal,
    pub(crate) random: Random,
    /// When something happens by itself. An item may be stale: the machine has the last word.
    pub(crate) agenda: BTreeSet<(Timestamp, Due)>,
    late: BTreeMap<u64, Call>,
    late_count: u64,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    Machine(String),
    Late(u64),
}

impl Core {
    /// Begins at `now`.
    pub fn new(config: Config, now: Timestamp) -> Self {
        let mut core = Self {
            now,
            gate: Gate::new(config.access_keys, config.request_validity_seconds),
            roles: config.roles.into_iter().map(|role| (role.arn.clone(), role)).collect(),
            metadata: Metadata::new(config.metadata),
            quotas: Quotas::new(config.quotas_per_minute, config.tell_retry_after),
            faults: Faults::default(),
            machines: BTreeMap::new(),
            regions: config.regions.into_iter().collect(),
            unpermitted_are_unlisted: config.unpermitted_are_unlisted,
            page_max: describe::PAGE_MAX,
            journal: Journal::default(),
            random: Random::new(config.seed),
            agenda: BTreeSet::new(),
            late: BTreeMap::new(),
            late_count: 0,
        };
        config.instances.into_iter().for_each(|instance| core.add_instance(now, instance));
        core
    }

    /// Takes a request as it leaves the client; faults of the network are decided here.
    pub fn handle(&mut self, now: Timestamp, request: &http::Request<Bytes>) -> Handling {
        self.run_until(now);
        let call = Call::read(request);
        let ids = call.named_ids().unwrap_or_default();
        match self.faults.take(call.action(), &ids) {
            Some(Fault::Delay { milliseconds }) => {
                Handling::Later { delay: Duration::from_millis(milliseconds), held: Held(call) }
            }
            Some(Fault::LateEffect { after_seconds }) => {
                self.late_count += 1;
                let due = crate::time::after(self.now, after_seconds);
                self.agenda.insert((due, Due::Late(self.late_count)));
                self.late.insert(self.late_count, call);
                Handling::Now(Reply::CloseConnection)
            }
            fault => Handling::Now(self.judge(&call, fault.as_ref())),
        }
    }

    /// Takes a request that the network held back.
    pub fn arrive(&mut self, now: Timestamp, held: &Held) -> Reply {
        self.run_until(now);
        self.judge(&held.0, Some(&Fault::Delay { milliseconds: 0 }))
    }

    /// Lets everything happen that is due by `now`, each at its own moment.
    pub fn run_until(&mut self, now: Timestamp) {
        while let Some((due, what)) = self.agenda.first().filter(|(due, _)| *due <= now).cloned() {
            self.agenda.remove(&(due, what.clone()));
            self.now = self.now.max(due);
            match what {
                Due::Late(number) => {
                    if let Some(call) = self.late.remove(&number) {
                        self.judge(&call, Some(&Fault::LateEffect { after_seconds: 0.0 }));
                    }
                }
                Due::Machine(id) => {
                    let step = self.machines.get_mut(&id).filter(|machine| machine.next_at() == Some(due));
                    if let Some(effects) = step.map(|machine| machine.step(due)) {
                        self.note(&id, effects);
                    }
                }
            }
        }
        self.now = self.now.max(now);
    }

    /// ECS judges a request that has reached it.
    fn judge(&mut self, call: &Call, fault: Option<&Fault>) -> Reply {
        let request_id = self.random.request_id();
        let reaches_ecs = !matches!(fault, Some(Fault::LoseRequest | Fault::RawAnswer { after_effect: false, .. }));
        let mut effects = Effects::new();
        let judged = reaches_ecs.then(|| self.respond(call, fault, &request_id, &mut effects));
        let lost = || Outcome::Faulted(fault.map(Fault::name).unwrap_or_default().to_owned());
        let (outcome, response) =
            judged.map_or_else(|| (lost(), None), |(outcome, response)| (outcome, Some(response)));
        let reply = match (fault, response) {
            (Some(Fault::RawAnswer { http, body, .. }), _) => Reply::Answer(answer::raw(self.now, *http, body)),
            (Some(Fault::LoseAnswerAfterEffect | Fault::LateEffect { .. }), _) | (_, None) => Reply::CloseConnection,
            (_, Some(response)) => Reply::Answer(response),
        };
        self.note_request(call, fault, request_id, outcome, matches!(reply, Reply::Answer(_)));
        let id = call.get("InstanceId").unwrap_or_default().to_owned();
        self.note(&id, effects);
        reply
    }

    /// What came of it, and the answer that says so.
    fn respond(
        &mut self,
        call: &Call,
        fault: Option<&Fault>,
        request_id: &str,
        effects: &mut Effects,
    ) -> (Outcome, http::Response<Bytes>) {
        if metadata::action(&call.method, call.path()).is_some() {
            let result = self.metadata(call, fault);
            return (Outcome::of(&result), answer::write_plain(self.now, &result));
        }
        let result = self.perform(call, fault, request_id, effects);
        (Outcome::of(&result), answer::write(self.now, Format::of(call), call.action(), request_id, result))
    }

    fn perform(
        &mut self,
        call: &Call,
        fault: Option<&Fault>,
        request_id: &str,
        effects: &mut Effects,
    ) -> Result<Body, Refusal> {
        let signer = if call.action() == sts::WITH_OIDC { None } else { Some(self.admit(call)?) };
        check_version(call)?;
        if let Some(refusal) = fault.and_then(Fault::refusal) {
            return Err(refusal);
        }
        let region = self.region_of(call);
        self.quotas.take(self.now, call.action(), &region)?;
        let Some(key) = signer else { return self.assume_role_with_oidc(call) };
        match call.action() {
            "AssumeRole" => self.assume_role(call, &key),
            "DescribeInstances" => {
                let view = match fault {
                    Some(Fault::EmptyDescribe) => View::Nothing,
                    Some(Fault::StaleDescribe { seconds }) => View::At(before(self.now, *seconds)),
                    _ => View::At(self.now),
                };
                let (machines, regions) = (&self.machines, &self.regions);
                describe::describe(machines, regions, call, &key, view, self.unpermitted_are_unlisted, self.page_max)
            }
            "GetCallerIdentity" if !key.may(call.action(), "") => Err(forbidden()),
            "GetCallerIdentity" => Ok(identity::get_caller_identity(&key)),
            _ => {
                *effects = self.change(call, &key, request_id)?;
                Ok(Body::new())
            }
        }
    }

    /// The signer. A role's rights are looked up each time, so that a change binds its sessions at once.
    fn admit(&mut self, call: &Call) -> Result<Arc<AccessKey>, Refusal> {
        let mut key = self.gate.admit(self.now, call)?;
        let role = key.assumed_role.as_ref().and_then(|session| self.roles.get(&session.role_arn));
        if let Some(role) = role {
            Arc::make_mut(&mut key).denied.clone_from(&role.denied);
        }
        Ok(key)
    }

    fn change(&mut self, call: &Call, key: &Arc<AccessKey>, request_id: &str) -> Result<Effects, Refusal> {
        let machine = change::find(&mut self.machines, call, key)?;
        let power = match call.action() {
            "ModifyInstanceAttribute" => return change::modify(machine, call, request_id),
            "RebootInstance" => Power::Reboot,
            "StartInstance" => Power::Start,
            _ => Power::Stop,
        };
        change::power(machine, power, self.now, call.is_on("DryRun"), Some(request_id.to_owned()))
    }
}
