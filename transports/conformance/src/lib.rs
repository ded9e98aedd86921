//! The suite that every `anyipc` transport passes, ours and third parties' alike.
//!
//! One line in your crate's `tests/conformance.rs` makes one `#[test]` of every check:
//!
//! ```text
//! anyipc_conformance::suite!(MyTransport);
//! ```
//!
//! The checks follow [`Capabilities`](anyipc_core::Capabilities) both ways: what the transport claims must
//! work, what it does not claim must answer `Unsupported`. Where the transport needs options, or sleeps on
//! file descriptors, give a [`Fixture`] instead of the transport:
//!
//! ```no_run
//! # fn show(transport: impl anyipc_core::Transport) {
//! use anyipc_conformance::{Fixture, run_all};
//! run_all(&Fixture::new(transport).option("capacity", "4KiB"));
//! # }
//! ```
//!
//! A failed check panics and says what it expected. None hangs: a call that waits for more than
//! [`WATCHDOG`] fails. Two checks never use the same name, so they may run in parallel, also from several
//! processes.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, reason = "a failed check is a panic")]

pub mod checks;
mod fixture;
mod noise;
mod patience;
pub mod victim;

pub use fixture::{Fixture, Sleeper};
pub use patience::{Patience, WATCHDOG};

/// One check: its name and what to call.
pub type Check = (&'static str, fn(&Fixture<'_>));

/// Every check of the suite.
pub const CHECKS: &[Check] = suite!(@table);

/// Runs every check after another, printing each name first.
///
/// # Panics
/// When a check fails.
pub fn run_all(fixture: &Fixture<'_>) {
    for (name, check) in CHECKS {
        println!("conformance: {name}");
        check(fixture);
    }
}

/// Makes one `#[test]` per check, for a transport or a [`Fixture`].
///
/// The expression is evaluated once per test. After `for` it gives several fixtures, and each test
/// runs its check for every one of them: `suite!(for fixtures())`.
#[macro_export]
macro_rules! suite {
    (@table) => { $crate::suite! { @list (table) } };
    (@do (table) $($module:ident $check:ident)*) => {
        &[$((stringify!($check), $crate::checks::$module::$check)),*]
    };
    (@do (for $fixtures:expr) $($module:ident $check:ident)*) => {
        $(
            #[test]
            fn $check() {
                for fixture in $fixtures {
                    println!("conformance: {} of {fixture:?}", stringify!($check));
                    $crate::checks::$module::$check(&fixture);
                }
            }
        )*
    };
    (@do ($fixture:expr) $($module:ident $check:ident)*) => {
        $(
            #[test]
            fn $check() {
                $crate::checks::$module::$check(&$crate::Fixture::from($fixture));
            }
        )*
    };
    (@list $to:tt) => {
        $crate::suite! { @do $to
            lifecycle describes_itself
            lifecycle create_open_close
            lifecycle dropping_is_closing
            lifecycle a_second_create_exists
            lifecycle open_of_nothing_fails
            lifecycle the_name_is_free_after_the_close
            lifecycle open_or_create_adopts
            lifecycle races_have_one_winner
            lifecycle one_owner_at_a_time
            names every_legal_name_works
            names similar_names_are_different
            connect both_sides_meet
            connect a_late_owner_lets_in_who_came_in_time
            connect channels_outlive_their_endpoints
            connect many_clients_share_an_owner
            connect nobody_there_would_block
            connect no_owner_until_one_comes
            connect an_abandoned_attempt_harms_no_one
            connect without_channels_it_is_unsupported
            handshake what_each_said_is_known
            handshake untyped_matches_anything
            handshake another_codec_is_refused
            handshake another_type_is_refused
            handshake another_capacity_is_refused
            frames every_length_arrives_whole
            frames too_long_is_refused
            frames flags_are_carried
            frames order_is_kept
            frames filling_less_sends_less
            frames filling_nothing_sends_nothing
            frames a_panic_sends_nothing
            frames receiving_appends
            frames full_would_block_and_drains
            sending ok_needs_no_further_call
            sending what_was_refused_does_not_arrive
            sending without_room_a_wait_sleeps
            closing the_rest_arrives_then_closed
            closing a_full_queue_arrives_then_closed
            closing the_sender_hears_that_nobody_listens
            closing one_direction_closes_alone
            closing an_end_of_sending_is_no_end_of_receiving
            closing a_waiting_receiver_wakes
            closing a_waiting_sender_wakes
            arming a_message_ends_the_sleep
            arming room_ends_the_sleep
            arming the_senders_leaving_ends_the_sleep
            arming the_receivers_leaving_ends_the_sleep
            arming a_drained_half_hears_of_more
            arming a_connector_ends_the_owners_sleep
            arming the_owner_ends_the_connectors_sleep
            leaving a_receiver_that_left_takes_no_wakeup
            leaving a_sender_that_left_takes_no_wakeup
            leaving a_waker_may_call_back
            pressure threads_stream
            pressure tasks_stream
            pressure both_directions_stream
            wakes data_wakes_threads
            wakes data_wakes_tasks
            wakes space_wakes_threads
            wakes space_wakes_tasks
            wakes connectors_wake_the_owner
            hints ready_names_the_channel
            text texts_of_any_length
            text only_texts_are_read
            text a_text_lives_with_its_holders
            text without_lpsz_it_is_unsupported
            block sizes_from_one_byte
            block impossible_sizes_fail
            block another_size_is_a_mismatch
            block a_block_lives_with_its_holders
            inventory what_lives_is_listed
            inventory what_lives_is_not_removed
            inventory an_owner_is_told_that_its_name_was_removed
        }
    };
    (for $fixtures:expr) => { $crate::suite! { @list (for $fixtures) } };
    ($fixture:expr) => { $crate::suite! { @list ($fixture) } };
}
