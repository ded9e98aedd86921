use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyipc_core::{Interest, Source};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use crate::{Fd, Spare};

/// The number of all that were watched without one.
const UNNUMBERED: u64 = u64::MAX;

/// Descriptors and a clock to wait for together: readable when one of them is ready.
#[derive(Debug)]
pub struct Set {
    epoll: Fd,
    /// Made on first use.
    clock: OnceLock<Fd>,
    /// True while the clock is set.
    ticks: AtomicBool,
}

impl Set {
    /// A set of nothing but its clock, which is not running.
    pub fn new() -> io::Result<Arc<Self>> {
        let epoll = Fd::make(|| Ok(epoll::create(epoll::CreateFlags::CLOEXEC)?))?;
        Ok(Arc::new(Self { epoll, clock: OnceLock::new(), ticks: AtomicBool::new(false) }))
    }

    fn clock(&self) -> io::Result<&Fd> {
        if let Some(clock) = self.clock.get() {
            return Ok(clock);
        }
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let clock = Fd::make(|| Ok(timerfd_create(TimerfdClockId::Monotonic, flags)?))?;
        self.watch(&clock, Interest::Readable)?;
        Ok(self.clock.get_or_init(|| clock))
    }

    /// From now on the set is readable while this is ready, or closed at the other side. Closing it
    /// ends that.
    pub fn watch(&self, what: &impl AsFd, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, what, epoll::EventData::new_u64(UNNUMBERED), flags(interest))?)
    }

    /// Changes the interest of what is watched already.
    pub fn watch_for(&self, what: &impl AsFd, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            what,
            epoll::EventData::new_u64(UNNUMBERED),
            flags(interest),
        )?)
    }

    /// Stops watching what stays open.
    pub fn forget(&self, what: &impl AsFd) {
        let _ = epoll::delete(&self.epoll, what);
    }

    /// From now on the set is readable when new bytes arrive here, or the other side closes, until
    /// [`take_ready`](Self::take_ready) has reported this number.
    pub fn watch_numbered(&self, what: &impl AsFd, number: u32) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        Ok(epoll::add(&self.epoll, what, epoll::EventData::new_u64(number.into()), flags)?)
    }

    /// Reports the numbers of what became ready; what is watched without a number stays ready.
    pub fn take_ready(&self, see: &mut dyn FnMut(u32)) {
        let mut events = [const { MaybeUninit::uninit() }; 64];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Bounded: peers may send faster than this loop reads.
        for _ in 0..16 {
            match epoll::wait(&self.epoll, &mut events, Some(&now)) {
                Ok((some, _)) => {
                    some.iter()
                        .filter_map(|event| event.data.u64().try_into().ok())
                        .for_each(&mut *see);
                    if some.len() < 64 {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// A descriptor to keep free.
    pub fn spare(&self) -> io::Result<Spare> {
        Spare::like(&self.epoll)
    }

    /// Sets the clock: the set is readable from this moment on; `None` stops it. For one caller at
    /// a time, before each sleep.
    pub fn wake_at(&self, moment: Option<Instant>) -> io::Result<()> {
        if !self.ticks.swap(moment.is_some(), Ordering::Relaxed) && moment.is_none() {
            return Ok(());
        }
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let left = moment.map(|moment| moment.saturating_duration_since(Instant::now()));
        // Zero would stop the clock.
        let at = left.map_or(zero, |left| Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()).max(1),
        });
        let when = Itimerspec { it_interval: zero, it_value: at };
        timerfd_settime(self.clock()?, TimerfdTimerFlags::empty(), &when)?;
        Ok(())
    }

    /// What a reactor registers.
    pub fn source(self: &Arc<Self>) -> Source {
        Arc::clone(self) as Source
    }
}

impl AsFd for Set {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn flags(interest: Interest) -> epoll::EventFlags {
    match interest {
        Interest::Readable => epoll::EventFlags::IN,
        Interest::Writable => epoll::EventFlags::OUT,
    }
}
