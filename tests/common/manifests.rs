//! What the tests apply: the fewest objects that a reset needs.

use serde_json::{Value, json};

/// Where the controller and its records live.
pub const SYSTEM_NAMESPACE: &str = "ecs-password-reset-system";
/// The namespace of the user.
pub const NAMESPACE: &str = "prod";
/// The region of all instances.
pub const REGION: &str = "cn-hangzhou";
/// The `ECSAccount` that an object uses which names none.
pub const ACCOUNT: &str = "default";
/// The access key that it signs with.
pub const ACCESS_KEY_ID: &str = "testid";
/// The user's Secret.
pub const SECRET: &str = "root-password";
/// What it holds at first.
pub const PASSWORD: &str = "Blue-Kettle-7";

/// An `ECSAccount` for the simulator's testing key, without a pause between restarts.
pub fn account(name: &str, ecs_url: &str) -> Value {
    json!({
        "apiVersion": "ecs.password-reset.dev/v1alpha1",
        "kind": "ECSAccount",
        "metadata": {"name": name},
        "spec": {
            "credentials": {"secretRef": {"name": "ecs-credentials"}},
            "allowedNamespaces": {"names": [NAMESPACE]},
            "limits": {"requestsPerSecond": 100, "minRestartIntervalSeconds": 0},
            "endpoint": {"url": ecs_url},
        },
    })
}

/// The credentials of that account.
pub fn credentials() -> Value {
    let key = json!({"accessKeyID": ACCESS_KEY_ID, "accessKeySecret": "testsecret"});
    secret(SYSTEM_NAMESPACE, "ecs-credentials", &key)
}

/// A Secret.
pub fn secret(namespace: &str, name: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": namespace, "name": name},
        "stringData": data,
    })
}

/// A namespace, and the right to read its Secrets by name that its owner gives to the controller.
pub fn namespace(name: &str) -> [Value; 2] {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"namespace": name, "name": "ecs-password-reset-secret-reader"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "ecs-password-reset-secret-reader",
        },
        "subjects": [{"kind": "ServiceAccount", "namespace": SYSTEM_NAMESPACE, "name": "ecs-password-reset"}],
    });
    [json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}), binding]
}

/// What every world has beside its account: credentials, and the namespace `prod` with its Secret.
pub fn furniture() -> Vec<Value> {
    let mut objects = vec![credentials()];
    objects.extend(namespace(NAMESPACE));
    objects.push(secret(NAMESPACE, SECRET, &json!({"password": PASSWORD})));
    objects
}

/// A `PasswordReset` with the fields of `spec` on top of a region, a Secret, and no pause between two restarts.
pub fn password_reset(namespace: &str, name: &str, spec: Value) -> Value {
    let mut all = json!({
        "regionID": REGION,
        "passwordSecretRef": {"name": SECRET},
        "restart": {"minReadySeconds": 0},
    });
    let Value::Object(fields) = spec else { panic!("a spec is an object") };
    for (field, value) in fields {
        match (all[&field].as_object_mut(), value) {
            (Some(known), Value::Object(more)) => known.extend(more),
            (_, value) => all[field] = value,
        }
    }
    json!({
        "apiVersion": "ecs.password-reset.dev/v1alpha1",
        "kind": "PasswordReset",
        "metadata": {"namespace": namespace, "name": name},
        "spec": all,
    })
}
