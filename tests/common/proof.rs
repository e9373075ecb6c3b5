//! What must hold after any reset, whatever the test is about.

use ecs_simulator::Outcome;
use serde_json::{Value, json};

use super::manifests::{NAMESPACE, SYSTEM_NAMESPACE};
use super::world::{World, condition, objects, row};

impl World {
    /// Proves that an instance was reset once and restarted once, by the journal, and that its row tells the same story:
    /// it is `InEffect`, its request ids are those of the journal, and the instance now has the Secret's password.
    pub fn assert_reset_and_restarted_once(&self, status: &Value, instance_id: &str, password: &str) {
        let row = row(status, instance_id);
        assert_eq!(row["state"], "InEffect", "{row:#}");
        assert_eq!(row["passwordRequestID"], self.only_executed("ModifyInstanceAttribute", instance_id), "{row:#}");
        assert_eq!(row["restartRequestID"], self.only_executed("RebootInstance", instance_id), "{row:#}");
        // Compared before it is asserted: a failure must not print it.
        let in_effect = self.ecs().core().in_effect_password(instance_id) == Some(password);
        assert!(in_effect, "{instance_id} does not have the Secret's password in effect");
    }

    /// Proves that a password was set once, waits for the next start, and nothing was restarted.
    pub fn assert_reset_but_not_restarted(&self, status: &Value, instance_id: &str, password: &str) {
        let row = row(status, instance_id);
        assert_eq!(row["state"], "EffectiveAtNextStart", "{row:#}");
        assert_eq!(row["passwordRequestID"], self.only_executed("ModifyInstanceAttribute", instance_id), "{row:#}");
        assert_eq!((self.calls("RebootInstance", instance_id), &row["restartRequestID"]), (0, &Value::Null), "{row:#}");
        let pending = self.ecs().core().pending_password(instance_id) == Some(password);
        assert!(pending, "the Secret's password does not wait for the next start of {instance_id}");
    }

    /// Proves that ECS was not even asked to change an instance.
    pub fn assert_untouched(&self, instance_id: &str) {
        for action in ["ModifyInstanceAttribute", "RebootInstance", "StartInstance", "StopInstance"] {
            assert_eq!(self.calls(action, instance_id), 0, "{action} was called for {instance_id}");
        }
    }

    /// Proves that `change` starts nothing on any instance: the controller has then answered a newer generation of the
    /// object, finds it done, and has neither made a claim nor asked ECS to change anything.
    pub fn assert_starts_nothing(&mut self, name: &str, change: impl FnOnce(&mut Self)) {
        let (claims, changes) = (self.claims(), self.changing_calls());
        change(self);
        self.wait_for_another_look(name);
        assert_eq!((self.claims(), self.changing_calls()), (claims, changes));
    }

    /// Has the controller look at an object once more, whether or not it had a reason to: a field that asks for nothing is edited,
    /// so that there is a new generation to answer.
    pub fn ask_for_another_look(&self, namespace: &str, name: &str) {
        let tolerated =
            self.get_in(namespace, "passwordreset", name)["spec"]["maxFailures"].as_u64().unwrap_or_default();
        let path = format!("{}/{name}", objects("passwordresets", namespace));
        self.control_plane().patch(&path, &json!({"spec": {"maxFailures": tolerated + 1}}));
    }

    /// Waits until it has.
    fn wait_for_another_look(&self, name: &str) {
        self.ask_for_another_look(NAMESPACE, name);
        self.wait_for_reset(name, "its newest generation is answered, and it works no more", |object| {
            let status = &object["status"];
            let current = status["observedGeneration"] == object["metadata"]["generation"];
            (current && condition(status, "Ready")["status"] != "Unknown").then_some(())
        });
    }

    /// The number of the last claim of each record, by name.
    fn claims(&self) -> Value {
        let list = self.control_plane().look_up(&objects("resetrecords", SYSTEM_NAMESPACE)).unwrap();
        let records = list["items"].as_array().unwrap().iter();
        records.map(|record| json!([record["metadata"]["name"], record["spec"]["claim"]])).collect()
    }

    /// How many requests asked ECS to change an instance, however they ended.
    pub fn changing_calls(&self) -> usize {
        let reads = ["DescribeInstances", "GetCallerIdentity"];
        self.journal(|journal| journal.requests().filter(|it| !reads.contains(&it.action.as_str())).count())
    }

    /// How often `action` was called for an instance, however that ended.
    pub fn calls(&self, action: &str, instance_id: &str) -> usize {
        self.journal(|journal| journal.calls(action, instance_id).count())
    }

    /// The `RequestId` of the one call of `action` that ECS carried out for an instance.
    fn only_executed(&self, action: &str, instance_id: &str) -> String {
        let ids: Vec<_> = self.journal(|journal| {
            let executed = journal.calls(action, instance_id).filter(|it| it.outcome == Outcome::Executed);
            executed.map(|it| it.request_id.clone()).collect()
        });
        assert_eq!(ids.len(), 1, "{action} was carried out {} times for {instance_id}", ids.len());
        ids[0].clone()
    }
}
