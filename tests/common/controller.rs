//! The controller's process: the binary that ships, started as its Deployment would start it. The variable `CONTROLLER` names
//! another program to start in its place: `make image-check` runs these tests against the image.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait::eventually;

/// How a controller is started.
#[derive(Default)]
pub struct Launch {
    /// With whose rights.
    pub kubeconfig: PathBuf,
    /// Where its log goes; a second start appends.
    pub log: PathBuf,
    /// Flags.
    pub flags: Vec<String>,
    /// The lock of its control plane, if that is one of a pool: nobody else has it while this process can still write there.
    pub lock: Option<File>,
}

/// A running controller; dropping it kills it.
pub struct Controller {
    process: Child,
    admin: SocketAddr,
}

impl Controller {
    /// Starts it and waits until it is ready: it can work, or another one does and it stands by.
    pub fn start(launch: &Launch) -> Self {
        let mut controller = Self::spawn(launch, &[]);
        assert!(controller.ready_or_ended(), "the controller ended: {}", tail(&launch.log, 20));
        controller
    }

    /// Starts it with these environment variables, and waits for nothing.
    pub fn spawn(launch: &Launch, environment: &[(&str, &str)]) -> Self {
        let Launch { kubeconfig, log, flags, lock } = launch;
        let admin = free_address();
        let file = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let program = std::env::var_os("CONTROLLER").unwrap_or_else(|| env!("CARGO_BIN_EXE_ecs-password-reset").into());
        let process = Command::new(program)
            .arg("controller")
            .arg(format!("--listen-address={admin}"))
            .args(flags)
            .env("KUBECONFIG", kubeconfig)
            .envs(environment.iter().copied())
            .stdin(lock.as_ref().map_or_else(Stdio::null, |lock| lock.try_clone().unwrap().into()))
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { process, admin }
    }

    /// Waits until it is ready, as [`Controller::start`] does; false: it has ended or was stopped before that.
    pub fn ready_or_ended(&mut self) -> bool {
        eventually("the controller is ready", || {
            if !self.runs() {
                return Some(false);
            }
            self.is_ready().then_some(true)
        })
    }

    /// Whether it has neither ended nor been stopped by SIGSTOP.
    pub fn runs(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none() && !self.is_stopped()
    }

    /// Whether SIGSTOP holds it.
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
    }

    /// Its end, if it has come.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().unwrap()
    }

    /// Waits until it works.
    pub fn wait_until_it_works(&self) {
        eventually("the controller works", || self.works().then_some(()));
    }

    /// Whether it can work and does not stand by, as it says itself.
    pub fn works(&self) -> bool {
        let stands_by = "leader_election_master_status{name=\"ecs-password-reset\"} 0";
        // Asked in this order: who is ready has said before whether it stands by.
        self.is_ready() && self.get("/metrics").is_some_and(|metrics| metrics.lines().all(|line| line != stands_by))
    }

    /// Whether it says that it is ready.
    pub fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Asks it to stop, as the kubelet does, and waits for its end.
    pub fn terminate(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_end()
    }

    /// SIGSTOP: it stands still until [`Controller::resume`], as a machine may that is short of everything.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after SIGSTOP.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until it ends by itself.
    pub fn wait_for_end(mut self) -> ExitStatus {
        eventually("the controller ends", || self.ended())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What `/metrics` says.
    pub fn metrics(&self) -> String {
        eventually("the controller answers on its admin port", || self.get("/metrics"))
    }

    /// One answer of the admin port, headers and all; `None`: there is none.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        // A process that was stopped accepts and says nothing.
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // It may have ended already, which is all that is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The last `count` lines of a log.
pub fn tail(log: &Path, count: usize) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// An address for a process that is started with it. It is free until then: on a loopback address of the test's own, where nobody
/// else binds a port, and from which no connection is made.
pub fn free_address() -> SocketAddr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // Three for each process id, which has 22 bits. Two in a row differ, since the first may not be bound yet.
    let number = (std::process::id() << 2) | (COUNT.fetch_add(1, Ordering::Relaxed) % 3);
    let [_, a, b, c] = number.to_be_bytes();
    TcpListener::bind((Ipv4Addr::new(127, a, b, c), 0)).unwrap().local_addr().unwrap()
}
