//! The side that is killed.

use std::path::Path;
use std::sync::Arc;

use anyipc::{Channel, Endpoint};

use super::{Pattern, Round, answer, ask, burst, receive_all, send_all};
use crate::support::counters::Counters;
use crate::support::halves::{run, run_both, split};
use crate::support::process::end_with_parent;

/// `victim <index> <seed> <counters> <address>`
pub(crate) fn victim(words: &[&str]) {
    end_with_parent();
    let round = Round::new(
        words[3].to_owned().leak(),
        words[0].parse().unwrap(),
        words[1].parse().unwrap(),
    );
    let log = Arc::new(Counters::open(Path::new(words[2])));
    if round.pattern == Pattern::Connect {
        connect_forever(round, &log);
    }
    let owner = round.kills_owner.then(|| anyipc::create(round.url(round.victim)).unwrap());
    let channel = match &owner {
        Some(owner) => owner.accept().unwrap(),
        None => anyipc::connect(round.url(round.victim)).unwrap(),
    };
    let mode = round.victim;
    let (mut out, mut back) = (round.to_survivor(), round.to_victim());
    let ending = match round.pattern {
        Pattern::In => run(mode, async {
            let (mut tx, _rx) = split(channel, mode);
            send_all(&mut tx, &mut out, round.way, Some(&log)).await
        }),
        Pattern::Burst => run(mode, async {
            let (mut tx, _rx) = split(channel, mode);
            burst(&mut tx, &mut out, round.way, &log).await.unwrap();
            loop {
                std::thread::park();
            }
        }),
        Pattern::Both => run_both(
            mode,
            channel,
            move |mut tx| async move { send_all(&mut tx, &mut out, round.way, Some(&log)).await },
            async |mut rx| receive_all(&mut rx, &mut back, usize::MAX).await,
        )
        .1,
        Pattern::Ask => run(mode, async {
            let (mut tx, mut rx) = split(channel, mode);
            answer(&mut tx, &mut out, &mut rx, &mut back, round.way, Some(&log)).await
        }),
        Pattern::Answer => run(mode, async {
            let (mut tx, mut rx) = split(channel, mode);
            ask(&mut tx, &mut out, &mut rx, &mut back, round.way, Some(&log)).await
        }),
        Pattern::Idle | Pattern::Full | Pattern::Connect => loop {
            std::thread::park();
        },
    };
    panic!("{round:?}: the victim was still alive when {ending:?}");
}

/// One message per connection, as often as it goes.
fn connect_forever(round: Round, log: &Counters) -> ! {
    let greet = |mut channel: Channel| {
        let mut message = Vec::new();
        round.to_survivor().write(&mut message);
        channel.send(&message).unwrap();
    };
    let url = round.url(round.victim);
    let endpoint: Endpoint = match round.kills_owner {
        true => anyipc::create(url).unwrap(),
        false => anyipc::open(url).unwrap(),
    };
    log.set(super::BEGUN, 1);
    loop {
        greet(match round.kills_owner {
            true => endpoint.accept().unwrap(),
            false => endpoint.connect().unwrap(),
        });
    }
}
