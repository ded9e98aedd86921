use std::os::unix::net::UnixStream;

use super::*;

/// A connector that sends nothing, or everything at once.
struct Connector {
    wire: UnixStream,
    _other: UnixStream,
    complete: bool,
    /// How many steps of work the owner has before it is complete.
    work: usize,
    deadline: Instant,
    deadline_if_full: Instant,
}

impl Handshake for Connector {
    type Wire = UnixStream;
    fn wire(&self) -> &UnixStream {
        &self.wire
    }
    fn deadline(&self) -> Instant {
        self.deadline
    }
    fn deadline_if_full(&self) -> Instant {
        self.deadline_if_full
    }
    fn late(&self) -> Error {
        Error::new(Operation::Accept, ErrorKind::TimedOut)
    }
    fn refuse(&self, _error: &Error) {}
    fn has_spoken(&self) -> bool {
        self.complete
    }
}

/// An endless supply of connectors.
struct Crowd<'a> {
    listener: UnixStream,
    next: &'a mut dyn FnMut() -> io::Result<Next<Connector>>,
}

impl Listening for Crowd<'_> {
    type Handshake = Connector;
    type Channel = ();
    type Listener = UnixStream;
    fn listener(&self) -> &UnixStream {
        &self.listener
    }
    fn next(&mut self, _set: &Set) -> io::Result<Next<Connector>> {
        (self.next)()
    }
    fn step(
        &mut self,
        connector: &mut Connector,
        _others: &mut HalfOpen<Connector>,
    ) -> Result<Step> {
        if connector.work > 0 {
            connector.work -= 1;
            return Ok(Step::Works);
        }
        Ok(if connector.complete { Step::Complete } else { Step::Waits })
    }
    fn admit(&mut self, _connector: Connector, _set: &Set) -> Admission<Connector, ()> {
        Admission::Channel(())
    }
}

fn connector(complete: bool, timeout: Duration) -> io::Result<Next<Connector>> {
    let (wire, other) = UnixStream::pair()?;
    let deadline = Instant::now() + timeout;
    Ok(Next::Begun(Connector {
        wire,
        _other: other,
        complete,
        work: 0,
        deadline,
        deadline_if_full: deadline,
    }))
}

fn would_block(result: Result<()>) -> bool {
    result.is_err_and(|error| error.is_would_block())
}

#[test]
fn one_call_rejects_some_and_leaves_the_rest() {
    let mut half_open = HalfOpen::new(Operation::Create).unwrap();
    let mut calls = 0;
    let mut next = || {
        calls += 1;
        Ok(Next::Rejected(Error::new(Operation::Accept, ErrorKind::PermissionDenied)))
    };
    let listener = UnixStream::pair().unwrap().0;
    assert!(would_block(half_open.try_accept(&mut Crowd { listener, next: &mut next })));
    assert!((1..=MAX_TAKEN).contains(&calls));
    assert_eq!(half_open.rejections().count, calls as u64);
    assert!(matches!(half_open.arm(), Ok(Armed::Ready)));
    assert!(half_open.report.logged as usize + half_open.report.omitted as usize >= calls);
}

#[test]
fn a_full_list_and_a_shortage_close_the_listener() {
    let mut half_open = HalfOpen::new(Operation::Create).unwrap();
    let listener = || UnixStream::pair().unwrap().0;
    let mut silent = || connector(false, Duration::from_secs(60));
    let mut crowd = Crowd { listener: listener(), next: &mut silent };
    while half_open.busy {
        assert!(would_block(half_open.try_accept(&mut crowd)));
    }
    assert_eq!(half_open.list.len(), MAX_HALF_OPEN);
    assert!(!half_open.listening && matches!(half_open.arm(), Ok(Armed::Source(_))));

    let mut half_open = HalfOpen::new(Operation::Create).unwrap();
    let mut tries = 0;
    let mut short = || {
        tries += 1;
        Err(rustix::io::Errno::MFILE.into())
    };
    let mut crowd = Crowd { listener: listener(), next: &mut short };
    for _ in 0..100 {
        assert!(would_block(half_open.try_accept(&mut crowd)));
        assert!(matches!(half_open.arm(), Ok(Armed::Source(_))));
    }
    assert!(!half_open.listening && half_open.shortage.lasts());
    assert!(tries < 100, "tried at every call");
    // What was short is there again.
    half_open.shortage.retry();
    let mut whole = || connector(true, Duration::from_secs(60));
    half_open.try_accept(&mut Crowd { listener: listener(), next: &mut whole }).unwrap();
    assert!(!half_open.shortage.lasts() && half_open.listening);
}

#[test]
fn a_late_connector_is_rejected_after_it_was_heard() {
    let mut half_open = HalfOpen::new(Operation::Create).unwrap();
    let mut late = [connector(true, Duration::ZERO), connector(false, Duration::ZERO)].into_iter();
    let mut next = || late.next().unwrap_or(Ok(Next::NoConnector));
    let listener = UnixStream::pair().unwrap().0;
    let mut crowd = Crowd { listener, next: &mut next };
    half_open.try_accept(&mut crowd).unwrap();
    while !half_open.list.is_empty() {
        assert!(would_block(half_open.try_accept(&mut crowd)));
    }
    assert_eq!(half_open.rejections().count, 1);
}

#[test]
fn a_handshake_with_work_left_lets_others_go_first_and_is_never_forgotten() {
    const STEPS: usize = 20;
    let working = connector(true, Duration::from_secs(60)).map(|next| match next {
        Next::Begun(connector) => Next::Begun(Connector { work: STEPS, ..connector }),
        next => next,
    });
    let mut half_open = HalfOpen::new(Operation::Create).unwrap();
    let mut all = [working, connector(true, Duration::from_secs(60))].into_iter();
    let mut next = || all.next().unwrap_or(Ok(Next::NoConnector));
    let mut crowd = Crowd { listener: UnixStream::pair().unwrap().0, next: &mut next };
    let (mut channels, mut calls) = (0, 0);
    while channels < 2 {
        match half_open.try_accept(&mut crowd) {
            Ok(()) => channels += 1,
            Err(error) => assert!(error.is_would_block()),
        }
        calls += 1;
        assert!(calls < 5 || channels > 0, "the second one waits for the first one's work");
        assert!(
            channels == 2 || matches!(half_open.arm(), Ok(Armed::Ready)),
            "nothing wakes this sleep"
        );
    }
    assert!(calls >= STEPS, "one call did it all");
}

#[test]
fn a_full_list_has_less_patience() {
    let mut half_open = HalfOpen::new(Operation::Create).unwrap();
    let mut begun = 0;
    let mut next = || {
        begun += 1;
        connector(false, Duration::from_secs(60)).map(|next| match next {
            Next::Begun(connector) => {
                Next::Begun(Connector { deadline_if_full: Instant::now(), ..connector })
            }
            next => next,
        })
    };
    let mut crowd = Crowd { listener: UnixStream::pair().unwrap().0, next: &mut next };
    while half_open.rejections().count == 0 {
        assert!(would_block(half_open.try_accept(&mut crowd)));
    }
    assert!(begun >= MAX_HALF_OPEN, "one was rejected while there was room");
    assert!(half_open.list.len() < MAX_HALF_OPEN && half_open.listening);
}
