//! A third party's transport passes the suite: as it stands, with one slot, and as a registry finds
//! it by URL.

use anyipc_conformance::Fixture;
use anyipc_third_party::Mailbox;

fn fixture(slots: &'static str) -> Fixture<'static> {
    let fixture = Fixture::new(Mailbox).option("slots", slots);
    #[cfg(unix)]
    let fixture = fixture.sleeper(poll);
    fixture
}

/// Sleeps on the source alone, so that a wake-up that does not reach it is noticed.
#[cfg(unix)]
fn poll(
    source: &anyipc_core::Source,
    interest: anyipc_core::Interest,
    timeout: std::time::Duration,
) -> bool {
    use anyipc_core::Interest;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let flags = match interest {
        Interest::Readable => PollFlags::IN,
        Interest::Writable => PollFlags::OUT,
    };
    let timeout =
        Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
    poll(&mut [PollFd::from_borrowed_fd(source.as_fd(), flags)], Some(&timeout))
        .is_ok_and(|ready| ready > 0)
}

anyipc_conformance::suite!(fixture("16"));

mod one_slot {
    anyipc_conformance::suite!(super::fixture("1"));
}

/// The registry finds the transport by the address; what it finds is what is checked.
mod by_url {
    #![expect(clippy::unwrap_used, reason = "these are tests")]

    use std::sync::LazyLock;

    use anyipc::{Address, Registry};
    use anyipc_conformance::Fixture;
    use anyipc_third_party::{Mailbox, SLOTS};

    fn resolved() -> Fixture<'static> {
        static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::new().with(Mailbox));
        let address: Address = "mailbox://any?slots=3".parse().unwrap();
        let (transport, options) = REGISTRY.resolve(&address).unwrap();
        assert_eq!(options.number(SLOTS), Some(3));
        Fixture::of(transport).option("slots", "3")
    }

    anyipc_conformance::suite!(resolved());
}
