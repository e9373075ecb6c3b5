//! Signature version 1.0 of Alibaba Cloud's RPC APIs (HMAC-SHA1). Pure: the time and the nonce are handed in.
//!
//! Everything that is signed may hold a password. Strings are therefore made once, large enough never to be moved
//! while they grow, and wiped when they are dropped.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use zeroize::Zeroizing;

/// What a call is signed with. No `Debug`: it holds secrets.
#[derive(Clone)]
pub struct Keys {
    /// Names the key; not a secret.
    pub access_key_id: String,
    /// Signs; never leaves the process.
    pub access_key_secret: SecretString,
    /// Travels with the call when the credentials are temporary ones.
    pub security_token: Option<SecretString>,
}

/// What makes one request unlike any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The request's time on ECS's clock; fractions of a second are not sent. ECS refuses the request once this is too
    /// old (the documents say 15 and 31 minutes).
    pub timestamp: Timestamp,
    /// Must be new for every single send: ECS refuses one that it has seen (`SignatureNonceUsed`).
    pub nonce: String,
}

impl Stamp {
    /// The timestamp in the form that the API asks for: UTC, without fractions.
    pub(super) fn timestamp(&self) -> String {
        self.timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

/// Room for `&Signature=` and a percent-encoded HMAC-SHA1.
const SIGNATURE_ROOM: usize = 128;

/// The parameters in canonical form: sorted by name, percent-encoded, joined. It is also the form body, but for the
/// signature.
pub fn canonical_form(mut parameters: Vec<(&str, &str)>) -> Zeroizing<String> {
    parameters.sort_unstable();
    let room: usize = parameters.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut form = Zeroizing::new(String::with_capacity(room + SIGNATURE_ROOM));
    for (name, value) in parameters {
        if !form.is_empty() {
            form.push('&');
        }
        push_encoded(&mut form, name);
        form.push('=');
        push_encoded(&mut form, value);
    }
    form
}

/// What the signature is made of. The form is encoded a second time here.
pub fn string_to_sign(method: &http::Method, canonical_form: &str) -> Zeroizing<String> {
    let room = method.as_str().len() + "&%2F&".len() + 3 * canonical_form.len();
    let mut string = Zeroizing::new(String::with_capacity(room));
    string.push_str(method.as_str());
    string.push_str("&%2F&");
    push_encoded(&mut string, canonical_form);
    string
}

/// The signature itself, in Base64.
///
/// # Panics
/// Never: an HMAC takes a key of any length.
pub fn signature(access_key_secret: &SecretString, string_to_sign: &str) -> String {
    let secret = access_key_secret.expose_secret();
    let mut key = Zeroizing::new(String::with_capacity(secret.len() + 1));
    key.push_str(secret);
    key.push('&');
    // The error exists for other constructions of the same trait.
    #[allow(clippy::expect_used)]
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC refused a key");
    mac.update(string_to_sign.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The form to POST: the parameters and their signature.
pub(super) fn signed_form(parameters: Vec<(&str, &str)>, access_key_secret: &SecretString) -> Zeroizing<String> {
    let mut form = canonical_form(parameters);
    let signature = signature(access_key_secret, &string_to_sign(&http::Method::POST, &form));
    form.push_str("&Signature=");
    push_encoded(&mut form, &signature);
    form
}

/// RFC 3986, as Alibaba asks for it: a space is `%20`, `*` is `%2A`, and hex digits are upper case.
fn push_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(hex_digit(byte >> 4));
            out.push(hex_digit(byte & 0xF));
        }
    }
}

fn hex_digit(nibble: u8) -> char {
    char::from(if nibble < 10 { b'0' + nibble } else { b'A' - 10 + nibble })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_by_bytes_and_empty_values_keep_their_sign() {
        let form = canonical_form(vec![("A.2", "x"), ("A.11", ""), ("A.1", "ü *~")]);
        assert_eq!(*form, "A.1=%C3%BC%20%2A~&A.11=&A.2=x");
    }

    #[test]
    fn a_form_is_never_moved_while_it_grows() {
        let value = "%".repeat(1000);
        let unsigned = canonical_form(vec![("Password", &value)]).capacity();
        let signed = signed_form(vec![("Password", &value)], &SecretString::from("secret"));
        assert_eq!(signed.capacity(), unsigned, "a reallocation leaves an unwiped copy behind");
        let string = string_to_sign(&http::Method::POST, &signed);
        assert!(string.len() > signed.len() && string.capacity() < 3 * signed.len() + 16);
    }
}
