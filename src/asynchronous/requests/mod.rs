//! Requests for tasks. `client` waits for answers, `lead` receives for all calls of a client,
//! `service` and `server` answer, `tower` fits both to `tower`.

mod client;
mod lead;
mod server;
mod service;
#[cfg(feature = "tower")]
mod tower;

pub use server::{AsyncOutgoing, AsyncServer, serve_async, serve_stream_async};
pub use service::Service;
#[cfg(feature = "tower")]
pub use tower::TowerService;
