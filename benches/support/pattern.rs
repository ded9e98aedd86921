//! The patterns of `anyipc bench`.

#[path = "../../cli/src/bench/pattern/round_trip.rs"]
pub(crate) mod round_trip;
#[path = "../../cli/src/bench/pattern/stream.rs"]
pub(crate) mod stream;
