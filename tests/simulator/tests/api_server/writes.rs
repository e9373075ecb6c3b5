//! What a write does, and which writes are refused.

use crate::client::{Client, RECORDS, WIDGETS, version};
use http::Method;
use serde_json::{Value, json};

fn path(resource: &str, name: &str) -> String {
    format!("{resource}/{name}")
}

fn reason(answer: &(u16, Value)) -> (u16, &str) {
    assert_eq!((&answer.1["kind"], &answer.1["code"]), (&json!("Status"), &json!(answer.0)), "{}", answer.1);
    (answer.0, answer.1["reason"].as_str().unwrap())
}

#[test]
fn a_new_object_gets_what_only_the_server_gives() {
    let mut client = Client::new();
    let widget = client.add(WIDGETS, "a", 1);
    let metadata = &widget["metadata"];
    assert_eq!((&metadata["namespace"], &metadata["generation"]), (&json!("prod"), &json!(1)));
    assert_eq!(metadata["creationTimestamp"], "2026-11-24T05:21:07Z");
    assert_eq!(metadata["uid"].as_str().unwrap().len(), 36);
    assert_eq!((&widget["kind"], &widget["apiVersion"]), (&json!("Widget"), &json!("example.dev/v1")));
    assert_eq!(client.get(&path(WIDGETS, "a")), (200, widget.clone()));
    let other = client.add(WIDGETS, "b", 1);
    assert_ne!(other["metadata"]["uid"], metadata["uid"]);
    assert!(version(&other) > version(&widget));
    assert_eq!(Client::new().add(WIDGETS, "a", 1)["metadata"]["uid"], metadata["uid"], "uids come from the seed");
}

#[test]
fn duplicate_and_missing_names_are_refused() {
    let mut client = Client::new();
    client.add(WIDGETS, "a", 1);
    let again = client.create(WIDGETS, &json!({"metadata": {"name": "a"}, "spec": {"size": 9}}));
    assert_eq!(reason(&again), (409, "AlreadyExists"));
    assert_eq!(client.get(&path(WIDGETS, "a")).1["spec"]["size"], 1);
    assert_eq!(reason(&client.create(WIDGETS, &json!({"metadata": {}}))), (422, "Invalid"));
    let with_version = json!({"metadata": {"name": "b", "resourceVersion": "7"}});
    assert_eq!(reason(&client.create(WIDGETS, &with_version)), (400, "BadRequest"));
}

#[test]
fn status_of_new_object_is_dropped_unless_in_the_document() {
    let mut client = Client::new();
    let body = json!({"metadata": {"name": "a"}, "status": {"phase": "Mine"}});
    assert_eq!(client.create(WIDGETS, &body).1["status"], json!({"phase": "New"}));
    assert_eq!(client.create(RECORDS, &body).1["status"], json!({"phase": "Mine"}));
}

#[test]
fn a_replace_takes_the_version_that_was_read_and_no_other() {
    let mut client = Client::new();
    let first = client.add(WIDGETS, "a", 1);
    let mut second = first.clone();
    second["spec"]["size"] = json!(2);
    let (code, second) = client.replace(&path(WIDGETS, "a"), &second);
    assert_eq!((code, &second["spec"]["size"]), (200, &json!(2)));
    assert!(version(&second) > version(&first));

    let mut stale = first.clone();
    stale["spec"]["size"] = json!(3);
    assert_eq!(reason(&client.replace(&path(WIDGETS, "a"), &stale)), (409, "Conflict"));
    stale["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    assert_eq!(reason(&client.replace(&path(WIDGETS, "a"), &stale)), (422, "Invalid"));
    assert_eq!(client.get(&path(WIDGETS, "a")).1, second);
    assert_eq!(reason(&client.replace(&path(WIDGETS, "b"), &json!({}))), (404, "NotFound"));
}

#[test]
fn an_object_that_was_created_again_is_another_one() {
    let mut client = Client::new();
    let first = client.add(WIDGETS, "a", 1);
    client.delete(&path(WIDGETS, "a"));
    let second = client.add(WIDGETS, "a", 1);
    let mut write = second.clone();
    write["metadata"]["uid"] = first["metadata"]["uid"].clone();
    assert_eq!(reason(&client.replace(&path(WIDGETS, "a"), &write)), (409, "Conflict"));
}

#[test]
fn generation_counts_content_changes_and_version_all() {
    let mut client = Client::new();
    for (resource, status_counts) in [(WIDGETS, false), (RECORDS, true)] {
        let generation = |(code, object): (u16, Value)| {
            assert_eq!(code, 200, "{object}");
            object["metadata"]["generation"].as_i64().unwrap()
        };
        client.add(resource, "a", 1);
        let a = path(resource, "a");
        assert_eq!(generation(client.merge(&a, &json!({"metadata": {"labels": {"x": "y"}}}))), 1);
        assert_eq!(generation(client.merge(&a, &json!({"spec": {"size": 2}}))), 2);
        assert_eq!(generation(client.merge(&a, &json!({"metadata": {"generation": 9}}))), 2, "nobody sets it");
        let with_status = client.merge(&a, &json!({"status": {"phase": "Done"}}));
        assert_eq!(with_status.1["status"]["phase"] == "Done", status_counts, "{resource}");
        assert_eq!(generation(with_status), if status_counts { 3 } else { 2 });
    }
    let secrets = "/api/v1/namespaces/prod/secrets";
    let (_, secret) = client.create(secrets, &json!({"metadata": {"name": "s"}, "data": {"a": "Yg=="}}));
    assert!(secret["metadata"]["generation"].is_null(), "built-in kinds here count none");
}

#[test]
fn a_write_of_the_status_reaches_the_status_alone() {
    let mut client = Client::new();
    let mut widget = client.add(WIDGETS, "a", 1);
    let before = widget.clone();
    widget["spec"]["size"] = json!(99);
    widget["metadata"]["labels"] = json!({"x": "y"});
    widget["status"] = json!({"phase": "Done"});
    let (code, after) = client.replace(&path(WIDGETS, "a/status"), &widget);
    assert_eq!((code, &after["status"]), (200, &json!({"phase": "Done"})));
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!((&after["metadata"]["generation"], after["metadata"].get("labels")), (&json!(1), None));
    assert_eq!(reason(&client.replace(&path(WIDGETS, "a/status"), &widget)), (409, "Conflict"));

    let patch = json!({"status": {"note": "x"}, "spec": {"size": 7}});
    let (code, merged) = client.merge(&path(WIDGETS, "a/status"), &patch);
    assert_eq!((code, &merged["status"]), (200, &json!({"phase": "Done", "note": "x"})));
    assert_eq!(merged["spec"], before["spec"]);
    assert_eq!(client.replace(&path(RECORDS, "a/status"), &widget).0, 404, "records have no such part");
}

#[test]
fn a_write_of_the_object_leaves_its_status_subresource_alone() {
    let mut client = Client::new();
    let mut widget = client.add(WIDGETS, "a", 1);
    widget["status"] = json!({"phase": "Forged"});
    widget["spec"]["size"] = json!(2);
    let (_, after) = client.replace(&path(WIDGETS, "a"), &widget);
    assert_eq!((&after["status"], &after["spec"]["size"]), (&json!({"phase": "New"}), &json!(2)));
}

#[test]
fn a_write_that_changes_nothing_makes_no_version() {
    let mut client = Client::new();
    let widget = client.add(WIDGETS, "a", 1);
    assert_eq!(client.replace(&path(WIDGETS, "a"), &widget), (200, widget.clone()));
    assert_eq!(client.merge(&path(WIDGETS, "a"), &json!({"spec": {"size": 1}})), (200, widget.clone()));
    assert_eq!(client.replace(&path(WIDGETS, "a/status"), &widget), (200, widget.clone()));
    assert_eq!(client.server.version(), version(&widget));
}

#[test]
fn merge_patch_adds_changes_removes_and_may_name_version() {
    let mut client = Client::new();
    client.add(WIDGETS, "a", 1);
    let a = path(WIDGETS, "a");
    let (_, first) = client.merge(&a, &json!({"spec": {"deep": {"x": 1, "y": 2}}}));
    let (_, second) = client.merge(&a, &json!({"spec": {"deep": {"x": null, "z": [3]}}}));
    assert_eq!(second["spec"], json!({"size": 1, "deep": {"y": 2, "z": [3]}}));
    let stale = json!({"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "spec": {"size": 5}});
    assert_eq!(reason(&client.merge(&a, &stale)), (409, "Conflict"));
}

#[test]
fn secret_replace_needs_no_version_but_lease_replace_does() {
    let mut client = Client::new();
    let body = json!({"metadata": {"name": "x"}});
    for (resource, code) in
        [("/api/v1/namespaces/prod/secrets", 200), ("/apis/coordination.k8s.io/v1/namespaces/prod/leases", 422)]
    {
        assert_eq!(client.create(resource, &body).0, 201);
        assert_eq!(client.replace(&path(resource, "x"), &body).0, code, "{resource}");
    }
}

#[test]
fn deleted_object_is_gone_and_its_deletion_is_a_version() {
    let mut client = Client::new();
    let widget = client.add(WIDGETS, "a", 1);
    let (code, status) = client.delete(&path(WIDGETS, "a"));
    assert_eq!((code, &status["status"]), (200, &json!("Success")));
    assert_eq!(reason(&client.get(&path(WIDGETS, "a"))), (404, "NotFound"));
    assert_eq!(reason(&client.delete(&path(WIDGETS, "a"))), (404, "NotFound"));
    assert!(client.server.version() > version(&widget));
}

#[test]
fn what_it_does_not_know_is_refused_and_not_guessed() {
    let mut client = Client::new();
    client.add(WIDGETS, "a", 1);
    let refused = |answer: (u16, Value)| assert!((400..500).contains(&answer.0), "{} {}", answer.0, answer.1);
    for path in [
        "/apis/example.dev/v1/namespaces/prod/gadgets",
        "/apis/example.dev/v2/namespaces/prod/widgets",
        "/apis/example.dev/v1/widgets/a",
        "/healthz",
        &format!("{WIDGETS}?labelSelector=a%3Db"),
        &format!("{WIDGETS}?limit=many"),
        &format!("{WIDGETS}/a/scale"),
    ] {
        refused(client.get(path));
    }
    refused(client.send(Method::POST, &path(WIDGETS, "a"), &json!({})));
    refused(client.create(WIDGETS, &json!({"metadata": {"generateName": "x-"}})));
    refused(client.create(WIDGETS, &json!({"metadata": {"name": "x", "finalizers": ["f"]}})));
    refused(client.create(WIDGETS, &json!({"kind": "Record", "metadata": {"name": "x"}})));
    refused(client.create(WIDGETS, &json!({"metadata": {"name": "x", "namespace": "other"}})));
    refused(client.create(WIDGETS, &json!(["no object"])));
    refused(client.create(&format!("{WIDGETS}?dryRun=All"), &json!({"metadata": {"name": "x"}})));
    assert_eq!(client.server.stored_all("widgets").count(), 1);
}
