//! The two ways to sign a request, both written here a second time and not taken from the controller. They judge only the
//! signature; [`crate::gate`] judges everything else.

pub mod v1;
pub mod v3;

use std::fmt::Write as _;

/// RFC 3986, upper-case hex: only `A-Z a-z 0-9 - _ . ~` stay.
fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    })
}
