//! The RPC signature, `SignatureVersion` 1.0 (HMAC-SHA1), written here a second time and not taken from the controller.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::percent_encode;

/// The signed text: the method, `/`, and all parameters but `Signature`, sorted by raw name and percent-encoded twice.
pub fn string_to_sign<'a>(method: &str, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut sorted: Vec<_> = parameters.into_iter().filter(|(name, _)| *name != "Signature").collect();
    sorted.sort_unstable();
    let canonical: Vec<_> =
        sorted.into_iter().map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value))).collect();
    format!("{method}&%2F&{}", percent_encode(&canonical.join("&")))
}

/// Signs as a client would. Tests use it to speak to the simulator without the controller's code.
pub fn sign(access_key_secret: &str, string_to_sign: &str) -> String {
    keyed(access_key_secret, string_to_sign).map(|mac| BASE64.encode(mac.finalize().into_bytes())).unwrap_or_default()
}

/// Whether `signature` is the one over `string_to_sign`.
pub(crate) fn matches(access_key_secret: &str, string_to_sign: &str, signature: &str) -> bool {
    let Ok(given) = BASE64.decode(signature) else { return false };
    keyed(access_key_secret, string_to_sign).is_some_and(|mac| mac.verify_slice(&given).is_ok())
}

/// `None` never happens: HMAC takes keys of every length.
fn keyed(access_key_secret: &str, string_to_sign: &str) -> Option<Hmac<Sha1>> {
    let mut mac = Hmac::<Sha1>::new_from_slice(format!("{access_key_secret}&").as_bytes()).ok()?;
    mac.update(string_to_sign.as_bytes());
    Some(mac)
}
