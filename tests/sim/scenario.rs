//! What a run is about: the instances, the objects, and what people do while it goes on.

use std::collections::BTreeMap;
use std::fmt;

use ecs_simulator::{Core, Instance};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::plan::Ms;

/// Where the controller and its records live.
pub const SYSTEM_NAMESPACE: &str = "ecs-password-reset-system";
/// The namespace of the user.
pub const NAMESPACE: &str = "prod";
/// The region of all instances.
pub const REGION: &str = "cn-hangzhou";
/// What the user's Secret holds at first, and after it was edited.
pub const PASSWORD: &str = "Blue-Kettle-7";
pub const OTHER_PASSWORD: &str = "Red-Teapot-8";
/// The tag by which an instance consents to its reset, where the account has rules.
pub const CONSENT: (&str, &str) = ("password-reset", "enabled");

/// A story without faults.
#[derive(Clone)]
pub struct Scenario {
    pub name: &'static str,
    pub instances: Vec<Instance>,
    /// The world when the first process starts.
    pub objects: Vec<Value>,
    pub script: Vec<(When, Do)>,
    /// How often people ask for a restart of each instance, at most.
    pub runs: Vec<(&'static str, usize)>,
    /// How claims end when nothing goes wrong: phase and reason, with the number of claims.
    pub ends: Vec<(&'static str, usize)>,
    /// Whether the account has learnt from earlier restarts that StartTime follows a reboot.
    pub is_learnt: bool,
    /// Whether its maintenance windows leave a moment out.
    pub is_closed: fn(Timestamp) -> bool,
    /// Whether what holds back is seen within seconds: in runs in which nothing lags.
    pub is_prompt: bool,
    /// What each instance that ends well has to have in the end.
    pub last_password: Option<&'static str>,
}

/// When something is done.
#[derive(Clone)]
pub enum When {
    /// At a virtual millisecond.
    At(Ms),
    /// When the record of an instance first shows this phase.
    Phase(&'static str, &'static str),
}

/// What a person does.
#[derive(Clone)]
pub enum Do {
    /// `kubectl apply`.
    Apply(Value),
    /// `kubectl delete`.
    Delete { plural: &'static str, namespace: &'static str, name: &'static str },
    /// Does something to an instance in the console, or from inside; what ECS refuses does not happen.
    Power(Power, String),
    /// Gives or takes back the consent to the reset of an instance: the tag that the rules ask for.
    Tag(String, bool),
    /// Releases an instance: it is gone for good.
    Release(String),
    /// Something else at ECS, and what it is.
    Ecs(&'static str, fn(&mut Core, Timestamp)),
    /// Restores the records and the objects from a backup, once the objects' statuses show what the records say.
    Restore { records: Backup, objects: Backup },
}

/// What a backup brings back, with new uids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backup {
    /// Nothing is touched.
    Untouched,
    /// Nothing: all of them are gone.
    Gone,
    /// The present version without its status.
    Bare,
    /// With its status, from so many changes of the object ago.
    Older(usize),
}

/// What a person does to an instance.
#[derive(Clone, Copy, Debug)]
pub enum Power {
    Reboot,
    Stop,
    Start,
    /// It goes off in whatever it was doing.
    Off,
}

impl fmt::Debug for Do {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apply(object) => write!(f, "apply {} {}", object["kind"], object["metadata"]["name"]),
            Self::Delete { plural, name, .. } => write!(f, "delete {plural} {name}"),
            Self::Power(power, id) => write!(f, "{power:?} {id}"),
            Self::Tag(id, true) => write!(f, "put the tag on {id}"),
            Self::Release(id) => write!(f, "release {id}"),
            Self::Tag(id, false) => write!(f, "take the tag off {id}"),
            Self::Ecs(what, _) => f.write_str(what),
            Self::Restore { records, objects } => write!(f, "restore records {records:?}, objects {objects:?}"),
        }
    }
}

impl Scenario {
    /// Whether a reboot moves `StartTime` at this ECS.
    pub fn where_start_time_follows_reboot(mut self, follows: bool) -> Self {
        self.instances.iter_mut().for_each(|instance| instance.start_time_follows_reboot = follows);
        self
    }

    /// The same, begun by an account that has seen three instances restart. The world in which StartTime stays is out of its reach:
    /// it would not have learnt that there.
    pub fn learnt(mut self) -> Self {
        let regions = json!([{"regionID": REGION, "startTimeFollowsReboot": "Observed"}]);
        for account in self.objects.iter_mut().filter(|object| object["kind"] == "ECSAccount") {
            account["status"] = json!({"regions": regions});
        }
        self.is_learnt = true;
        self
    }

    /// The same, with an account that has rules. All instances have the tag that these ask for.
    pub fn guarded(mut self) -> Self {
        let (key, value) = CONSENT;
        self.instances.iter_mut().for_each(|it| drop(it.tags.insert(key.to_owned(), value.to_owned())));
        for account in self.objects.iter_mut().filter(|object| object["kind"] == "ECSAccount") {
            account["spec"]["rules"] = json!([{"instanceTags": {key: value}}]);
        }
        self
    }

    /// Whether something is restored from a backup.
    pub fn restores(&self) -> bool {
        self.script.iter().any(|(_, what)| matches!(what, Do::Restore { .. }))
    }

    /// Whether an object finds its instances by their tags.
    pub fn has_selector(&self) -> bool {
        self.objects.iter().any(|object| object["spec"].get("selector").is_some())
    }

    /// Whether the account has rules.
    pub fn is_guarded(&self) -> bool {
        !self.rules().is_null()
    }

    /// The rules of the account; null: none.
    pub fn rules(&self) -> Value {
        self.account("rules")
    }

    /// How many instances of the account may be away at once; `None`: as many as the objects allow.
    pub fn account_max_unavailable(&self) -> Option<u64> {
        self.account("limits")["maxUnavailable"].as_u64()
    }

    /// The zone of an instance.
    pub fn zone_of(&self, instance_id: &str) -> &str {
        let instance = self.instances.iter().find(|instance| instance.instance_id == instance_id);
        instance.map_or("", |instance| &instance.zone)
    }

    fn account(&self, field: &str) -> Value {
        let account = self.objects.iter().find(|object| object["kind"] == "ECSAccount");
        account.map(|account| account["spec"][field].clone()).unwrap_or_default()
    }

    /// How claims end when nothing goes wrong.
    pub fn ends(&self) -> BTreeMap<String, usize> {
        self.ends.iter().map(|(end, count)| ((*end).to_owned(), *count)).collect()
    }

    /// The most `maxUnavailable` that the owner, as `namespace/name`, ever has; 1 where it says nothing.
    pub fn max_unavailable(&self, owner: &str) -> u64 {
        let applied = self.script.iter().filter_map(|(_, what)| match what {
            Do::Apply(object) => Some(object),
            _ => None,
        });
        let is_owner = |object: &&Value| {
            let metadata = &object["metadata"];
            object["kind"] == "PasswordReset"
                && owner.split_once('/') == metadata["namespace"].as_str().zip(metadata["name"].as_str())
        };
        let theirs = self.objects.iter().chain(applied).filter(is_owner);
        theirs.filter_map(|object| object["spec"]["restart"]["maxUnavailable"].as_u64()).max().unwrap_or(1)
    }
}

/// The user's Secret.
pub fn secret(password: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"namespace": NAMESPACE, "name": "root-password"},
        "stringData": {"password": password},
    })
}

/// What every scenario needs: the account, its credentials, the empty key, the user's Secret.
pub fn installed() -> Vec<Value> {
    let group = "ecs.password-reset.dev/v1alpha1";
    let in_system = |name: &str, data: Value| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"namespace": SYSTEM_NAMESPACE, "name": name}, "stringData": data,
        })
    };
    vec![
        in_system("ecs-password-reset-fingerprint-key", json!({})),
        in_system("ecs-credentials", json!({"accessKeyID": "testid", "accessKeySecret": "testsecret"})),
        json!({
            "apiVersion": group, "kind": "ECSAccount", "metadata": {"name": "default"},
            "spec": {
                "credentials": {"secretRef": {"name": "ecs-credentials"}},
                "allowedNamespaces": {"names": [NAMESPACE]},
                "limits": {"minRestartIntervalSeconds": 0},
            },
        }),
        secret(PASSWORD),
    ]
}

/// A `PasswordReset`.
pub fn reset(name: &str, spec: Value) -> Value {
    let mut all = json!({"regionID": REGION, "passwordSecretRef": {"name": "root-password"}});
    let Value::Object(more) = spec else { panic!("a spec is an object") };
    all.as_object_mut().unwrap().extend(more);
    json!({
        "apiVersion": "ecs.password-reset.dev/v1alpha1", "kind": "PasswordReset",
        "metadata": {"namespace": NAMESPACE, "name": name}, "spec": all,
    })
}
