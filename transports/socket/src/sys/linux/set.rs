use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::Source;
use anyipc_os::Fd;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

/// Streams and a clock that are waited for together: readable when one of them is.
#[derive(Debug)]
pub(crate) struct Set {
    epoll: Fd,
    clock: Fd,
}

impl Set {
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        let epoll = Fd::make(|| Ok(epoll::create(epoll::CreateFlags::CLOEXEC)?))?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let clock = Fd::make(|| Ok(timerfd_create(TimerfdClockId::Monotonic, flags)?))?;
        let set = Self { epoll, clock };
        set.watch(&set.clock)?;
        Ok(Arc::new(set))
    }

    /// From now on the set is readable while this is. Closing it ends that.
    pub(crate) fn watch(&self, what: &impl AsFd) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, what, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?)
    }

    /// From now on the set is readable while this, which it watches, has room.
    pub(crate) fn watch_room(&self, what: &impl AsFd) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, what, epoll::EventData::new_u64(0), epoll::EventFlags::OUT)?)
    }

    /// Sleeps until the set is readable, for this time at most. May return early.
    pub(crate) fn wait(&self, time: Option<Duration>) {
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        let _ = poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], time.as_ref());
    }

    /// Ends it for something that stays open.
    pub(crate) fn forget(&self, what: &impl AsFd) {
        let _ = epoll::delete(&self.epoll, what);
    }

    /// Makes the set readable after this time, or never by the clock.
    pub(crate) fn ring_after(&self, time: Option<Duration>) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Zero would be never.
        let at = time.map_or(zero, |time| Timespec {
            tv_sec: time.as_secs() as i64,
            tv_nsec: i64::from(time.subsec_nanos()).max(1),
        });
        let when = Itimerspec { it_interval: zero, it_value: at };
        timerfd_settime(&self.clock, TimerfdTimerFlags::empty(), &when)?;
        Ok(())
    }

    /// What a reactor registers.
    pub(crate) fn source(self: &Arc<Self>) -> Source {
        Arc::clone(self) as Source
    }
}

impl AsFd for Set {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
