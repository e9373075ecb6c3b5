//! One request on its way: out, carried out, and back; and what the plan does to it there.

use bytes::Bytes;
use ecs_simulator::api_server::Answer;
use ecs_simulator::{Fault as EcsFault, Handling, Reply as EcsReply, Rule};
use http::{Method, Request, Response};
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::process::ProcessId;
use super::{Happening, State};
use crate::judge::Shown;
use crate::plan::{Class, Fault, Ms, Stage};

/// A request of the controller.
pub enum Call {
    /// To the API server.
    Kube(Request<Bytes>),
    /// To ECS or STS.
    Ecs(Request<Bytes>),
}

/// What comes of it.
pub enum Reply {
    /// An answer.
    Answer(Response<Bytes>),
    /// A watch was begun; the number of its stream.
    Watch(u64),
    /// The connection broke.
    Broken,
    /// Nothing was sent.
    NotSent,
}

/// A request that was sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    pub at: Ms,
    pub key: String,
    pub class: Class,
}

/// A request under way.
pub struct Travel {
    pub process: ProcessId,
    pub(super) call: Call,
    pub(super) class: Class,
    key: String,
    crash: Option<Stage>,
    fault: Option<Fault>,
    /// When it was sent, and the newest version of the API server's objects then.
    pub sent: Ms,
    pub version: u64,
    reply: Option<Reply>,
    /// The instances that the reply shows.
    shows: Option<Shown>,
    waiting: Option<oneshot::Sender<Reply>>,
}

impl Travel {
    /// Whether it asks ECS to go on after a page.
    pub fn asks_for_a_further_page(&self) -> bool {
        let Call::Ecs(request) = &self.call else { return false };
        parameter(&String::from_utf8_lossy(request.body()), "NextToken").is_some()
    }
}

/// A copy of a changing call that has not reached ECS yet, and will.
pub struct UnderWay {
    pub instance_id: String,
    pub timestamp: Timestamp,
}

impl State {
    /// A process sends a request. `None`: it is dead, and nothing comes of it, ever.
    pub(super) fn send(&mut self, process: ProcessId, call: Call) -> Option<oneshot::Receiver<Reply>> {
        if !self.is_alive(process) {
            return None;
        }
        let (class, name) = describe(&call);
        let nth = self.asked.entry(name.clone()).or_default();
        *nth += 1;
        let key = format!("{name} #{nth}");
        let crash = self.plan.crash(self.now, &key);
        let fault = self.plan.fault(self.now, process.0, class, &key);
        let is_read = matches!(class, Class::Get | Class::List | Class::Watch | Class::Read);
        if !is_read || crash.is_some() || fault.is_some() {
            let trouble =
                [crash.map(|stage| format!(", crash: {stage:?}")), fault.map(|fault| format!(", fault: {fault:?}"))];
            let trouble: String = trouble.into_iter().flatten().collect();
            self.story.note(self.now, || format!("{process} sends {key}{trouble}"));
        }
        self.requests.push(Asked { at: self.now, class, key: key.clone() });
        if crash == Some(Stage::Before) {
            self.crash(process);
            return None;
        }
        if let Some(Fault::Pause(by)) = fault {
            self.pause(process, by);
        }
        let dice = self.plan.dice();
        let (sent, version) = (self.now, self.api.version());
        let (waiting, receiver) = oneshot::channel();
        let waiting = Some(waiting);
        let mut travel =
            Travel { process, call, class, key, crash, fault, sent, version, reply: None, shows: None, waiting };
        self.count += 1;
        let id = self.count;
        let there = self.paused_for(process) + travel_time(class, dice.sub("there").draw(&travel.key));
        let slow = if let Some(Fault::Slow(by)) = fault { by / 2 } else { 0 };
        match fault {
            Some(Fault::NotSent) => self.reply(id, &mut travel, Reply::NotSent, 1),
            Some(Fault::LoseRequest) => self.reply(id, &mut travel, Reply::Broken, there),
            Some(Fault::Late(by)) => {
                self.reply(id, &mut travel, Reply::Broken, there);
                self.schedule(self.now + there + by, &travel.key, Happening::Arrive(id));
            }
            _ => self.schedule(self.now + there + slow, &travel.key, Happening::Arrive(id)),
        }
        self.travels.insert(id, travel);
        if crash == Some(Stage::Sent) {
            self.crash(process);
            return None;
        }
        Some(receiver)
    }

    fn reply(&mut self, id: u64, travel: &mut Travel, reply: Reply, after: Ms) {
        travel.reply = Some(reply);
        self.schedule(self.now + after, &travel.key, Happening::Answer(id));
    }

    /// It reaches the server, which carries it out.
    pub(super) fn arrive(&mut self, id: u64) {
        let Some(mut travel) = self.travels.remove(&id) else { return };
        let (reply, shows) = match &travel.call {
            Call::Kube(request) => (self.serve(request, &travel), None),
            Call::Ecs(request) => self.ask_ecs(request, &travel),
        };
        travel.shows = shows;
        self.look(Some(&travel));
        match travel.fault {
            // The sender knew of no answer long ago.
            Some(Fault::Late(_)) => return,
            Some(Fault::LoseAnswer) => travel.reply = Some(Reply::Broken),
            _ => travel.reply = Some(reply),
        }
        let slow = if let Some(Fault::Slow(by)) = travel.fault { by / 2 } else { 0 };
        let back = travel_time(travel.class, self.plan.dice().sub("back").draw(&travel.key));
        self.schedule(self.now + back + slow, &travel.key, Happening::Answer(id));
        self.travels.insert(id, travel);
    }

    /// Its answer reaches the process, if that still lives and waits.
    pub(super) fn answer(&mut self, id: u64) {
        let Some(travel) = self.travels.get_mut(&id) else { return };
        let (process, key) = (travel.process, travel.key.clone());
        let paused = self.paused_for(process);
        if paused > 0 {
            return self.schedule(self.now + paused, &key, Happening::Answer(id));
        }
        let Some(travel) = self.travels.get_mut(&id) else { return };
        let (reply, waiting) = (travel.reply.take(), travel.waiting.take());
        let (crash, shows) = (travel.crash, travel.shows.take());
        let asked = (travel.sent, travel.version);
        let is_answer = matches!(reply, Some(Reply::Answer(_)));
        // A late one has still to arrive.
        if !matches!(travel.fault, Some(Fault::Late(_))) {
            self.travels.remove(&id);
        }
        if !self.is_alive(process) {
            return;
        }
        if crash == Some(Stage::Answered) {
            self.crash(process);
            return;
        }
        if let (Some(reply), Some(waiting)) = (reply, waiting) {
            // Whoever gave up waiting wants it no more.
            let is_read = waiting.send(reply).is_ok();
            if let Some(shows) = shows.filter(|_| is_read && is_answer) {
                self.judge.reading(process, asked, self.now, shows);
            }
        }
    }

    /// The changing calls that have left and not arrived. A call that is lost on the way never does.
    pub(super) fn under_way(&self) -> Vec<UnderWay> {
        let arriving = self.agenda.values().filter_map(|it| match it {
            Happening::Arrive(id) => self.travels.get(id),
            _ => None,
        });
        let changing = arriving.filter(|travel| travel.class == Class::Change);
        changing
            .filter_map(|travel| if let Call::Ecs(request) = &travel.call { Some(request) } else { None })
            .map(under_way)
            .collect()
    }

    fn serve(&mut self, request: &Request<Bytes>, travel: &Travel) -> Reply {
        let refusal = |code: u16, reason: &str| {
            let status = serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "code": code,
                "message": "a fault of the simulation",
            });
            Reply::Answer(Response::builder().status(code).body(Bytes::from(status.to_string())).unwrap())
        };
        let answer = match travel.fault {
            Some(Fault::Conflict) => return refusal(409, "Conflict"),
            Some(Fault::Unavailable) => return refusal(503, "ServiceUnavailable"),
            Some(Fault::GatewayTimeout) => {
                self.api.handle(self.wall(), request);
                return refusal(504, "Timeout");
            }
            Some(Fault::Past(back)) => {
                let version = self.api.version().saturating_sub(back).max(self.judge.first_version());
                self.api.handle_in_the_past(self.wall(), request, version)
            }
            _ => self.api.handle(self.wall(), request),
        };
        match answer {
            Answer::Whole(response) => Reply::Answer(response),
            Answer::Watch(watch) => {
                Reply::Watch(self.open_stream(travel.process, &travel.key, self.plan.lag(travel.process.0), watch))
            }
        }
    }

    fn ask_ecs(&mut self, request: &Request<Bytes>, travel: &Travel) -> (Reply, Option<Shown>) {
        let fault = match travel.fault {
            Some(Fault::Refuse(code, http)) => {
                Some(EcsFault::Refuse { code: code.to_owned(), http, message: String::new() })
            }
            Some(Fault::Stale(by)) => {
                Some(EcsFault::StaleDescribe { seconds: std::time::Duration::from_millis(by).as_secs_f64() })
            }
            Some(Fault::Empty) => Some(EcsFault::EmptyDescribe),
            _ => None,
        };
        if let Some(fault) = fault {
            self.ecs.inject(Rule::once("*", fault));
        }
        let handling = self.ecs.handle(self.wall(), request);
        let answer = match handling {
            Handling::Now(EcsReply::Answer(response)) => Some(response),
            Handling::Now(EcsReply::CloseConnection) | Handling::Later { .. } => None,
        };
        let shows = self.judge.call(&self.ecs, travel, answer.as_ref());
        (answer.map_or(Reply::Broken, Reply::Answer), shows)
    }
}

/// Half of what a request usually takes.
fn travel_time(class: Class, chance: u64) -> Ms {
    match class {
        Class::Get | Class::List | Class::Watch | Class::Write => 1 + chance % 8,
        Class::Read | Class::Change => 10 + chance % 50,
    }
}

fn describe(call: &Call) -> (Class, String) {
    match call {
        Call::Kube(request) => {
            let path = request.uri().path();
            let (_, object) = path.rsplit_once("v1/").or(path.rsplit_once("v1alpha1/")).unwrap_or(("", path));
            let object = object.strip_prefix("namespaces/").unwrap_or(object);
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            let is_list = request.uri().query().is_some_and(|query| query.contains("limit="));
            let (class, verb) = match *request.method() {
                Method::GET if is_watch => (Class::Watch, "WATCH"),
                Method::GET if is_list => (Class::List, "LIST"),
                Method::GET => (Class::Get, "GET"),
                Method::POST => (Class::Write, "POST"),
                Method::PUT => (Class::Write, "PUT"),
                Method::PATCH => (Class::Write, "PATCH"),
                _ => (Class::Write, "DELETE"),
            };
            (class, format!("{verb} {object}"))
        }
        Call::Ecs(request) => {
            let body = String::from_utf8_lossy(request.body());
            let action = parameter(&body, "Action").unwrap_or("?");
            let class = match action {
                "ModifyInstanceAttribute" | "RebootInstance" => Class::Change,
                _ => Class::Read,
            };
            let instance = parameter(&body, "InstanceId").map(|id| format!(" {id}")).unwrap_or_default();
            (class, format!("{action}{instance}"))
        }
    }
}

fn under_way(request: &Request<Bytes>) -> UnderWay {
    let body = String::from_utf8_lossy(request.body());
    let instance_id = parameter(&body, "InstanceId").unwrap_or_default().to_owned();
    let timestamp = parameter(&body, "Timestamp").unwrap_or_default().replace("%3A", ":");
    UnderWay { instance_id, timestamp: timestamp.parse().unwrap() }
}

/// A parameter that needs no decoding.
fn parameter<'a>(form: &'a str, name: &str) -> Option<&'a str> {
    form.split('&').filter_map(|pair| pair.split_once('=')).find(|(it, _)| *it == name).map(|(_, value)| value)
}
