//! Lists: at a version, in pages, and in the past.

use crate::client::{Client, RECORDS, WIDGETS, version};
use bytes::Bytes;
use ecs_simulator::api_server::Answer;
use serde_json::Value;

fn items(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

fn with_three() -> Client {
    let mut client = Client::new();
    for name in ["b", "a", "c"] {
        client.add(WIDGETS, name, 1);
    }
    client
}

#[test]
fn a_list_is_in_order_and_carries_the_version_at_which_it_holds() {
    let mut client = with_three();
    client.add(RECORDS, "r", 1);
    client.add("/apis/example.dev/v1/namespaces/other/widgets", "a", 1);
    let (code, list) = client.get(&format!("{WIDGETS}?limit=500"));
    assert_eq!((code, items(&list)), (200, vec!["a", "b", "c"]));
    assert_eq!((list["kind"].as_str(), list["apiVersion"].as_str()), (Some("WidgetList"), Some("example.dev/v1")));
    assert_eq!(version(&list), client.server.version(), "not that of its newest item");
    let (_, everywhere) = client.get("/apis/example.dev/v1/widgets");
    assert_eq!(items(&everywhere), ["a", "a", "b", "c"]);
}

#[test]
fn the_pages_of_a_list_are_of_one_version() {
    let mut client = with_three();
    let (_, first) = client.get(&format!("{WIDGETS}?limit=2"));
    assert_eq!((items(&first), &first["metadata"]["remainingItemCount"]), (vec!["a", "b"], &Value::from(1)));
    client.add(WIDGETS, "bb", 1);
    client.delete(&format!("{WIDGETS}/c"));
    let next = format!("{WIDGETS}?limit=2&continue={}", first["metadata"]["continue"].as_str().unwrap());
    let (_, second) = client.get(&next);
    assert_eq!((items(&second), version(&second)), (vec!["c"], version(&first)));
    assert!(second["metadata"]["continue"].is_null());
    client.server.compact(client.server.version());
    let (code, gone) = client.get(&next);
    assert_eq!((code, gone["reason"].as_str()), (410, Some("Expired")));
}

#[test]
fn a_list_at_an_exact_version_shows_what_was_then() {
    let mut client = with_three();
    let then = client.server.version();
    client.delete(&format!("{WIDGETS}/a"));
    let path = |version: u64| format!("{WIDGETS}?resourceVersion={version}&resourceVersionMatch=Exact");
    assert_eq!(items(&client.get(&path(then)).1), ["a", "b", "c"]);
    assert_eq!(items(&client.get(&path(then + 1)).1), ["b", "c"]);
    assert_eq!(client.get(&path(then + 2)).0, 504, "the future is waited for in vain");
    client.server.compact(then + 1);
    assert_eq!(client.get(&path(then)).0, 410);
    assert_eq!(items(&client.get(&path(then + 1)).1), ["b", "c"]);
}

#[test]
fn a_list_in_the_past_says_of_when_it_is() {
    let mut client = with_three();
    let then = client.server.version();
    client.delete(&format!("{WIDGETS}/a"));
    let list = |client: &mut Client, version| {
        let request = http::Request::get(WIDGETS).body(Bytes::new()).unwrap();
        let Answer::Whole(answer) = client.server.handle_in_the_past(client.now, &request, version) else { panic!() };
        serde_json::from_slice::<Value>(answer.body()).unwrap()
    };
    let past = list(&mut client, then);
    assert_eq!((items(&past), version(&past)), (vec!["a", "b", "c"], then));
    assert_eq!(items(&list(&mut client, then - 2)), ["b"]);
    client.server.compact(then);
    assert_eq!(items(&list(&mut client, then)), ["a", "b", "c"], "the version that was compacted to is still known");
}
