//! iceoryx2: publish and subscribe, both sides polling, messages written and read in place. The
//! variant is the number of samples that a subscriber holds at most.

use std::hint::spin_loop;
use std::time::Instant;

use anyipc_measure::Result;
use anyipc_measure::link::Link;
use anyipc_measure::payload::{Coverage, LINE, Received, check, write};
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{
    Alignment, BackpressureStrategy, Config, FileName, LogLevel, Node, NodeBuilder, Path,
    PortFactory as _, SemanticString, ipc, set_log_level,
};
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;

use super::anyipc_channel::ARRIVAL;
use super::{name, start};
use crate::job::Job;
use crate::link::{serve, time};

type Message = [u8];
type Service = PortFactory<ipc::Service, Message, ()>;

pub(super) fn first(job: &Job) -> Result<f64> {
    let place = name("iceoryx2");
    let node = node()?;
    let [there, back] = ["there", "back"].map(|way| service(&node, &format!("{place}.{way}"), job));
    let _second = start(job, &place)?;
    let mut link = IceoryxLink::meet(&there?, &back?, job)?;
    // A message to a subscriber that has not yet received one is lost if it finds no room.
    link.receive(job.size, 0)?;
    link.send(job.size, 0)?;
    time(&mut link, job)
}

pub(super) fn second(job: &Job, place: &str) -> Result<()> {
    let node = node()?;
    let [there, back] = ["there", "back"].map(|way| service(&node, &format!("{place}.{way}"), job));
    let mut link = IceoryxLink::meet(&back?, &there?, job)?;
    link.send(job.size, 0)?;
    link.receive(job.size, 0)?;
    serve(&mut link, job)
}

/// Its files have names that `run` removes if they are left behind.
fn node() -> Result<Node<ipc::Service>> {
    set_log_level(LogLevel::Error);
    let mut config = Config::default();
    config.global.prefix = FileName::new(b"anyipc-others.iceoryx2_")?;
    config.global.set_root_path(&Path::new(std::env::temp_dir().as_os_str().as_encoded_bytes())?);
    Ok(NodeBuilder::new().config(&config).create()?)
}

fn service(node: &Node<ipc::Service>, name: &str, job: &Job) -> Result<Service> {
    let held = job.variant.parse()?;
    let service = node.service_builder(&name.try_into()?).publish_subscribe::<Message>();
    let alignment = Alignment::new(LINE).ok_or("no alignment")?;
    let service = service.payload_alignment(alignment);
    let one_to_one =
        service.max_publishers(1).max_subscribers(1).subscriber_max_borrowed_samples(1);
    Ok(one_to_one
        .enable_safe_overflow(false)
        .history_size(0)
        .subscriber_max_buffer_size(held)
        .open_or_create()?)
}

struct IceoryxLink {
    out: Publisher<ipc::Service, Message, ()>,
    back: Subscriber<ipc::Service, Message, ()>,
    written: Coverage,
}

impl IceoryxLink {
    /// Waits until the other side has subscribed.
    fn meet(out: &Service, back: &Service, job: &Job) -> Result<Self> {
        let subscriber = back.subscriber_builder().create()?;
        let until = Instant::now() + ARRIVAL;
        while out.dynamic_config().number_of_subscribers() == 0 {
            if Instant::now() > until {
                return Err("the other side does not come".into());
            }
            spin_loop();
        }
        let publisher = out
            .publisher_builder()
            .initial_max_slice_len(job.size)
            .max_loaned_samples(1)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()?;
        Ok(Self { out: publisher, back: subscriber, written: job.handling().written })
    }
}

impl Link for IceoryxLink {
    #[inline]
    fn send(&mut self, size: usize, stamp: u64) -> Result<()> {
        // SAFETY: a sample lies in shared memory that the system has filled with zeros or an
        // earlier message with bytes: all of it is initialised, and every bit pattern is a byte.
        let mut sample = unsafe { self.out.loan_slice_uninit(size)?.assume_init() };
        write(sample.payload_mut(), stamp, self.written);
        sample.send()?;
        Ok(())
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received> {
        loop {
            if let Some(sample) = self.back.receive()? {
                return Ok(check(sample.payload(), size, expected, Coverage::Line)?);
            }
            spin_loop();
        }
    }
}
