//! One attempt: who, what they send, and which layers refuse it with which words. It judges and makes nothing up.

use serde_json::{Value, json};

use crate::common::{NAMESPACE, condition, eventually, manifests};
use crate::people::{PREY, Town, Who};

/// What stands in the way; the numbers of `docs/SECURITY.md`.
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
    /// Who tries.
    pub who: Who,
    /// What, in words.
    pub what: &'static str,
    /// What they send. All but the last must be let through.
    pub steps: Vec<Step>,
    /// The `PasswordReset` whose condition tells, where one does: namespace and name.
    pub told_on: (&'static str, String),
    /// The layers in the way, in the order in which they are met.
    pub layers: Vec<(Layer, No)>,
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

    /// A step that is taken before, and let through.
    pub fn after(mut self, step: Step) -> Self {
        self.steps.insert(self.steps.len() - 1, step);
        self
    }
}

/// An attempt of one step on the object `told_on` of `prod`.
pub fn attempt(id: &'static str, who: Who, what: &'static str, step: Step, layer: Layer, no: No) -> Attempt {
    Attempt { id, who, what, steps: vec![step], told_on: (NAMESPACE, "web".to_owned()), layers: vec![(layer, no)] }
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
    let answer = send(last);
    let (namespace, name) = &attempt.told_on;
    match no {
        No::AtTheDoor(words) => match answer {
            Err(error) if error.contains(words) => Ok(()),
            Err(error) => Err(format!("refused without the words {words:?}: {error}")),
            Ok(printed) => Err(format!("let through: {printed}")),
        },
        No::Condition(reason, words) => {
            answer.map_err(|error| format!("refused at the door: {error}"))?;
            let ready = answered(town, namespace, name);
            let fits = ready["reason"] == *reason && ready["message"].as_str().is_some_and(|text| text.contains(words));
            if fits { Ok(()) } else { Err(format!("Ready is {ready}")) }
        }
        No::NothingHappens(reason) => {
            answer.map_err(|error| format!("refused at the door: {error}"))?;
            town.world.wait_for_look_at_account();
            let ready = answered(town, namespace, name);
            if ready["reason"] == *reason { Ok(()) } else { Err(format!("Ready is {ready}")) }
        }
    }
}

/// The Ready condition once the controller has answered the object's generation.
fn answered(town: &Town, namespace: &str, name: &str) -> Value {
    eventually(&format!("{namespace}/{name} is answered"), || {
        let object = town.world.get_in(namespace, "passwordreset", name);
        let ready = condition(&object["status"], "Ready");
        let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        (current && ready["reason"] != "Pending").then(|| ready.clone())
    })
}
