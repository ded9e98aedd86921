//! The cost of choosing a transport at run time: the same message sent and received by one thread,
//! through the transport's own types (static), through boxed traits (dyn), and through the facade.
//!
//! `cargo bench --bench dispatch`
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

mod support;

use std::hint::black_box;
use std::thread;

use anyipc::transport::{Attempt, Endpoint, Flags, Hello, RecvHalf, SendHalf, Transport};
use anyipc::{Channel, Name, Options};
use anyipc_in_process::InProcess;
use anyipc_message_queue::MessageQueue;
use anyipc_named_pipe::NamedPipe;
use anyipc_shared_memory::SharedMemory;
use anyipc_socket::{Local, Tcp};
use criterion::{Criterion, Throughput};

const SIZE: usize = 64;

/// In the transport's own types: a sender, the receiver of the other end, and the rest, which keeps
/// both alive.
fn ends<T: Transport>(
    transport: &T,
    name: &str,
) -> (<T::Endpoint as Endpoint>::Sender, <T::Endpoint as Endpoint>::Receiver, impl Sized + use<T>) {
    let options = Options::default();
    let owner = transport.create(&Name::new(name).unwrap(), &options).unwrap();
    let name = owner.local_name().unwrap_or_else(|| Name::new(name).unwrap());
    let opener = transport.open(&name, &options).unwrap();
    let attempt = || {
        let transport = transport.schemes()[0].into();
        Attempt::new(Hello { transport, max_message: 1 << 20, ..Hello::default() })
    };
    let (mut accepting, mut connecting) = (attempt(), attempt());
    let (mut here, mut there) = (None, None);
    while here.is_none() || there.is_none() {
        here = here.or_else(|| owner.try_connect(&mut accepting).ok());
        there = there.or_else(|| opener.try_connect(&mut connecting).ok());
    }
    let (sender, unused_receiver, _) = here.unwrap();
    let (unused_sender, receiver, _) = there.unwrap();
    (sender, receiver, (owner, opener, unused_receiver, unused_sender))
}

fn facade_ends(url: String) -> (Channel, Channel) {
    let owner = anyipc::create(&url).unwrap();
    let url = owner.address().clone();
    let opener = thread::spawn(move || anyipc::connect(url).unwrap());
    (owner.accept().unwrap(), opener.join().unwrap())
}

fn pass<S: SendHalf + ?Sized, R: RecvHalf + ?Sized>(
    sender: &mut S,
    receiver: &mut R,
    message: &[u8],
) {
    sender.try_send(Flags::NONE, message).unwrap();
    let mut read = |_, message: &[u8]| assert_eq!(black_box(message).len(), SIZE);
    // The kernel may deliver later.
    while let Err(error) = receiver.try_recv_with(&mut read) {
        assert!(error.is_would_block(), "{error}");
    }
}

fn compare<T: Transport>(criterion: &mut Criterion, transport: &T) {
    let scheme = transport.schemes()[0];
    let name = |part: &str| match scheme {
        "tcp" => "127.0.0.1:0".to_owned(),
        _ => format!("dispatch.{}.{part}", std::process::id()),
    };
    let mut group = criterion.benchmark_group(format!("dispatch/{scheme}"));
    group.throughput(Throughput::Elements(1));
    let message = [7; SIZE];

    let (mut sender, mut receiver, rest) = ends(transport, &name("types"));
    group.bench_function("static", |bench| {
        bench.iter(|| pass(&mut sender, &mut receiver, black_box(&message)));
    });
    let (mut sender, mut receiver): (Box<dyn SendHalf>, Box<dyn RecvHalf>) =
        (Box::new(sender), Box::new(receiver));
    group.bench_function("dyn", |bench| {
        bench.iter(|| pass(&mut *sender, &mut *receiver, black_box(&message)));
    });
    drop((sender, receiver, rest));

    let (mut here, mut there) = facade_ends(format!("{scheme}://{}", name("facade")));
    group.bench_function("facade", |bench| {
        bench.iter(|| {
            here.send(black_box(&message)).unwrap();
            there.recv_with(|message| assert_eq!(black_box(message).len(), SIZE)).unwrap();
        });
    });
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    compare(criterion, &SharedMemory);
    compare(criterion, &InProcess);
    compare(criterion, &MessageQueue);
    compare(criterion, &NamedPipe);
    compare(criterion, &Local);
    compare(criterion, &Tcp);
}

fn main() {
    support::main(benches);
}
