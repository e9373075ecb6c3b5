//! The lines of watches on their way to the processes, in order unless the plan says otherwise.

use ecs_simulator::api_server::{Next, Watch};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};

use super::process::ProcessId;
use super::{Happening, State};
use crate::plan::{Ms, WatchFault};

/// An open watch of a process.
pub struct Stream {
    process: ProcessId,
    name: String,
    /// How late its events are.
    lag: Ms,
    watch: Watch,
    lines: UnboundedSender<String>,
    receiver: Option<UnboundedReceiver<String>>,
    /// When the last line under way arrives: no later one does so before it.
    last: Ms,
}

/// How late an event is that lets others overtake it.
const SWAPPED: Ms = 3_000;

const GONE: &str = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old","reason":"Expired","code":410}}"#;

impl State {
    pub(super) fn open_stream(&mut self, process: ProcessId, name: &str, lag: Ms, watch: Watch) -> u64 {
        let (lines, receiver) = unbounded();
        self.count += 1;
        let id = self.count;
        let name = name.to_owned();
        let stream =
            Stream { process, name: name.clone(), lag, watch, lines, receiver: Some(receiver), last: self.now };
        self.streams.insert(id, stream);
        // A client that had no watch open when all had to list again learns it from the first one after that.
        let watched = name.rsplit_once(" #").map_or(name.as_str(), |(watched, _)| watched).to_owned();
        if self.plan.relist.is_some_and(|at| self.now > at) && self.listed_again.insert((process, watched)) {
            self.send_gone(id);
        } else {
            self.pump(id);
        }
        id
    }

    /// The end at which the process reads.
    pub(super) fn take_lines(&mut self, id: u64) -> Option<UnboundedReceiver<String>> {
        self.streams.get_mut(&id)?.receiver.take()
    }

    /// Something was written: every watch may have something to say.
    pub(super) fn pump_all(&mut self) {
        let ids: Vec<u64> = self.streams.keys().copied().collect();
        for id in ids {
            self.pump(id);
        }
    }

    /// Sends on what a watch has to say.
    pub(super) fn pump(&mut self, id: u64) {
        loop {
            let wall = self.wall();
            let Some(stream) = self.streams.get_mut(&id) else { return };
            if stream.lines.is_closed() {
                self.streams.remove(&id);
                return;
            }
            match self.api.next(&mut stream.watch, wall) {
                Next::Event { version, line } => self.send_event(id, version, line),
                Next::Bookmark(line) | Next::Error(line) => self.send_line(id, Some(line), 0),
                Next::Nothing(again) => {
                    let after = u64::try_from(again.duration_since(wall).as_millis()).unwrap();
                    let name = stream.name.clone();
                    // Each look plans the next one; only the first of those that are planned matters.
                    let is_planned =
                        self.agenda.values().any(|it| matches!(it, Happening::Look(other) if *other == id));
                    if !is_planned {
                        self.schedule(self.now + after, &name, Happening::Look(id));
                    }
                    return;
                }
                Next::End => {
                    self.send_line(id, None, 0);
                    return;
                }
            }
        }
    }

    fn send_event(&mut self, id: u64, version: u64, line: String) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let key = format!("{} at {version}", stream.name);
        let fault = self.plan.watch_fault(self.now, &key);
        if let Some(fault) = fault {
            self.story.note(self.now, || format!("event of {key}, fault: {fault:?}"));
        }
        let name = stream.name.clone();
        self.watch_events.push(key);
        match fault {
            None => self.send_line(id, Some(line), 0),
            Some(WatchFault::Drop) => {}
            Some(WatchFault::Double) => {
                self.send_line(id, Some(line.clone()), 0);
                self.send_line(id, Some(line), 0);
            }
            // Whatever else there is to say is said before it.
            Some(WatchFault::Swap) => self.schedule(self.now + SWAPPED, &name, Happening::Line(id, Some(line))),
            Some(WatchFault::Hold(by)) => self.send_line(id, Some(line), by),
            Some(WatchFault::Break) => self.send_line(id, None, 0),
            Some(WatchFault::Gone) => self.send_gone(id),
        }
    }

    fn send_gone(&mut self, id: u64) {
        self.send_line(id, Some(format!("{GONE}\n")), 0);
        self.send_line(id, None, 0);
    }

    /// Has everybody list again.
    pub(super) fn relist(&mut self) {
        let ids: Vec<u64> = self.streams.keys().copied().collect();
        for id in ids {
            self.send_gone(id);
        }
    }

    fn send_line(&mut self, id: u64, line: Option<String>, late: Ms) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let takes = 1 + self.plan.dice().sub("line").draw(&format!("{} {}", stream.name, self.api.version())) % 8;
        let at = (self.now + takes + late + stream.lag).max(stream.last + 1);
        stream.last = at;
        let name = stream.name.clone();
        self.schedule(at, &name, Happening::Line(id, line));
    }

    /// A line arrives.
    pub(super) fn deliver(&mut self, id: u64, line: Option<String>) {
        let Some(stream) = self.streams.get(&id) else { return };
        let paused = self.paused_for(stream.process);
        if paused > 0 {
            let name = stream.name.clone();
            return self.schedule(self.now + paused, &name, Happening::Line(id, line));
        }
        let alive = self.is_alive(stream.process);
        let taken = line.is_some_and(|line| stream.lines.unbounded_send(line).is_ok());
        if !alive || !taken {
            self.streams.remove(&id);
        }
    }
}
