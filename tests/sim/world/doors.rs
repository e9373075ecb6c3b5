//! The two doors of a simulated process: what kube's client and the client for ECS take for a network.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use ecs_password_reset::ecs::{SendError, Transport};
use futures::StreamExt;
use http::{Request, Response};
use kube::Client;
use kube::client::Body as KubeBody;

use super::World;
use super::process::ProcessId;
use super::travel::{Call, Reply};

/// A process's way out. Once the process is dead, nothing that goes in comes to anything.
#[derive(Clone)]
pub struct Door {
    pub world: World,
    pub process: ProcessId,
}

impl Door {
    async fn ask(&self, call: Call) -> Reply {
        let reply = self.world.state().send(self.process, call);
        self.world.0.changed.notify_one();
        match reply {
            Some(reply) => match reply.await {
                Ok(reply) => reply,
                Err(_) => pending().await,
            },
            None => pending().await,
        }
    }

    /// kube's own client, with this door for its network.
    pub fn client(&self, namespace: &str) -> Client {
        let door = self.clone();
        let service = tower::service_fn(move |request: Request<KubeBody>| {
            let door = door.clone();
            async move { door.kube(request).await }
        });
        Client::new(service, namespace)
    }

    async fn kube(&self, request: Request<KubeBody>) -> std::io::Result<Response<Body>> {
        let broken = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(Body::new(body), usize::MAX).await.map_err(|_| broken())?;
        match self.ask(Call::Kube(Request::from_parts(parts, body))).await {
            Reply::Answer(response) => Ok(response.map(Body::from)),
            Reply::Watch(stream) => {
                let lines = self.world.state().take_lines(stream).ok_or_else(broken)?;
                Ok(Response::new(Body::from_stream(lines.map(|line| Ok::<_, Infallible>(Bytes::from(line))))))
            }
            Reply::Broken | Reply::NotSent => Err(broken()),
        }
    }
}

impl Transport for Door {
    async fn send(&self, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, SendError> {
        match tokio::time::timeout(timeout, self.ask(Call::Ecs(request))).await {
            Ok(Reply::Answer(response)) => Ok(response),
            Ok(Reply::NotSent) => Err(SendError::NotSent("a fault of the simulation".to_owned())),
            Ok(Reply::Broken | Reply::Watch(_)) => Err(SendError::NoAnswer("the connection broke".to_owned())),
            Err(_) => Err(SendError::NoAnswer("no answer in time".to_owned())),
        }
    }
}
