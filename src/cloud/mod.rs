//! The Alibaba Cloud side: accounts as last checked, calls on their behalf, and readings of instances. It knows nothing of the API
//! server.

pub mod accounts;
pub mod calls;
pub mod readings;
pub mod selection;
