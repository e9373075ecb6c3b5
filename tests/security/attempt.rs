//! One attempt: who, what they send, and which layers refuse it with which words. It judges and makes nothing up.

use serde_json::{Value, json};

use crate::common::{NAMESPACE, condition, eventually, manifests};
use crate::people::{PREY, Town, Who};
use crate::veil;

/// The obstacles; the numbers of `docs/SECURITY.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// R: rights in the cluster (RBAC), of the user or of the controller.
    Rights,
    /// 1: the shape of the API.
    Shape,
    /// 2: the admission policies.
    Policy,
    /// 3: the account's `allowedNamespaces` and `regions`.
    AllowedNamespaces,
    /// 4: the consent of the machine, by the account's `rules`.
    Consent,
    /// 5: RAM, which refuses the identity some machines. Whoever tests that has no other layer left, so it is on only where
    /// [`Layer::Consent`] is off.
    Cloud,
    /// The controller's own care: what it does not do whoever asks.
    Care,
}

/// How a layer says no.
#[derive(Clone, Copy, Debug)]
pub enum No {
    /// kubectl fails and says this.
    AtTheDoor(&'static str),
    /// The object is stored; its Ready condition gives the reason, and a message that holds the text.
    Condition(&'static str, &'static str),
    /// Every step is taken, and nothing comes of it: Ready still gives this reason after the next look at the accounts.
    NothingHappens(&'static str),
    /// The object is stored, and its row of each machine that is not the asker's says what it would say of one that does not
    /// exist, to the byte. No other word that the asker can read is of that machine.
    Veiled,
    /// The same of the whole status when all has ended, and of the events; the object names one machine.
    Alike,
    /// What the last step prints holds no word of a machine of others.
    Silence,
}

/// One step: kubectl's arguments and its input.
#[derive(Clone, Debug)]
pub struct Step {
    arguments: Vec<String>,
    input: String,
}

/// One attempt.
pub struct Attempt {
    /// The threat and a number.
    pub id: &'static str,
    /// The person that tries.
    pub who: Who,
    /// What, in words.
    pub what: &'static str,
    /// What they send. All but the last must be let through.
    pub steps: Vec<Step>,
    /// The `PasswordReset` whose condition tells, where one does: namespace and name.
    pub told_on: (&'static str, String),
    /// The layers in the way, in the order in which they are met.
    pub layers: Vec<(Layer, No)>,
    /// Whether it also asks for `ours`, the asker's own machine: that one is reset, and no other.
    pub own: bool,
}

impl Attempt {
    /// Whether it is made: all are when nothing is off, else those with another layer beside the one that is off.
    pub fn is_for(&self, off: Option<Layer>) -> bool {
        off.is_none_or(|off| self.layers.len() > 1 && self.layers.iter().any(|(layer, _)| *layer == off))
    }

    /// One more layer, met after the others.
    pub fn and(mut self, layer: Layer, no: No) -> Self {
        self.layers.push((layer, no));
        self
    }

    /// Its list also holds the asker's own machine, which is reset.
    pub fn with_own(mut self) -> Self {
        self.own = true;
        self
    }

    /// Told on this object.
    pub fn told_on(mut self, namespace: &'static str, name: &str) -> Self {
        self.told_on = (namespace, name.to_owned());
        self
    }

    /// A step that is taken before, and let through.
    pub fn after(mut self, step: Step) -> Self {
        self.steps.insert(self.steps.len() - 1, step);
        self
    }

    /// A step that is taken after those before, which are let through.
    pub fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

/// An attempt of one step on the object `told_on` of `prod`.
pub fn attempt(id: &'static str, who: Who, what: &'static str, step: Step, layer: Layer, no: No) -> Attempt {
    let told_on = (NAMESPACE, "web".to_owned());
    Attempt { id, who, what, steps: vec![step], told_on, layers: vec![(layer, no)], own: false }
}

/// An attempt to create a `PasswordReset` of the attempt's own: `spec` on top of what a reset of the prey needs.
pub fn create(
    id: &'static str,
    who: Who,
    namespace: &'static str,
    what: &'static str,
    spec: Value,
    layer: Layer,
    no: No,
) -> Attempt {
    let name = id.to_lowercase().replace('.', "-");
    let mut fields = json!({"instanceIDs": [PREY]});
    let Value::Object(more) = spec else { panic!("a spec is an object") };
    fields.as_object_mut().unwrap().extend(more);
    let object = manifests::password_reset(namespace, &name, fields);
    let mut attempt = attempt(id, who, what, send(&["create", "--filename=-"], &object), layer, no);
    attempt.told_on = (namespace, name);
    attempt
}

/// `kubectl` with an object as its input.
pub fn send(arguments: &[&str], object: &Value) -> Step {
    Step { arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(), input: object.to_string() }
}

/// `kubectl` with arguments only.
pub fn run(arguments: &[&str]) -> Step {
    Step { arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(), input: String::new() }
}

/// `kubectl patch --type=merge` of an object of a namespace; `kind` may hold a subresource after a slash.
pub fn patch(namespace: &str, kind: &str, name: &str, change: &Value) -> Step {
    let (kind, subresource) = kind.split_once('/').unwrap_or((kind, ""));
    let change = change.to_string();
    let mut arguments = vec!["patch", kind, name, "--namespace", namespace, "--type=merge", "--patch", &change];
    if !subresource.is_empty() {
        arguments.extend(["--subresource", subresource]);
    }
    run(&arguments)
}

/// A patch of the spec of `web`, or another object of `prod`.
pub fn respec(name: &str, spec: &Value) -> Step {
    patch(NAMESPACE, "passwordreset", name, &json!({"spec": spec}))
}

/// One of the annotations that start work, on `web`.
pub fn annotate(annotation: &str, value: &str) -> Step {
    let key = format!("ecs.password-reset.dev/{annotation}");
    patch(NAMESPACE, "passwordreset", "web", &json!({"metadata": {"annotations": {key: value}}}))
}

/// Makes the attempt. An error says what went otherwise than it must.
pub fn refused(town: &Town, attempt: &Attempt, off: Option<Layer>) -> Result<(), String> {
    let (_, no) = attempt.layers.iter().find(|(layer, _)| Some(*layer) != off).expect("another layer");
    let send = |step: &Step| {
        let arguments: Vec<&str> = step.arguments.iter().map(String::as_str).collect();
        town.as_user(attempt.who, &arguments, &step.input)
    };
    let (last, before) = attempt.steps.split_last().expect("a step");
    for step in before {
        send(step).map_err(|error| format!("{:?} was refused: {error}", step.arguments))?;
    }
    let (namespace, name) = &attempt.told_on;
    let before = generation(town, namespace, name);
    let answer = send(last);
    // An annotation is no new generation, by which the answer to it could be told from the one before. Not in the attempt itself: an
    // edit of the spec may be refused where an annotation is not.
    let look_again = || {
        if before.is_some() && before == generation(town, namespace, name) {
            town.world.ask_for_another_look(namespace, name);
        }
    };
    match no {
        No::AtTheDoor(words) => match answer {
            Err(error) if error.contains(words) => Ok(()),
            Err(error) => Err(format!("refused without the words {words:?}: {error}")),
            Ok(printed) => Err(format!("let through: {printed}")),
        },
        No::Condition(reason, words) => {
            answer.map_err(|error| format!("refused at the door: {error}"))?;
            look_again();
            let ready = answered(town, namespace, name);
            let fits = ready["reason"] == *reason && ready["message"].as_str().is_some_and(|text| text.contains(words));
            if fits { Ok(()) } else { Err(format!("Ready is {ready}")) }
        }
        No::NothingHappens(reason) => {
            answer.map_err(|error| format!("refused at the door: {error}"))?;
            town.world.wait_for_look_at_account();
            look_again();
            let ready = answered(town, namespace, name);
            if ready["reason"] == *reason { Ok(()) } else { Err(format!("Ready is {ready}")) }
        }
        No::Veiled => {
            answer.map_err(|error| format!("refused at the door: {error}"))?;
            look_again();
            veil::rows_tell_nothing(town, attempt)
        }
        No::Alike => {
            answer.map_err(|error| format!("refused at the door: {error}"))?;
            veil::all_tells_nothing(town, attempt)
        }
        No::Silence => veil::says_nothing(&answer.map_err(|error| format!("refused at the door: {error}"))?),
    }
}

/// The generation of a `PasswordReset`; `None`: there is none.
fn generation(town: &Town, namespace: &str, name: &str) -> Option<i64> {
    let path = format!("/apis/ecs.password-reset.dev/v1alpha1/namespaces/{namespace}/passwordresets/{name}");
    town.world.control_plane().look_up(&path)?["metadata"]["generation"].as_i64()
}

/// The Ready condition once the controller has answered the object's generation.
fn answered(town: &Town, namespace: &str, name: &str) -> Value {
    eventually(&format!("{namespace}/{name} is answered"), || {
        let object = town.world.get_in(namespace, "passwordreset", name);
        let ready = condition(&object["status"], "Ready");
        let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        // While a password is on its way to ECS, it has not refused it yet.
        let open = ready["reason"] == "Pending" || ready["reason"] == "SettingPasswords";
        (current && !open).then(|| ready.clone())
    })
}
