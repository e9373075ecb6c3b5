//! What the town is made of: namespaces, accounts and rights; and each layer switched off. It makes no attempt.

use serde_json::{Value, json};

use crate::common::{ACCOUNT, NAMESPACE, REGION, SECRET, World, eventually, manifests};
use crate::ledger::forged_record;
use crate::people::{LOCKED, PREY, SHOP, Town, Who};

impl Town {
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

    /// The schema of a `PasswordReset`'s spec takes anything.
    pub fn loosen_shape(&self) {
        let crd = "passwordresets.ecs.password-reset.dev";
        let mut loose: Value =
            serde_json::from_str(&self.world.kubectl(&["get", "crd", crd, "--output=json"])).unwrap();
        let version = &mut loose["spec"]["versions"][0];
        version["schema"]["openAPIV3Schema"]["properties"]["spec"] =
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        // They must point at fields that the schema declares.
        version["selectableFields"].take();
        loose["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        self.world.try_kubectl(&["replace", "--filename=-"], &loose.to_string()).unwrap();
        let probe = json!({"instanceIDs": [PREY], "passwordSecretRef": {"name": "a/b", "namespace": "c"}});
        let probe = manifests::password_reset(LOCKED, "probe", probe).to_string();
        let create = ["create", "--dry-run=server", "--filename=-"];
        eventually("the loosened schema is in force", || self.as_user(Who::Alice, &create, &probe).ok());
    }
}

/// Namespaces, accounts and rights.
pub fn settle(world: &World) {
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
pub fn wait_for_rights(world: &World) {
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
fn wait_for_policies(world: &World, installed: bool) {
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
