//! The tenants, what they may, and the world they share. It decides nothing about what must be refused.

use std::cell::Cell;

use serde_json::{Value, json};

use crate::attempt::{Attempt, Layer, refused};
use crate::common::{
    ACCOUNT, Config, Instance, NAMESPACE, PASSWORD, REGION, SECRET, SYSTEM_NAMESPACE, Setup, World, eventually,
    manifests,
};
use crate::ledger::forged_record;

/// The namespace of another team, which the account `default` does not serve.
pub const SHOP: &str = "shop";
/// A namespace that `default` serves, whose owner has not let the controller read Secrets.
pub const LOCKED: &str = "locked";
/// The instance that the one honest reset is about.
pub const INSTANCE: &str = "i-honest00001";
/// The instance that is asked for in attempts.
pub const PREY: &str = "i-prey0000001";

/// Who tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The aggregated role `edit` in `prod` and `locked`, and `use` of `default`: an honest tenant, and a curious one.
    Alice,
    /// As Alice, without `use` of any account.
    Eve,
    /// `use` of `default`, writes resets in `prod`, may get the Secret `other` there but not `root-password`.
    Ned,
    /// As Eve, and `use` of `default` by a RoleBinding.
    Rob,
    /// The aggregated role `view` in `prod`.
    Vera,
    /// The aggregated role `admin` in `shop`, without `use`.
    Bob,
    /// The aggregated role `admin` and `*` on `*` in `shop`, and `use` of `default`.
    Star,
    /// `*` on `*` in `prod` and in the controller's namespace. In the latter that includes a token of the controller, so there
    /// the policy guards against accidents only.
    Sys,
    /// The `ServiceAccount` of a GitOps agent: `edit` in the namespaces of the tenants, and `use` of `default`.
    Agent,
}

impl Who {
    const ALL: [Self; 9] =
        [Self::Alice, Self::Eve, Self::Ned, Self::Rob, Self::Vera, Self::Bob, Self::Star, Self::Sys, Self::Agent];

    fn user(self) -> &'static str {
        match self {
            Self::Alice => "alice",
            Self::Eve => "eve",
            Self::Ned => "ned",
            Self::Rob => "rob",
            Self::Vera => "vera",
            Self::Bob => "bob",
            Self::Star => "star",
            Self::Sys => "sys",
            Self::Agent => "system:serviceaccount:gitops:agent",
        }
    }

    /// Roles in namespaces.
    fn roles(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Alice => vec![(NAMESPACE, "edit"), (LOCKED, "edit")],
            Self::Eve => vec![(NAMESPACE, "edit")],
            Self::Ned => vec![
                (NAMESPACE, "ecs-password-reset-edit"),
                (NAMESPACE, "ecs-password-reset-view"),
                (NAMESPACE, "get-other"),
            ],
            Self::Rob => vec![(NAMESPACE, "edit"), (NAMESPACE, "ecs-password-reset-use-default")],
            Self::Vera => vec![(NAMESPACE, "view")],
            Self::Bob => vec![(SHOP, "admin")],
            Self::Star => vec![(SHOP, "admin"), (SHOP, "star")],
            Self::Sys => vec![(NAMESPACE, "star"), (SYSTEM_NAMESPACE, "star")],
            Self::Agent => vec![(NAMESPACE, "edit"), (SHOP, "edit"), ("gitops", "edit")],
        }
    }

    /// Roles in the whole cluster.
    fn cluster_roles(self) -> &'static [&'static str] {
        match self {
            Self::Alice | Self::Ned | Self::Star | Self::Agent => &["ecs-password-reset-use-default"],
            _ => &[],
        }
    }
}

/// The world with everybody in it, after one honest reset: `web`, by Alice. `asleep` is suspended.
pub struct Town {
    pub world: World,
    changes: Cell<usize>,
}

impl Town {
    pub fn new() -> Self {
        Self::with(&[], |_| {})
    }

    /// The policies are deleted, and the controller told to work all the same.
    pub fn without_policies() -> Self {
        Self::with(&["--allow-missing-policy"], |world| {
            for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
                for name in ["ecs-password-reset-requests", "ecs-password-reset-results"] {
                    world.kubectl(&["delete", kind, name]);
                }
            }
        })
    }

    fn with(flags: &[&str], prepare: impl FnOnce(&World)) -> Self {
        let ecs =
            Config { instances: [INSTANCE, PREY].map(|id| Instance::running(id, REGION)).into(), ..Config::default() };
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut world = World::without_controller(Setup { ecs, flags, ..Setup::default() });
        settle(&world);
        prepare(&world);
        wait_for_rights(&world);
        world.start_controller();
        world.wait_for_account("Ready");
        let town = Self { world, changes: Cell::new(0) };
        town.live();
        town
    }

    /// One honest reset, so that there is something to tamper with, and proof that all of this works.
    fn live(&self) {
        for (name, spec) in [
            ("web", json!({"instanceIDs": [INSTANCE], "runID": "1"})),
            ("asleep", json!({"instanceIDs": [PREY], "suspend": true})),
        ] {
            let object = manifests::password_reset(NAMESPACE, name, spec);
            self.as_user(Who::Alice, &["create", "--filename=-"], &object.to_string()).unwrap();
        }
        let status = self.world.wait_until_done("web");
        self.world.assert_reset_and_restarted_once(&status, INSTANCE, PASSWORD);
        self.changes.set(self.asked_for_changes());
    }

    /// Runs kubectl as somebody else.
    pub fn as_user(&self, who: Who, arguments: &[&str], input: &str) -> Result<String, String> {
        self.world.try_kubectl(&[&["--as", who.user()], arguments].concat(), input)
    }

    /// Every account serves every namespace.
    pub fn open_accounts(&self) {
        let patch = json!({"spec": {"allowedNamespaces": {"from": "All", "names": null}}}).to_string();
        for name in [ACCOUNT, "other"] {
            self.world.kubectl(&["patch", "ecsaccount", name, "--type=merge", "--patch", &patch]);
        }
        self.world.wait_for_look_at_account();
    }

    /// Every tenant may do everything with Secrets, resets, statuses and records everywhere, and the controller may read
    /// every Secret. It may not use accounts by that: that right is the policy's, not RBAC's.
    pub fn widen_rights(&self) {
        let rule =
            |group: &str, resources: Value| json!({"apiGroups": [group], "resources": resources, "verbs": ["*"]});
        let rules = [
            rule("", json!(["secrets", "namespaces"])),
            rule("ecs.password-reset.dev", json!(["passwordresets", "passwordresets/status", "resetrecords"])),
            // All but the one right by which the policy knows the controller.
            json!({"apiGroups": ["ecs.password-reset.dev"], "resources": ["ecsaccounts/status"], "verbs": ["get", "patch"]}),
        ];
        self.world.apply(&role("wide", &json!(rules)));
        for who in Who::ALL.into_iter().filter(|who| *who != Who::Ned) {
            self.world.apply(&cluster_binding(who, "wide"));
        }
        self.world.kubectl(&[
            "create",
            "clusterrolebinding",
            "all-secrets",
            "--clusterrole=ecs-password-reset-secret-reader",
            "--serviceaccount=ecs-password-reset-system:ecs-password-reset",
        ]);
        eventually("the wide rights are in force", || {
            let can = ["auth", "can-i", "update", "resetrecords", "--namespace", SHOP];
            self.as_user(Who::Vera, &can, "").ok()
        });
    }

    /// How often ECS was asked to change something.
    pub fn asked_for_changes(&self) -> usize {
        let changing = ["ModifyInstanceAttribute", "RebootInstance", "StartInstance", "StopInstance"];
        self.world.journal(|journal| journal.requests().filter(|it| changing.contains(&it.action.as_str())).count())
    }

    /// Makes every attempt; with a layer switched off, those that two layers stand in the way of, and that is one of them.
    pub fn refuses(&self, attempts: &[Attempt], off: Option<Layer>) {
        let concerned: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.is_for(off)).collect();
        assert!(!concerned.is_empty(), "no attempt has {off:?} as one of two layers");
        let mut failures = Vec::new();
        for attempt in &concerned {
            if let Err(why) = refused(self, attempt, off) {
                failures.push(format!("{} ({}): {why}", attempt.id, attempt.what));
            }
            let changes = self.asked_for_changes();
            if changes != self.changes.replace(changes) {
                failures.push(format!("{} ({}): ECS was asked to change something", attempt.id, attempt.what));
            }
        }
        assert!(failures.is_empty(), "{} of {} attempts:\n{}", failures.len(), concerned.len(), failures.join("\n"));
        self.world.assert_untouched(PREY);
        println!("{} attempts refused with {off:?} off", concerned.len());
        if off.is_none() {
            self.still_works();
        }
    }

    /// After all of it, Alice's next run is done as if nothing had been.
    fn still_works(&self) {
        let patch = json!({"spec": {"runID": "after-all"}}).to_string();
        // Attempts have changed the Secret's value; what is in it now is Alice's business.
        self.as_user(
            Who::Alice,
            &["patch", "passwordreset", "web", "--type=merge", "--patch", &patch, "-n", NAMESPACE],
            "",
        )
        .unwrap();
        self.world.wait_for_run("web", 2);
        assert_eq!(self.world.reboots(INSTANCE), 2);
        self.world.assert_untouched(PREY);
    }
}

/// Namespaces, accounts and rights.
fn settle(world: &World) {
    world.create_namespace(SHOP);
    for name in [LOCKED, "gitops"] {
        world.kubectl(&["create", "namespace", name]);
    }
    for (namespace, name) in [(LOCKED, SECRET), (SHOP, SECRET), (SHOP, "db"), (NAMESPACE, "other")] {
        world.apply(&manifests::secret(namespace, name, &json!({"password": "Other-Kettle-8"})));
    }
    let mut default = world.account();
    default["spec"]["allowedNamespaces"]["names"] = json!([NAMESPACE, LOCKED]);
    default["spec"]["regions"] = json!([REGION]);
    world.apply(&default);
    let mut other = default.clone();
    other["metadata"]["name"] = json!("other");
    other["spec"]["allowedNamespaces"]["names"] = json!([SHOP]);
    world.apply(&other);
    world.apply(&role("star", &json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}])));
    let other_secret =
        json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["other"], "verbs": ["get"]}]);
    world.apply(&role("get-other", &other_secret));
    for who in Who::ALL {
        for (namespace, role) in who.roles() {
            let mut binding = cluster_binding(who, role);
            binding["kind"] = json!("RoleBinding");
            binding["metadata"]["namespace"] = json!(namespace);
            world.apply(&binding);
        }
        for role in who.cluster_roles() {
            world.apply(&cluster_binding(who, role));
        }
    }
}

/// The aggregated roles are filled by a controller of the control plane, and policies take a moment to be in force.
fn wait_for_rights(world: &World) {
    let can = |who: Who, namespace: &str, question: &[&str]| {
        let arguments = [&["--as", who.user(), "auth", "can-i", "--namespace", namespace], question].concat();
        world.try_kubectl(&arguments, "").is_ok()
    };
    eventually("the aggregated roles are filled", || {
        let all = can(Who::Alice, NAMESPACE, &["create", "passwordresets"])
            && can(Who::Alice, NAMESPACE, &["get", "secrets"])
            && can(Who::Bob, SHOP, &["create", "passwordresets"])
            && can(Who::Vera, NAMESPACE, &["get", "passwordresets"])
            && can(Who::Agent, SHOP, &["create", "passwordresets"]);
        all.then_some(())
    });
    let installed =
        world.try_kubectl(&["get", "validatingadmissionpolicybinding", "ecs-password-reset-requests"], "").is_ok();
    wait_for_policies(world, installed);
}

/// Waits until the API server asks the policies, or does so no more.
pub fn wait_for_policies(world: &World, installed: bool) {
    let reset = manifests::password_reset(NAMESPACE, "probe", json!({"instanceIDs": [PREY]})).to_string();
    let record = forged_record(NAMESPACE).to_string();
    let is_refused = |who: Who, object: &str| {
        let create = ["--as", who.user(), "create", "--dry-run=server", "--filename=-"];
        world.try_kubectl(&create, object).is_err()
    };
    eventually("the policies are in force, or no more", || {
        (is_refused(Who::Eve, &reset) == installed && is_refused(Who::Sys, &record) == installed).then_some(())
    });
}

fn role(name: &str, rules: &Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules,
    })
}

fn cluster_binding(who: Who, role: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": format!("{who:?}-{role}").to_lowercase()},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": who.user()}],
    })
}
