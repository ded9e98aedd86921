//! One module per command, each with its `Args` and its `run`.

pub(crate) mod block;
pub(crate) mod call;
pub(crate) mod connect;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod generate;
pub(crate) mod inspect;
pub(crate) mod lpsz;
pub(crate) mod ls;
pub(crate) mod queue;
pub(crate) mod recv;
pub(crate) mod rm;
pub(crate) mod send;
pub(crate) mod serve;
