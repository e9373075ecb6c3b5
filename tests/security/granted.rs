//! A refusal for want of rights names every right that is missing, and its commands grant them: each is run as printed.

use serde_json::{Value, json};

use crate::common::{ACCOUNT, Instance, NAMESPACE, REGION, SECRET, World, eventually, manifests};

const ID: &str = "i-granted0001";
const GET: &str = "must come from a user who may get Secret root-password in namespace prod";

/// A user without a right but that of writing resets in `prod`.
fn newcomer(world: &World, number: usize, user: &str) {
    world.kubectl(&[
        "create",
        "rolebinding",
        &format!("writes-{number}"),
        "--namespace",
        NAMESPACE,
        "--clusterrole=ecs-password-reset-edit",
        &format!("--user={user}"),
    ]);
}

/// Applies the object as `user`, runs what the refusal says as a cluster admin, and applies it again.
fn refused_then_granted(world: &World, user: &str, object: &Value, says: &[&str]) {
    let apply = || world.try_kubectl(&["--as", user, "create", "--filename=-"], &object.to_string());
    let said = eventually("the policy refuses it", || {
        let said = apply().unwrap_err();
        // RBAC alone refuses until the binding is known.
        said.contains("must come from").then_some(said)
    });
    for words in says {
        assert!(said.contains(words), "{words} is not in: {said}");
    }
    let (_, commands) = said.trim().split_once(", run: ").unwrap_or_else(|| panic!("no command in: {said}"));
    world.paste(commands).unwrap_or_else(|error| panic!("{commands}: {error}"));
    eventually("it is taken once the rights are known", || apply().ok());
}

fn reset(name: &str, spec: &Value) -> Value {
    let mut object = manifests::password_reset(NAMESPACE, name, json!({"instanceIDs": [ID], "suspend": true}));
    object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    object
}

#[test]
fn commands_of_a_refusal_grant_what_is_missing_as_printed() {
    let world = World::with([Instance::running(ID, REGION)]);
    let users = [
        "alice",
        "system:serviceaccount:gitops:agent",
        // A shell would split it, end its quotes, or take it for a path.
        "https://login.example.com/#o'brien (50% & more)",
    ];
    for (number, user) in users.into_iter().enumerate() {
        newcomer(&world, number, user);
        let name = |what: &str| format!("{what}-{number}");
        refused_then_granted(
            &world,
            user,
            &reset(&name("both"), &json!({})),
            &[GET, &format!(" and use ECSAccount {ACCOUNT}")],
        );
        // The Secret may be read now: the account is all that is missing, and no role for it ships.
        let other = json!({"accountRef": {"name": format!("team.{number}")}});
        refused_then_granted(
            &world,
            user,
            &reset(&name("account"), &other),
            &[&format!("must come from a user who may use ECSAccount team.{number} (a cluster admin can grant it")],
        );
        let secret = json!({"passwordSecretRef": {"name": format!("db.{number}")}});
        refused_then_granted(
            &world,
            user,
            &reset(&name("secret"), &secret),
            &[&format!("must come from a user who may get Secret db.{number} in namespace prod (the owner")],
        );
    }
    // Nothing else was granted on the way.
    let can =
        |user: &str, what: &[&str]| world.try_kubectl(&[&["--as", user, "auth", "can-i"], what].concat(), "").is_ok();
    for user in users {
        assert!(can(user, &["get", &format!("secret/{SECRET}"), "-n", NAMESPACE]), "{user}");
        assert!(!can(user, &["get", "secrets", "-n", NAMESPACE]), "{user}");
        assert!(!can(user, &["use", "ecsaccounts.ecs.password-reset.dev"]), "{user}");
    }
    world.assert_untouched(ID);
}
