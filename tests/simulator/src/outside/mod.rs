//! [`Core`] as tests and outsiders use it: the world that changes around the controller, and the questions that only a
//! test may ask. Results are as of the last `now` that the core was given; see [`Core::run_until`].

mod identities;

use jiff::Timestamp;

use crate::actions::change::{self, Power};
use crate::answer::Refusal;
use crate::core::Core;
use crate::fault::Rule;
use crate::instance::{Instance, Status};
use crate::journal::{Effect, Journal};
use crate::machine::{Effects, Machine};
use crate::password::Password;

impl Core {
    /// Everything that was asked and that happened.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Adds an instance, or replaces the one with this id.
    pub fn add_instance(&mut self, now: Timestamp, mut instance: Instance) {
        self.run_until(now);
        if instance.instance_name.is_empty() {
            instance.instance_id.clone_into(&mut instance.instance_name);
        }
        self.regions.insert(instance.region_id.clone());
        let id = instance.instance_id.clone();
        self.machines.insert(id.clone(), Machine::new(instance, self.now));
        self.note(&id, Effects::new());
    }

    /// Releases an instance: it is gone for good.
    pub fn remove_instance(&mut self, now: Timestamp, instance_id: &str) {
        self.run_until(now);
        if self.machines.remove(instance_id).is_some() {
            self.note(instance_id, vec![(Effect::Released, None)]);
        }
    }

    /// The instance's attributes (locks, tags, durations, …), to be changed freely. Its `status` is that of the start:
    /// changing it does nothing.
    pub fn instance_mut(&mut self, instance_id: &str) -> Option<&mut Instance> {
        self.machines.get_mut(instance_id).map(|machine| &mut machine.spec)
    }

    /// The ids of all instances.
    pub fn instance_ids(&self) -> impl Iterator<Item = &str> {
        self.machines.keys().map(String::as_str)
    }

    /// Its present status.
    pub fn status(&self, instance_id: &str) -> Option<Status> {
        self.machines.get(instance_id).map(Machine::status)
    }

    /// Its `StartTime`, to the nanosecond; clients see the minute.
    pub fn start_time(&self, instance_id: &str) -> Option<Timestamp> {
        self.machines.get(instance_id).and_then(Machine::start_time)
    }

    /// The password that waits for the next platform start. Never print it.
    pub fn pending_password(&self, instance_id: &str) -> Option<&str> {
        self.machines.get(instance_id)?.pending().map(Password::reveal)
    }

    /// The password that a logon would need, if one was ever applied. Never print it.
    pub fn in_effect_password(&self, instance_id: &str) -> Option<&str> {
        self.machines.get(instance_id)?.in_effect().map(Password::reveal)
    }

    /// Every password that was set, oldest first. Never print them.
    pub fn passwords_set(&self, instance_id: &str) -> impl Iterator<Item = &str> {
        self.machines.get(instance_id).into_iter().flat_map(Machine::passwords_set).map(Password::reveal)
    }

    /// Queues a fault.
    pub fn inject(&mut self, rule: Rule) {
        self.faults.push(rule);
    }

    /// Forgets the faults that have not happened yet.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// Sets or lifts (`None`) the calls per minute of an action.
    pub fn set_quota(&mut self, action: &str, calls_per_minute: Option<u32>) {
        self.quotas.set(action, calls_per_minute);
    }

    /// Shows so many instances a page at most, whatever `MaxResults` asks for; more follow by `NextToken`.
    pub fn set_page_max(&mut self, instances: usize) {
        self.page_max = instances;
    }

    /// A person starts it in the console.
    pub fn start(&mut self, now: Timestamp, instance_id: &str) -> Result<(), Refusal> {
        self.outsider(now, instance_id, Power::Start)
    }

    /// A person stops it in the console.
    pub fn stop(&mut self, now: Timestamp, instance_id: &str) -> Result<(), Refusal> {
        self.outsider(now, instance_id, Power::Stop)
    }

    /// A person reboots it in the console.
    pub fn reboot(&mut self, now: Timestamp, instance_id: &str) -> Result<(), Refusal> {
        self.outsider(now, instance_id, Power::Reboot)
    }

    /// It goes off at once in whatever it was doing: a power-off from inside, or a reboot that does not come back.
    pub fn power_off(&mut self, now: Timestamp, instance_id: &str) -> Result<(), Refusal> {
        self.touch(now, instance_id, |machine, now| Ok(machine.power_off(now)))
    }

    /// Keeps it in transitional states until released. A reboot still leaves Running; it does not come back.
    pub fn hold(&mut self, now: Timestamp, instance_id: &str) -> Result<(), Refusal> {
        self.touch(now, instance_id, |machine, _| {
            machine.hold();
            Ok(Effects::new())
        })
    }

    /// Ends [`Core::hold`]; what became due meanwhile happens now.
    pub fn release(&mut self, now: Timestamp, instance_id: &str) -> Result<(), Refusal> {
        self.touch(now, instance_id, |machine, now| {
            machine.release(now);
            Ok(Effects::new())
        })?;
        self.run_until(now);
        Ok(())
    }

    fn outsider(&mut self, now: Timestamp, instance_id: &str, power: Power) -> Result<(), Refusal> {
        self.touch(now, instance_id, |machine, now| change::power(machine, power, now, false, None))
    }

    fn touch(
        &mut self,
        now: Timestamp,
        instance_id: &str,
        change: impl FnOnce(&mut Machine, Timestamp) -> Result<Effects, Refusal>,
    ) -> Result<(), Refusal> {
        self.run_until(now);
        let now = self.now;
        let machine = self.machines.get_mut(instance_id).ok_or_else(change::unknown_instance)?;
        let effects = change(machine, now)?;
        self.note(instance_id, effects);
        Ok(())
    }
}
