//! What the town is made of: namespaces, accounts and rights; and each layer switched off. It makes no attempt.

use serde_json::{Value, json};

use crate::common::{
    ACCOUNT, AccessKey, Instance, NAMESPACE, REGION, SECRET, SYSTEM_NAMESPACE, World, eventually, manifests,
};
use crate::ledger::forged_record;
use crate::people::{BLIND, BUSY, GITOPS, INSTANCE, LOCKED, OURS, PREY, SHARED, SHOP, THEIRS, Town, Who};

/// Every account.
const ACCOUNTS: [&str; 4] = [ACCOUNT, "other", SHARED, BLIND];
/// Machines whose tags nearly fit a rule for `prod`, and one that belongs to another cloud account.
pub const NEAR: [&str; 6] =
    ["i-near0000001", "i-near0000002", "i-near0000003", "i-near0000004", "i-near0000005", "i-near0000006"];
/// One without tags.
pub const BARE: &str = "i-bare0000001";
/// `prod`'s and `shop`'s in a region that no account serves.
pub const FAR: [&str; 2] = ["i-far00000001", "i-far00000002"];
/// That region.
pub const FAR_REGION: &str = "cn-beijing";
/// Nobody's, and it has much to tell.
pub const HIDDEN: &str = "i-hidden00001";
/// What nobody may read who asks for a machine of others: its names, tags, status, locks, and whose identity sees it.
pub const WORDS: [&str; 8] =
    ["payroll", "finance", "windows", "stopped", "seized", "acs:", "1234567890123456", "blindid"];

/// All machines.
pub fn instances() -> Vec<Instance> {
    let here = |id| Instance::running(id, REGION).named("payroll-db").with_key_pair("payroll-keys");
    let far = |id| Instance::running(id, FAR_REGION);
    vec![
        Instance::running(INSTANCE, REGION),
        Instance::running(PREY, REGION).tagged("team", "web"),
        Instance::running(OURS[0], REGION).tagged("team", "web"),
        Instance::running(OURS[1], REGION).tagged("team", "web"),
        here(THEIRS).tagged("team", "shop").tagged("cost", "finance"),
        here(BUSY).tagged("team", "shop").held(),
        here(BARE),
        Instance::stopped(HIDDEN, REGION).named("payroll-db").windows().tagged("team", "finance").locked("seized"),
        here(NEAR[0]).tagged("team", "Web"),
        here(NEAR[1]).tagged("Team", "web"),
        here(NEAR[2]).tagged("team", "web "),
        here(NEAR[3]).tagged("team", "webmaster"),
        here(NEAR[4]).tagged("team", "shop").tagged("lent", ""),
        here(NEAR[5]).tagged("team", "web").of_account("6543210987654321"),
        far(FAR[0]).tagged("team", "web"),
        far(FAR[1]).tagged("team", "shop"),
    ]
}

impl Town {
    /// Every account serves every namespace and every region.
    pub fn open_accounts(&self) {
        self.change_accounts(&json!({"allowedNamespaces": {"from": "All", "names": null}, "regions": null}));
    }

    /// No account has rules. The key may see every machine, and change those only that no attempt is about.
    pub fn take_rules_away(&self) {
        let deny = |key: AccessKey, id| key.deny("ModifyInstanceAttribute", Some(id)).deny("RebootInstance", Some(id));
        let key = [PREY, THEIRS, BARE].into_iter().fold(AccessKey::testing(), deny);
        self.world.ecs().core().put_access_key(key);
        self.change_accounts(&json!({"rules": null}));
    }

    fn change_accounts(&self, spec: &Value) {
        let patch = json!({"spec": spec}).to_string();
        for name in ACCOUNTS {
            self.world.kubectl(&["patch", "ecsaccount", name, "--type=merge", "--patch", &patch]);
        }
        for name in ACCOUNTS {
            self.world.wait_for_changed_account(name);
        }
    }

    /// Every tenant may do everything with Secrets, resets, statuses and records everywhere and change accounts, and the
    /// controller may read every Secret. Nobody may use accounts by that: that right is the policy's, not RBAC's.
    pub fn widen_rights(&self) {
        let rule =
            |group: &str, resources: Value| json!({"apiGroups": [group], "resources": resources, "verbs": ["*"]});
        let rules = [
            rule("", json!(["secrets", "namespaces"])),
            rule("ecs.password-reset.dev", json!(["passwordresets", "passwordresets/status", "resetrecords"])),
            // All but the one right by which the policy knows the controller.
            json!({
                "apiGroups": ["ecs.password-reset.dev"],
                "resources": ["ecsaccounts", "ecsaccounts/status"],
                "verbs": ["get", "patch"],
            }),
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

    /// The schemas of what a `PasswordReset` and an `ECSAccount` ask for take anything.
    pub fn loosen_shape(&self) {
        for crd in ["passwordresets.ecs.password-reset.dev", "ecsaccounts.ecs.password-reset.dev"] {
            loosen(&self.world, crd);
        }
        let probe = json!({"instanceIDs": [PREY], "passwordSecretRef": {"name": "a/b", "namespace": "c"}});
        let probe = manifests::password_reset(LOCKED, "probe", probe).to_string();
        let create = ["create", "--dry-run=server", "--filename=-"];
        eventually("the loosened schema is in force", || self.as_user(Who::Alice, &create, &probe).ok());
    }
}

/// The schema of a kind's spec takes anything, in a moment.
pub fn loosen(world: &World, crd: &str) {
    let mut loose: Value = serde_json::from_str(&world.kubectl(&["get", "crd", crd, "--output=json"])).unwrap();
    let version = &mut loose["spec"]["versions"][0];
    version["schema"]["openAPIV3Schema"]["properties"]["spec"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    // They must point at fields that the schema declares.
    version["selectableFields"].take();
    loose["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    world.try_kubectl(&["replace", "--filename=-"], &loose.to_string()).unwrap();
}

/// Namespaces, accounts and rights.
pub fn settle(world: &World) {
    let mut objects: Vec<Value> = [SHOP, GITOPS].into_iter().flat_map(manifests::namespace).collect();
    objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LOCKED}}));
    for (namespace, name) in [(LOCKED, SECRET), (SHOP, SECRET), (GITOPS, SECRET), (SHOP, "db"), (NAMESPACE, "other")] {
        objects.push(manifests::secret(namespace, name, &json!({"password": "Other-Kettle-8"})));
    }
    objects.extend(accounts(world));
    let get_other =
        json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["other"], "verbs": ["get"]}]);
    let use_shared = json!([{
        "apiGroups": ["ecs.password-reset.dev"], "resources": ["ecsaccounts"], "resourceNames": [SHARED, BLIND], "verbs": ["use"],
    }]);
    objects.push(role("star", &json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}])));
    objects.push(role("get-other", &get_other));
    objects.push(role("use-shared", &use_shared));
    for who in Who::ALL {
        for (namespace, role) in who.roles() {
            let mut binding = cluster_binding(who, role);
            binding["kind"] = json!("RoleBinding");
            binding["metadata"]["namespace"] = json!(namespace);
            objects.push(binding);
        }
        objects.extend(who.cluster_roles().iter().map(|role| cluster_binding(who, role)));
    }
    world.apply_all(objects);
}

/// `default` for `prod`, `other` for `shop`, and two for both whose rules tell the machines of the two apart.
fn accounts(world: &World) -> [Value; 5] {
    let rule = |namespace: &str, tags: Value| json!({"namespaces": [namespace], "instanceTags": tags});
    let of_shop = rule(SHOP, json!({"team": "shop"}));
    let rules = json!([
        rule(NAMESPACE, json!({"team": "web"})),
        rule(NAMESPACE, json!({"team": "shop", "lent": "prod"})),
        of_shop,
    ]);
    let account = |name: &str, namespaces: &[&str], rules: Value, credentials: &str| {
        let mut account = world.account();
        account["metadata"]["name"] = json!(name);
        let spec = &mut account["spec"];
        spec["credentials"]["secretRef"]["name"] = json!(credentials);
        spec["allowedNamespaces"]["names"] = json!(namespaces);
        spec["regions"] = json!([REGION]);
        if !rules.is_null() {
            spec["rules"] = rules;
        }
        account
    };
    let blind = json!({"accessKeyID": "blindid", "accessKeySecret": "blindsecret"});
    [
        manifests::secret(SYSTEM_NAMESPACE, "blind-credentials", &blind),
        account(ACCOUNT, &[NAMESPACE, LOCKED], Value::Null, "ecs-credentials"),
        account("other", &[SHOP], json!([of_shop]), "ecs-credentials"),
        account(SHARED, &[NAMESPACE, SHOP], rules.clone(), "ecs-credentials"),
        account(BLIND, &[NAMESPACE, SHOP], rules, "blind-credentials"),
    ]
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
