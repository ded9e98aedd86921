//! One end of a connection over which a pattern is measured.

use crate::payload::{Coverage, Received};
use crate::{Failure, Result};

/// One end of a duplex connection that carries checked messages.
pub trait Link {
    /// Writes and sends a message of `size` bytes with this stamp.
    fn send(&mut self, size: usize, stamp: u64) -> Result<()>;

    /// Sends `count` messages, numbered from `first`, together if the link can.
    fn send_many(&mut self, size: usize, first: u64, count: u64) -> Result<()> {
        (first..first + count).try_for_each(|sequence| self.send(size, sequence))
    }

    /// Waits for a message of `size` bytes and checks that it is number `expected`
    /// ([`ANY`](crate::payload::ANY): any number).
    ///
    /// # Errors
    /// The connection failed, or the message is not the expected one.
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received>;

    /// Ends the connection: the other side receives [`Received::End`] in place of a message of
    /// `size` bytes. Dropping is enough unless a link says otherwise.
    fn finish(self, size: usize) -> Result<()>
    where
        Self: Sized,
    {
        let _ = size;
        Ok(())
    }
}

/// How both sides handle their messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handling {
    /// What senders write.
    pub written: Coverage,
    /// What receivers check.
    pub checked: Coverage,
    /// True if messages are written and read where the transport keeps them, not in buffers of
    /// the link.
    pub in_place: bool,
}

impl Handling {
    /// Every byte written, in buffers of the link.
    pub const fn checking(checked: Coverage) -> Self {
        Self { written: Coverage::Full, checked, in_place: false }
    }
}

/// Implements [`Link`] for an enum of links.
#[macro_export]
macro_rules! link_enum {
    ($type:ty: $($variant:ident)*) => {
        #[allow(unused_variables, reason = "an enum without variants uses none")]
        impl $crate::link::Link for $type {
            #[inline]
            fn send(&mut self, size: usize, stamp: u64) -> $crate::Result<()> {
                match *self { $(Self::$variant(ref mut link) => link.send(size, stamp),)* }
            }

            #[inline]
            fn send_many(&mut self, size: usize, first: u64, count: u64) -> $crate::Result<()> {
                match *self {
                    $(Self::$variant(ref mut link) => link.send_many(size, first, count),)*
                }
            }

            #[inline]
            fn receive(
                &mut self,
                size: usize,
                expected: u64,
            ) -> $crate::Result<$crate::payload::Received> {
                match *self { $(Self::$variant(ref mut link) => link.receive(size, expected),)* }
            }

            fn finish(self, size: usize) -> $crate::Result<()> {
                match self { $(Self::$variant(link) => link.finish(size),)* }
            }
        }
    };
}

/// The failure of a side after its partner left during a phase.
pub fn left_early() -> Failure {
    "the other side left in the middle of a measurement".into()
}
