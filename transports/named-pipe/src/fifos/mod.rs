//! `pipe://` over FIFOs.
//!
//! | module | contents |
//! |---|---|
//! | `transport` | the transport: create, open, inventory |
//! | `endpoint` | the handle of a name, and both sides of the handshake |
//! | `offer`, `request` | a connector's FIFOs until the owner joins; how it asks |
//! | `connection`, `halves` | the four FIFOs of a connection, and the halves over them |
//! | `room`, `pages` | the room in a sender's FIFO |
//! | `files`, `inventory` | file names, and what is in the directory |
//! | `settings` | the options of an address |
//! | `sys` | the system calls |

mod connection;
mod endpoint;
mod files;
mod halves;
mod inventory;
mod offer;
mod pages;
mod request;
mod room;
mod settings;
mod sys;
mod transport;

pub use endpoint::PipeEndpoint;
pub use halves::{PipeReceiver, PipeSender};
pub use transport::NamedPipe;
