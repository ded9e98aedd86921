//! The suite that every `anyipc` transport passes, the ones that ship with it and those of others.
//!
//! One line in your crate's `tests/conformance.rs` makes one `#[test]` of every check:
//!
//! ```text
//! anyipc_conformance::suite!(MyTransport);
//! ```
//!
//! The checks follow [`Capabilities`](anyipc_core::Capabilities) both ways: what the transport
//! claims must work, and what it does not claim must answer `Unsupported`. If the transport needs
//! options, or sleeps on file descriptors, pass a [`Fixture`] in its place:
//!
//! ```no_run
//! # fn show(transport: impl anyipc_core::Transport) {
//! use anyipc_conformance::{Fixture, run_all};
//! run_all(&Fixture::new(transport).option("capacity", "4KiB"));
//! # }
//! ```
//!
//! A failed check panics and says what went wrong, then prints the rule that was broken and where
//! the contract states it. No check hangs: a call that waits for more than [`WATCHDOG`] fails. No
//! two checks use the same name of an object, so they may run in parallel, also from several
//! processes.
//!
//! | type | what it is |
//! |---|---|
//! | [`suite!`], [`run_all`], [`CHECKS`] | the checks: as tests, in one call, as a list |
//! | [`Outcome`] | how a check ended that found no fault: passed, or skipped and why |
//! | [`Fixture`], [`Sleeper`] | a transport under test, its options, how to sleep on its sources |
//! | [`loopback`] | names for a transport that takes `host:port` |
//! | [`WaitLoop`] | waiting calls with a watchdog, for a transport's own tests |
//! | [`make_room`] | removes what killed runs left of a transport with a limit for each user |
//! | [`kills`], [`victim`] | scenes of processes that are killed; a process that a test kills |
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "a failed check is a panic")]

mod check;
pub mod checks;
mod fixture;
pub mod kills;
mod loopback;
mod noise;
mod room;
pub mod victim;
mod wait_loop;

pub use check::{Check, Outcome, run_all};
pub use fixture::{Fixture, Sleeper};
pub use loopback::loopback;
pub use room::make_room;
pub use wait_loop::{WATCHDOG, WaitLoop};

/// Every check of the suite, with its rule.
pub const CHECKS: &[Check] = suite!(@table);

/// Makes one `#[test]` per check, for a transport or a [`Fixture`].
///
/// The expression is evaluated once per test. After `for` it is several fixtures, and each test
/// runs its check for every one of them: `suite!(for fixtures())`.
#[macro_export]
macro_rules! suite {
    (@table) => { $crate::suite! { @list (table) } };
    (@do (table) $($module:ident $check:ident $rule:literal $read:literal)*) => {
        &[$($crate::Check {
            name: stringify!($check),
            rule: $rule,
            read: $read,
            check: $crate::checks::$module::$check,
        }),*]
    };
    (@do (for $fixtures:expr) $($module:ident $check:ident $rule:literal $read:literal)*) => {
        $(
            #[test]
            fn $check() {
                for fixture in $fixtures {
                    println!("conformance: {} of {fixture:?}", stringify!($check));
                    $crate::Check {
                        name: stringify!($check),
                        rule: $rule,
                        read: $read,
                        check: $crate::checks::$module::$check,
                    }
                    .run(&fixture);
                }
            }
        )*
    };
    (@do ($fixture:expr) $($module:ident $check:ident $rule:literal $read:literal)*) => {
        $(
            #[test]
            fn $check() {
                $crate::Check {
                    name: stringify!($check),
                    rule: $rule,
                    read: $read,
                    check: $crate::checks::$module::$check,
                }
                .run(&$crate::Fixture::from($fixture));
            }
        )*
    };
    // Each check by module and name, then the rule, then where `anyipc_core` documents it.
    (@list $to:tt) => {
        $crate::suite! { @do $to
            lifecycle describes_itself
                "schemes are lower case, and each key has a name, a help and one meaning"
                "Transport::schemes, Transport::keys"
            lifecycle create_open_close
                "create makes an owner, open an opener; the name is free after the owner's close"
                "Transport::create, Transport::open, Transport::close"
            lifecycle dropping_is_closing
                "dropping an endpoint releases it as close does"
                "Transport::close"
            lifecycle a_second_create_exists
                "create of a live name is Exists (-1), and harms nothing"
                "Transport::create"
            lifecycle open_of_nothing_fails
                "open of a name without a live object is NotFound (-3), and leaves nothing behind"
                "Transport::open"
            lifecycle the_name_is_free_after_the_close
                "after the owner's close the name is free at once, also while an opener lives"
                "Transport::close"
            lifecycle open_or_create_adopts
                "create=open_or_create makes an owner, or an opener if the name has an owner"
                "Transport::create"
            lifecycle races_have_one_winner
                "of several creators of a name exactly one becomes its owner"
                "Transport::create"
            lifecycle one_owner_at_a_time
                "a name never has two owners, and racing calls fail only with Exists or NotFound"
                "Transport::create, Transport::open"
            names every_legal_name_works
                "every legal name works, of any characters and up to 255 bytes"
                "Name"
            names similar_names_are_different
                "names that differ in any byte are different objects"
                "Name::os_name"
            connect both_sides_meet
                "an opener and the owner get the two ends of one channel, and can do so again"
                "Endpoint::try_connect"
            connect a_late_owner_accepts_connectors_that_came_in_time
                "an owner that accepts late accepts a connector that came in time"
                "Endpoint::try_connect"
            connect channels_outlive_their_endpoints
                "a channel works on after its endpoints are closed"
                "Endpoint"
            connect many_clients_share_an_owner
                "one owner has separate channels with many openers at once"
                "Endpoint::try_connect"
            connect nobody_there_would_block
                "try_connect is WouldBlock while no peer is there, and the attempt stays usable; \
                 without HANDSHAKE an opener may be connected before its owner accepts"
                "Endpoint::try_connect, Attempt"
            connect no_owner_until_one_comes
                "without an owner connecting is NoOwner (-3); it succeeds once there is another one"
                "Endpoint::try_connect"
            connect an_abandoned_attempt_harms_no_one
                "a dropped attempt leaves nothing behind that harms the next one"
                "Attempt"
            connect without_channels_it_is_unsupported
                "without Capabilities::CHANNEL connecting is Unsupported"
                "Capabilities::CHANNEL"
            handshake what_each_said_is_known
                "each side gets the other's hello as Peer::hello"
                "Peer, Hello"
            handshake untyped_matches_anything
                "a hello without codec or type names matches any other"
                "Hello::check"
            handshake without_a_handshake_types_are_unsupported
                "without Capabilities::HANDSHAKE a hello that names a type is Unsupported"
                "Capabilities::HANDSHAKE"
            handshake another_codec_is_refused
                "hellos with different codecs are a Mismatch on both sides, in the same words"
                "Hello::check, Endpoint::rejections"
            handshake another_type_is_refused
                "hellos with different type names are a Mismatch on both sides, in the same words"
                "Hello::check, Endpoint::rejections"
            handshake another_capacity_is_refused
                "different capacities are a Mismatch, in the handshake or already in open"
                "Hello::check, Transport::open"
            frames every_length_arrives_whole
                "frames of every length from 0 to max_frame arrive unchanged"
                "SendHalf::try_send_with, SendHalf::max_frame"
            frames too_long_is_refused
                "a frame over max_frame is MessageTooLarge, and fill is not called"
                "SendHalf::try_send_with"
            frames flags_are_carried
                "flags arrive with their frame, unread; without HANDSHAKE they are Unsupported"
                "Flags, Capabilities::HANDSHAKE"
            frames order_is_kept
                "frames arrive in the order in which they were sent"
                "SendHalf, RecvHalf"
            frames filling_less_sends_less
                "fill gets exactly `max` bytes, and the frame is as long as it says"
                "SendHalf::try_send_with"
            frames filling_nothing_sends_nothing
                "nothing is sent if fill returns None"
                "SendHalf::try_send_with"
            frames a_panic_sends_nothing
                "nothing is sent if fill panics, and the half works on"
                "SendHalf::try_send_with"
            frames receiving_appends
                "try_recv_into appends the frame, and leaves the buffer alone on an error"
                "RecvHalf::try_recv_into"
            frames full_would_block_and_drains
                "a channel is bounded: sending ends with WouldBlock, and goes on after receiving"
                "SendHalf::try_send_with"
            sending ok_needs_no_further_call
                "a frame that was Ok arrives without a further call of the sender"
                "SendHalf::try_send_with"
            sending what_was_refused_does_not_arrive
                "a send that failed delivers no byte; what was Ok arrives whole and in order"
                "SendHalf::try_send_with"
            sending without_room_a_wait_sleeps
                "a wait for room ends with room for the frame, or lasts: no busy loop"
                "Wait::arm"
            closing the_rest_arrives_then_closed
                "after the sender's drop everything arrives, then Closed, from every further call"
                "SendHalf, RecvHalf::try_recv_with"
            closing a_full_queue_arrives_then_closed
                "dropping a sender with a full queue loses nothing"
                "SendHalf"
            closing a_sender_learns_that_its_receiver_closed
                "after the receiver's drop sending is Closed, from every further call"
                "SendHalf::try_send_with, RecvHalf"
            closing one_direction_closes_alone
                "dropping one half closes one direction; the other one works on"
                "SendHalf, RecvHalf"
            closing an_end_of_sending_is_no_end_of_receiving
                "is_heard is true while the peer receives, and false soon after it left"
                "SendHalf::is_heard"
            closing a_waiting_receiver_wakes
                "the sender's drop wakes a waiting receiver with Closed"
                "Wait::arm, RecvHalf::try_recv_with"
            closing a_waiting_sender_wakes
                "the receiver's drop wakes a waiting sender with Closed"
                "Wait::arm, SendHalf::try_send_with"
            arming a_message_ends_the_sleep
                "a frame that is sent before or after arming ends the receiver's sleep"
                "Wait, section `No wake-up is lost`"
            arming room_ends_the_sleep
                "room that comes before or after arming ends the sender's sleep"
                "Wait, section `No wake-up is lost`"
            arming the_senders_leaving_ends_the_sleep
                "a sender that is dropped before or after arming ends the receiver's sleep"
                "Wait, section `No wake-up is lost`"
            arming the_receivers_leaving_ends_the_sleep
                "a receiver that is dropped before or after arming ends the sender's sleep"
                "Wait, section `No wake-up is lost`"
            arming a_drained_half_hears_of_more
                "while drained is true, only a new readiness of the source brings data"
                "Wait::drained"
            arming a_connector_ends_the_owners_sleep
                "a connector that comes before or after arming ends the owner's sleep"
                "Endpoint::arm"
            arming the_owner_ends_the_connectors_sleep
                "an owner that accepts before or after arming ends the connector's sleep"
                "Endpoint::arm"
            leaving a_receiver_that_left_takes_no_wakeup
                "disarm passes a wake-up on to the next waiting receiver of a queue"
                "Wait::disarm"
            leaving a_sender_that_left_takes_no_wakeup
                "disarm passes a wake-up on to the next waiting sender of a queue"
                "Wait::disarm"
            leases a_leased_message_is_invisible_until_it_is_acknowledged
                "a leased message is invisible; its acknowledgement takes it out of the queue"
                "Queue::try_lease, Leases::settle"
            leases a_lease_ends_with_its_time
                "a lease that is over gives the message back, and ends no later lease of it"
                "Queue::try_lease, LeaseId"
            leases what_comes_back_is_the_first_of_its_priority
                "what comes back is received before all other messages of its priority"
                "Settle::Retry"
            leases a_delayed_message_comes_in_its_time
                "no receiver sees a delayed message before its time; due says when it comes"
                "Queue::try_send_after, Wait::due"
            leases a_lease_ends_with_its_holder
                "a lease ends once its handle and all of its `leases` are dropped, unless detached"
                "Queue::leases, Settle::Detach"
            leases without_leases_they_are_unsupported
                "without Capabilities::LEASES leases and delays are Unsupported"
                "Capabilities::LEASES"
            leaving a_waker_may_call_back
                "wakers are cloned, woken and dropped without a lock that the halves need"
                "Wait, section `Wakers`"
            pressure threads_stream
                "threads lose, double, reorder and change no frame of a long stream"
                "SendHalf, RecvHalf, Wait"
            pressure tasks_stream
                "tasks lose, double, reorder and change no frame of a long stream"
                "SendHalf, RecvHalf, Wait"
            pressure both_directions_stream
                "streams in both directions at once disturb each other in nothing"
                "SendHalf, RecvHalf, Wait"
            wakes data_wakes_threads
                "a frame wakes a thread that waits for it, at any moment"
                "Wait, section `No wake-up is lost`"
            wakes data_wakes_tasks
                "a frame wakes a task that waits for it, at any moment"
                "Wait, section `No wake-up is lost`"
            wakes space_wakes_threads
                "room wakes a thread that waits for it, at any moment"
                "Wait, section `No wake-up is lost`"
            wakes space_wakes_tasks
                "room wakes a task that waits for it, at any moment"
                "Wait, section `No wake-up is lost`"
            wakes each_half_is_woken_beside_the_other
                "each half is woken while the other waits, too, as threads and as tasks"
                "Wait"
            wakes connectors_wake_the_owner
                "a connector wakes an owner that waits for it, at any moment"
                "Endpoint::arm"
            hints ready_names_the_channel
                "with hints, a channel that has something to receive is among them"
                "Endpoint::ready, RecvHalf::token"
            text texts_of_any_length
                "alloc_lpsz stores a text of any length and bytes, which owner and openers read"
                "Transport::alloc_lpsz, Endpoint::read_lpsz"
            text only_texts_are_read
                "read_lpsz of an object without a text is an error (-3)"
                "Endpoint::read_lpsz"
            text a_text_lives_with_its_holders
                "a text lives as long as its creator, or its last holder with OUTLIVES_CREATOR"
                "Transport::alloc_lpsz"
            text without_lpsz_it_is_unsupported
                "without Capabilities::LPSZ texts are Unsupported"
                "Capabilities::LPSZ"
            block sizes_from_one_byte
                "size= makes a block of any size from 1 byte; without BLOCK it is refused"
                "Capabilities::BLOCK"
            block impossible_sizes_fail
                "an impossible size is an error (-2 or -4) that leaves nothing behind"
                "Transport::create"
            block another_size_is_a_mismatch
                "open with another size is a Mismatch (-3)"
                "Transport::open"
            block a_block_lives_with_its_holders
                "with OUTLIVES_CREATOR a block lives until its last holder leaves"
                "Capabilities::OUTLIVES_CREATOR"
            inventory what_lives_is_listed
                "list and inspect show live objects, sweep does not; without INVENTORY: Unsupported"
                "Transport::list, Transport::inspect, Transport::sweep"
            inventory what_lives_is_not_removed
                "remove of a live object is Busy, of none NotFound"
                "Transport::remove"
            inventory an_owner_is_told_that_its_name_was_removed
                "after a removal by force the owner's accept is Removed, its close StatFailed (-5)"
                "Transport::remove, Endpoint::try_connect"
        }
    };
    (for $fixtures:expr) => { $crate::suite! { @list (for $fixtures) } };
    ($fixture:expr) => { $crate::suite! { @list ($fixture) } };
}
