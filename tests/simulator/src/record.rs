//! What the core writes into the journal. It judges nothing.

use crate::access_key::AccessKey;
use crate::call::Call;
use crate::core::{Core, Due};
use crate::fault::Fault;
use crate::journal::{EffectEntry, Entry, Outcome, RequestEntry};
use crate::machine::{Effects, Machine};

impl Core {
    /// Journals what happened to an instance, and looks again at what it does next.
    pub(crate) fn note(&mut self, instance_id: &str, effects: Effects) {
        for (effect, cause) in effects {
            let entry = EffectEntry { seq: 0, at: self.now, instance_id: instance_id.to_owned(), effect, cause };
            self.journal.push(Entry::Effect(entry));
        }
        if let Some(due) = self.machines.get(instance_id).and_then(Machine::next_at) {
            self.agenda.insert((due, Due::Machine(instance_id.to_owned())));
        }
    }

    pub(crate) fn note_request(
        &mut self,
        call: &Call,
        fault: Option<&Fault>,
        request_id: String,
        outcome: Outcome,
        answered: bool,
    ) {
        let text = |name| call.get(name).unwrap_or_default().to_owned();
        let access_key_id = text("AccessKeyId");
        let entry = RequestEntry {
            seq: 0,
            at: self.now,
            action: call.action().to_owned(),
            region_id: self.region_of(call),
            instance_ids: call.named_ids().unwrap_or_default(),
            principal_arn: self.gate.get(&access_key_id).map(AccessKey::principal_arn).unwrap_or_default(),
            access_key_id,
            timestamp: text("Timestamp"),
            nonce: text("SignatureNonce"),
            outcome,
            fault: fault.map(Fault::name),
            request_id,
            url: call.target.clone(),
            answered,
            dry_run: call.is_on("DryRun"),
            force_stop: call.is_on("ForceStop"),
        };
        self.journal.push(Entry::Request(Box::new(entry)));
    }

    /// `RegionId`, else the region of the instance: behind one socket the endpoint cannot tell.
    pub(crate) fn region_of(&self, call: &Call) -> String {
        let of_instance = || {
            call.get("InstanceId").and_then(|id| self.machines.get(id)).map(|machine| machine.spec.region_id.as_str())
        };
        call.get("RegionId").or_else(of_instance).unwrap_or_default().to_owned()
    }
}
