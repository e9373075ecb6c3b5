//! A Kubernetes controller that resets the logon passwords of Alibaba Cloud ECS instances.

pub mod api;
pub mod clock;
pub mod decide;
pub mod ecs;
pub mod leader;

pub mod admin;
pub mod cli;
pub mod metrics;
pub mod telemetry;
