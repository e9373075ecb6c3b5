//! Finds canaries in whatever form they have on their way. What it may not do: print one; it names them.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// What must not be found. No `Debug`: a failed assertion would print it.
#[derive(Clone)]
pub struct Canary {
    /// The name under which it is reported.
    pub what: String,
    bytes: Vec<u8>,
}

impl Canary {
    pub fn new(what: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { what: what.into(), bytes: bytes.into() }
    }

    /// All forms of it, one after the other.
    pub fn planted(&self) -> Vec<u8> {
        forms(&self.bytes).into_iter().flat_map(|(_, form)| [form, b"\n".to_vec()].concat()).collect()
    }

    /// Whether it is one of those that were found, in whatever form.
    pub fn is_among(&self, leaks: &BTreeSet<String>) -> bool {
        leaks.iter().any(|leak| leak.strip_prefix(&self.what).is_some_and(|form| form.starts_with(", ")))
    }
}

/// A search for canaries in all their forms at once.
pub struct Scanner {
    automaton: AhoCorasick,
    /// By pattern.
    names: Vec<String>,
}

impl Scanner {
    pub fn of(canaries: &[Canary]) -> Self {
        let patterns_of = |canary: &Canary| {
            let what = canary.what.clone();
            forms(&canary.bytes).into_iter().map(move |(form, bytes)| (format!("{what}, {form}"), bytes))
        };
        let (names, patterns): (Vec<_>, Vec<_>) = canaries.iter().flat_map(patterns_of).unzip();
        Self { automaton: AhoCorasick::new(patterns).unwrap(), names }
    }

    /// Which canaries a text holds, and in which form.
    pub fn leaks(&self, text: impl AsRef<[u8]>) -> BTreeSet<&str> {
        let found = self.automaton.find_overlapping_iter(text.as_ref());
        found.map(|it| self.names[it.pattern().as_usize()].as_str()).collect()
    }

    /// Everything that it can find.
    pub fn names(&self) -> BTreeSet<&str> {
        self.names.iter().map(String::as_str).collect()
    }
}

/// Which canaries a text holds, and in which form.
pub fn leaks(canaries: &[Canary], text: impl AsRef<[u8]>) -> BTreeSet<String> {
    Scanner::of(canaries).leaks(text).into_iter().map(str::to_owned).collect()
}

/// Bytes as they look where they are quoted, sent, signed or stored: as text as far as they are text.
fn forms(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let text = &*String::from_utf8_lossy(bytes);
    let json = serde_json::to_string(text).unwrap().trim_matches('"').to_owned();
    // kubectl escapes what HTML would mind.
    let kubectl = json.replace('&', r"\u0026").replace('<', r"\u003c").replace('>', r"\u003e");
    let list = format!("{bytes:?}");
    let hex = format!("{bytes:02x?}").replace(['[', ']', ',', ' '], "");
    let mut forms = vec![
        ("raw in JSON", json),
        ("raw in JSON of kubectl", kubectl),
        ("a list of bytes", list.trim_matches(['[', ']']).to_owned()),
        ("hexadecimal", hex.to_uppercase()),
        ("hexadecimal", hex),
        ("as Rust prints it", format!("{text:?}").trim_matches('"').to_owned()),
        ("reversed", text.chars().rev().collect()),
    ];
    for hex in [|byte| format!("%{byte:02X}"), |byte| format!("%{byte:02x}")] {
        let once = percent_encoded(bytes, hex);
        forms.push(("percent-encoded twice", percent_encoded(once.as_bytes(), hex)));
        forms.push(("percent-encoded", once));
    }
    for base64 in (0..3).map(|offset| base64_within(bytes, offset)) {
        forms.push(("base64", base64.replace('+', "-").replace('/', "_")));
        forms.push(("base64", base64));
    }
    forms.extend(xml(text).into_iter().map(|form| ("in XML", form)));
    let written = forms.into_iter().map(|(form, text)| (form, text.into_bytes()));
    [("raw", bytes.to_vec())].into_iter().chain(written).collect()
}

/// As those write it who write XML or HTML: some escape what they must and some whatever is not a letter, by name or by number.
fn xml(text: &str) -> Vec<String> {
    let name = |each| match each {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        _ => "&apos;",
    };
    let escaped = |by_name: &str, by_number: fn(char) -> bool, number: fn(u32) -> String| {
        let escape = |each| match each {
            _ if by_name.contains(each) => name(each).to_owned(),
            _ if by_number(each) => number(each.into()),
            _ => each.to_string(),
        };
        text.chars().map(escape).collect::<String>()
    };
    let decimal: fn(u32) -> String = |each| format!("&#{each};");
    let mut forms: Vec<_> =
        ["&<", "&<>", "&<>\"", "&<>\"'"].into_iter().map(|names| escaped(names, |_| false, decimal)).collect();
    for number in [decimal, |each| format!("&#x{each:x};"), |each| format!("&#x{each:X};")] {
        forms.push(escaped("&<>", |each| "\"'".contains(each), number));
        forms.push(escaped("", |each| "&<>\"'".contains(each), number));
        forms.push(escaped("", |each| !each.is_ascii_alphanumeric(), number));
    }
    forms
}

fn percent_encoded(bytes: &[u8], hex: fn(u8) -> String) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    bytes.iter().map(|&byte| if plain(byte) { char::from(byte).to_string() } else { hex(byte) }).collect()
}

/// The characters that stand for nothing but `bytes` in the base64 of longer ones in which they begin at a byte whose
/// number leaves `offset` when divided by three.
fn base64_within(bytes: &[u8], offset: usize) -> String {
    let longer = [&vec![0; offset], bytes].concat();
    STANDARD_NO_PAD.encode(&longer)[(offset * 8).div_ceil(6)..longer.len() * 8 / 6].to_owned()
}

#[test]
fn the_scanner_finds_every_form_planted_in_a_log() {
    let canaries = [Canary::new("the password", "aB3<&%/x"), Canary::new("another", "Pw0??>>~")];
    let log = r#"{"level":"debug","ts":"2026-01-02T03:04:05.678Z","msg":"a pass began","name":"web"}"#;
    assert!(leaks(&canaries, log).is_empty());
    // Written down by hand, or by another program's encoder: what this file encodes proves nothing about itself.
    for (planted, form) in [
        ("aB3<&%/x", "the password, raw"),
        (r"aB3\u003c\u0026%/x", "the password, raw in JSON of kubectl"),
        ("97, 66, 51, 60, 38, 37, 47, 120", "the password, a list of bytes"),
        ("6142333c26252f78", "the password, hexadecimal"),
        ("6142333C26252F78", "the password, hexadecimal"),
        ("x/%&<3Ba", "the password, reversed"),
        ("aB3%3C%26%25%2Fx", "the password, percent-encoded"),
        ("aB3%3c%26%25%2fx", "the password, percent-encoded"),
        ("aB3%253C%2526%2525%252Fx", "the password, percent-encoded twice"),
        ("aB3%253c%2526%2525%252fx", "the password, percent-encoded twice"),
        ("YUIzPCYlL3g=", "the password, base64"),
        ("YUIzPCYlL3gh", "the password, base64"),
        ("a2FCMzwmJS94IQ==", "the password, base64"),
        ("azphQjM8JiUveCE=", "the password, base64"),
        ("UHcwPz8-Pn4", "another, base64"),
        ("aB3&lt;&amp;%/x", "the password, in XML"),
        ("aB3&#60;&#38;%/x", "the password, in XML"),
        ("aB3&#x3c;&#x26;%/x", "the password, in XML"),
        ("aB3&#x3C;&#x26;%/x", "the password, in XML"),
        ("aB3&#x3c;&#x26;&#x25;&#x2f;x", "the password, in XML"),
        ("Pw0??&gt;&gt;~", "another, in XML"),
    ] {
        let leaky = log.replace("a pass began", &format!("a pass began {planted}."));
        assert!(leaks(&canaries, &leaky).contains(form), "{form}");
    }
    let quoted = [Canary::new("the password", "aB3\"\\x")];
    assert!(leaks(&quoted, r#"{"msg":"aB3\"\\x"}"#).contains("the password, raw in JSON"));
    for form in ["aB3\"\\x", "aB3&quot;\\x", "aB3&#34;\\x", "aB3&#x22;\\x", "aB3&#34;&#92;x"] {
        assert!(leaks(&quoted, format!("<Message>{form}</Message>")).contains("the password, in XML"), "{form}");
    }
    let apostrophe = [Canary::new("the password", "aB3<'x")];
    for form in ["aB3&lt;'x", "aB3&lt;&apos;x", "aB3&lt;&#39;x", "aB3&lt;&#x27;x", "aB3&#60;&#39;x"] {
        assert!(leaks(&apostrophe, form).contains("the password, in XML"), "{form}");
    }
    // Bytes that are not text are found as they are, and in the forms that bytes have.
    let key = [Canary::new("the key", [0, 200, 255, 7])];
    assert!(leaks(&key, [1, 0, 200, 255, 7, 1]).contains("the key, raw"));
    for (planted, form) in [
        ("0, 200, 255, 7", "the key, a list of bytes"),
        ("00c8ff07", "the key, hexadecimal"),
        ("AMj/Bw==", "the key, base64"),
    ] {
        assert!(leaks(&key, planted).contains(form), "{form}");
    }
    let debugged = [Canary::new("the password", "aB3\"'x")];
    assert!(leaks(&debugged, r#"SecretString("aB3\"'x")"#).contains("the password, as Rust prints it"));
}
