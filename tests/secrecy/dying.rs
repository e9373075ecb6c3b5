//! What a process says and leaves behind that dies with a password in hand: the words of its panic, and its core file. Each is
//! done once with the controller's care and once without, where the canary must be found.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ecs_password_reset::{settings, telemetry};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::places::not_searched;
use crate::scanner::{Canary, leaks};

const CANARY: &str = "cAn4ry-of-the-dying/&9=";
/// How the process below is to die.
const HOW: &str = "SECRECY_DIES_BY";

#[test]
#[ignore = "no test: the process that the tests below start"]
fn dies() {
    let Ok(how) = std::env::var(HOW) else { return };
    let mut canary = String::new();
    std::io::stdin().read_to_string(&mut canary).unwrap();
    allow_core_files();
    if how.starts_with("careful") {
        telemetry::init(&settings::parse(["ecs-password-reset", "controller", "--log-filter=trace"]).unwrap()).unwrap();
        telemetry::panic_hook();
        telemetry::harden_process().unwrap();
    }
    assert!(!how.ends_with("panic"), "could not use {canary}");
    std::hint::black_box(&canary);
    std::process::abort();
}

/// As far as this machine lets a process.
pub fn allow_core_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: maximum, maximum }).unwrap();
}

/// What it has said and whether it left a core file, and where it lived.
struct Death {
    words: String,
    core_dumped: bool,
    dir: PathBuf,
}

fn die(how: &str) -> Death {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dies-by-{how}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "dying::dies", "--nocapture"])
        .env(HOW, how)
        .current_dir(&dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(CANARY.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(!output.status.success(), "{how}: it lives");
    let words = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Death { words, core_dumped: output.status.core_dumped(), dir }
}

impl Death {
    /// The bytes of every file that it left behind.
    fn remains(&self) -> Vec<u8> {
        let files = std::fs::read_dir(&self.dir).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files.collect::<Vec<_>>().concat()
    }
}

impl Drop for Death {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn panic_words_name_the_place_and_no_values() {
    let canaries = [Canary::new("the password", CANARY)];
    let careless = die("careless-panic");
    assert!(leaks(&canaries, &careless.words).contains("the password, raw"), "a panic without the hook quotes it");
    let careful = die("careful-panic");
    assert!(leaks(&canaries, &careful.words).is_empty());
    assert!(careful.words.contains("panicked; the message is withheld") && careful.words.contains("dying.rs:"));
}

#[test]
fn a_process_that_crashes_leaves_no_core_file() {
    let canaries = [Canary::new("the password", CANARY)];
    let careless = die("careless-abort");
    if careless.core_dumped {
        // Where a program takes the core files, they are not in this directory.
        let remains = careless.remains();
        assert!(remains.is_empty() || leaks(&canaries, &remains).contains("the password, raw"), "it is in a core file");
    } else {
        not_searched("the core file", "this machine writes none, so that the careful one leaves none shows nothing");
    }
    let careful = die("careful-abort");
    assert!(!careful.core_dumped && careful.remains().is_empty());
}
