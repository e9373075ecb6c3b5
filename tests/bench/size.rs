//! B10: how large the program is that ships, or, where that was not built, the one that is measured.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Options;
use crate::report::Report;

/// What `scripts/build-static` writes.
const SHIPS: &str = "target/static/x86_64-unknown-linux-gnu/dist/ecs-password-reset";

/// B10.
pub fn of_the_binary(_: &Options) -> Vec<Report> {
    let ships = Path::new(env!("CARGO_MANIFEST_DIR")).join(SHIPS);
    let (name, file) = if ships.exists() {
        ("B10", ships)
    } else {
        eprintln!("bench: {SHIPS} was not built (scripts/build-static): the size is that of what is measured");
        ("B10-release", PathBuf::from(std::env::var_os("CONTROLLER").unwrap()))
    };
    let bytes = std::fs::read(&file).unwrap();
    let mut report = Report::new(name, 1);
    report.count("size", bytes.len() as f64 / 1e6, "MB");
    if name == "B10" {
        report.goal(12.0);
    }
    report.count("gzip -9", compressed(&bytes) as f64 / 1e6, "MB");
    vec![report]
}

fn compressed(bytes: &[u8]) -> usize {
    let mut gzip = Command::new("gzip").arg("-9").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = gzip.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes).unwrap());
    let output = gzip.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout.len()
}
