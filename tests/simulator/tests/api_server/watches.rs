//! Watches: everything after a version, in order, once; bookmarks, time-outs and 410.

use crate::client::{Client, RECORDS, WIDGETS, names, version};
use bytes::Bytes;
use ecs_simulator::api_server::Answer;
use serde_json::json;

fn watch_path(after: u64) -> String {
    format!("{WIDGETS}?watch=true&timeoutSeconds=290&allowWatchBookmarks=true&resourceVersion={after}")
}

#[test]
fn watch_shows_each_later_change_once_in_order() {
    let mut client = Client::new();
    client.add(WIDGETS, "before", 1);
    let mut watch = client.watch(&watch_path(client.server.version()));
    assert_eq!(client.lines(&mut watch), []);
    let a = client.add(WIDGETS, "a", 1);
    client.add(RECORDS, "other-kind", 1);
    client.add("/apis/example.dev/v1/namespaces/other/widgets", "other-namespace", 1);
    client.merge(&format!("{WIDGETS}/a"), &json!({"spec": {"size": 2}}));
    client.merge(&format!("{WIDGETS}/a"), &json!({"spec": {"size": 2}}));
    client.delete(&format!("{WIDGETS}/a"));
    let lines = client.lines(&mut watch);
    assert_eq!(names(&lines), ["ADDED a", "MODIFIED a", "DELETED a"]);
    assert_eq!(lines[0].1, a);
    assert_eq!(lines[1].1["spec"]["size"], 2);
    assert_eq!(version(&lines[2].1), client.server.version(), "a deletion has a version of its own");
    assert_eq!(client.lines(&mut watch), []);
}

#[test]
fn a_watch_may_begin_in_the_past() {
    let mut client = Client::new();
    let a = client.add(WIDGETS, "a", 1);
    client.add(WIDGETS, "b", 1);
    let mut watch = client.watch(&watch_path(version(&a)));
    assert_eq!(names(&client.lines(&mut watch)), ["ADDED b"]);
}

#[test]
fn lagging_cache_repeats_old_state_and_misses_nothing() {
    let mut client = Client::new();
    let versions = ["a", "b", "c"].map(|name| version(&client.add(WIDGETS, name, 1)));
    let begin = |client: &mut Client, asked: u64, past: u64| {
        let request = http::Request::get(watch_path(asked)).body(Bytes::new()).unwrap();
        let Answer::Watch(mut watch) = client.server.handle_in_the_past(client.now, &request, past) else { panic!() };
        names(&client.lines(&mut watch))
    };
    assert_eq!(begin(&mut client, versions[1], versions[0]), ["ADDED b", "ADDED c"]);
    assert_eq!(begin(&mut client, versions[0], versions[1]), ["ADDED b", "ADDED c"], "never later than was asked for");
}

#[test]
fn without_a_version_a_watch_begins_with_what_is_there() {
    let mut client = Client::new();
    client.add(WIDGETS, "b", 1);
    client.add(WIDGETS, "a", 1);
    let mut watch = client.watch(&format!("{WIDGETS}?watch=1"));
    client.add(WIDGETS, "c", 1);
    assert_eq!(names(&client.lines(&mut watch)), ["ADDED a", "ADDED b", "ADDED c"]);
}

#[test]
fn bookmark_comes_every_minute_with_the_version() {
    let mut client = Client::new();
    client.add(WIDGETS, "a", 1);
    let mut watch = client.watch(&watch_path(client.server.version()));
    let mut without = client.watch(&format!("{WIDGETS}?watch=true&resourceVersion={}", client.server.version()));
    client.add(RECORDS, "r", 1);
    client.pass(59);
    assert_eq!(client.lines(&mut watch), []);
    client.pass(1);
    let lines = client.lines(&mut watch);
    assert_eq!(names(&lines), ["BOOKMARK -"]);
    assert_eq!((version(&lines[0].1), &lines[0].1["kind"]), (client.server.version(), &json!("Widget")));
    assert_eq!(client.lines(&mut without), []);
    client.pass(60);
    client.add(WIDGETS, "b", 1);
    assert_eq!(names(&client.lines(&mut watch)), ["ADDED b", "BOOKMARK -"], "never before what it covers");
}

#[test]
fn a_watch_ends_after_its_time() {
    let mut client = Client::new();
    let mut watch = client.watch(&watch_path(client.server.version()));
    client.pass(289);
    assert_eq!(names(&client.lines(&mut watch)), ["BOOKMARK -"]);
    client.pass(1);
    client.add(WIDGETS, "a", 1);
    assert_eq!(names(&client.lines(&mut watch)), ["END -"]);
}

#[test]
fn a_version_that_is_compacted_away_is_gone() {
    let mut client = Client::new();
    let a = client.add(WIDGETS, "a", 1);
    let mut early = client.watch(&watch_path(version(&a)));
    let mut abreast = client.watch(&watch_path(version(&a)));
    client.add(WIDGETS, "b", 1);
    client.lines(&mut abreast);
    client.server.compact(client.server.version());
    let lines = client.lines(&mut early);
    assert_eq!(names(&lines), ["ERROR -", "END -"]);
    assert_eq!((&lines[0].1["code"], &lines[0].1["reason"]), (&json!(410), &json!("Expired")));
    client.add(WIDGETS, "c", 1);
    assert_eq!(names(&client.lines(&mut abreast)), ["ADDED c"], "who has kept up notices nothing");
}
