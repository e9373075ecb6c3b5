//! Control planes that outlive a test. A test takes one that nobody uses, and has it put back to its baseline: the controller installed,
//! and what its users begin with. That takes a fraction of the seconds of a core that a start takes.
//!
//! A plane has a place `N` in the pool's directory: its files are in `N/`, and whoever uses it has the lock on `N.lock`. It ends by itself
//! when nobody has taken it for a minute (`tests/control-plane/pool.go`); `scripts/end-planes` ends those that nobody uses.
//! What it may not do: hand out a plane that differs from a new one.

use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use super::http;
use super::manifests;
use super::wait::eventually;

/// A place that this process has: nobody else uses it until it is dropped.
pub struct Place {
    /// The files of its plane.
    pub dir: PathBuf,
    /// A process that is handed this file has the place too, for as long as it lives.
    pub lock: File,
}

impl Place {
    /// One whose plane runs and is at its baseline, if there is one that nobody uses; else one without a plane.
    pub fn take() -> (Self, bool) {
        let pool = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planes");
        std::fs::create_dir_all(&pool).unwrap();
        let is_there = |number: &u32| pool.join(format!("{number}.lock")).exists();
        for number in (0..).take_while(is_there) {
            let wanted =
                std::fs::read_to_string(pool.join(format!("{number}/baseline"))).is_ok_and(|it| it == baseline());
            if wanted && let Some(place) = Self::lock(&pool, number) {
                if place.reset().is_some() {
                    return (place, true);
                }
                place.clear();
                return (place, false);
            }
        }
        let place = (0..).find_map(|number| Self::lock(&pool, number)).unwrap();
        place.clear();
        (place, false)
    }

    fn lock(pool: &Path, number: u32) -> Option<Self> {
        let path = pool.join(format!("{number}.lock"));
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap();
        match lock.try_lock() {
            Ok(()) => Some(Self { dir: pool.join(number.to_string()), lock }),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(error)) => panic!("the lock of a control plane: {error}"),
        }
    }

    /// The file whose lock its plane waits for.
    pub fn lock_file(&self) -> PathBuf {
        self.dir.with_extension("lock")
    }

    /// Makes the present state of its plane the baseline.
    pub fn keep(&self) {
        let (status, answer) = self.ask("POST", "/keep").unwrap();
        assert_eq!(status, 200, "{answer}");
        std::fs::write(self.dir.join("baseline"), baseline()).unwrap();
    }

    /// Puts its plane back to the baseline, and says how. `None`: it does not answer, or could not.
    pub fn reset(&self) -> Option<String> {
        let (answer, is_reset) = match self.ask("POST", "/reset") {
            Ok((status, answer)) => (answer, status == 200),
            Err(error) => (error.to_string(), false),
        };
        println!("control plane {}: {}", self.dir.display(), answer.trim_end());
        is_reset.then_some(answer)
    }

    /// What differs from the baseline, by etcd's keys.
    pub fn differences(&self) -> Vec<String> {
        let (status, answer) = self.ask("GET", "/differences").unwrap();
        assert_eq!(status, 200, "{answer}");
        answer.lines().map(str::to_owned).collect()
    }

    fn ask(&self, method: &str, path: &str) -> std::io::Result<(u16, String)> {
        http::ask(&std::fs::read_to_string(self.dir.join("pool-url"))?, method, path, "")
    }

    /// Ends its plane, if there is one, and removes the files.
    pub fn clear(&self) {
        let pid = std::fs::read_to_string(self.dir.join("pid")).ok().and_then(|pid| pid.parse().ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let command = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
            // The number may be another process's by now.
            let is_it = || std::fs::read_to_string(&command).is_ok_and(|it| it.contains(&*self.dir.to_string_lossy()));
            if is_it() {
                let _ = kill_process(pid, Signal::KILL);
            }
            eventually("the control plane has ended", || (!is_it()).then_some(()));
        }
        eventually("the files of the control plane are removed", || {
            let _ = std::fs::remove_dir_all(&self.dir);
            (!self.dir.exists()).then_some(())
        });
    }
}

/// What a plane was made from: its program, and everything that was applied to it.
fn baseline() -> String {
    let mut hasher = DefaultHasher::new();
    (std::env::var_os("CONTROL_PLANE"), std::env::var_os("KUBEBUILDER_ASSETS")).hash(&mut hasher);
    for dir in ["deploy/base", "crds"] {
        let mut files: Vec<_> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)).unwrap().collect();
        files.sort_by_key(|file| file.as_ref().unwrap().path());
        for file in files {
            std::fs::read(file.unwrap().path()).unwrap().hash(&mut hasher);
        }
    }
    for object in manifests::furniture() {
        object.to_string().hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}
