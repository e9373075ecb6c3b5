//! Stored documents stay what they are: real dumps of objects and records, in each phase and end, read and written again byte
//! for byte. A version that changes one of them cannot follow the one before it.
//!
//! `tests/data/stored/` holds what the controller wrote in simulated runs, with sorted keys.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ecs_account::ECSAccount;
use super::password_reset::PasswordReset;
use super::reset_record::ResetRecord;

fn written_again<K: Serialize + DeserializeOwned>(text: &str) -> String {
    let object: K = serde_json::from_str(text).unwrap();
    // By way of a value, whose keys are sorted.
    serde_json::to_string_pretty(&serde_json::to_value(object).unwrap()).unwrap() + "\n"
}

#[test]
fn stored_documents_are_read_and_written_unchanged() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/stored");
    let mut count = 0;
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let (name, text) = (path.file_name().unwrap().to_string_lossy(), std::fs::read_to_string(&path).unwrap());
        let again = match name.split('-').next() {
            Some("record") => written_again::<ResetRecord>(&text),
            Some("passwordreset") => written_again::<PasswordReset>(&text),
            Some("ecsaccount") => written_again::<ECSAccount>(&text),
            _ => panic!("{name}: of what kind is it?"),
        };
        assert_eq!(text, again, "{name}");
        count += 1;
    }
    assert!(count >= 28, "there are {count}");
}
