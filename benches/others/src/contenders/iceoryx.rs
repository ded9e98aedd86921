//! iceoryx2: publish and subscribe, both sides polling, messages written and read where they lie. The variant is how
//! many samples a subscriber holds at most.

use std::hint::spin_loop;
use std::mem::MaybeUninit;
use std::time::Instant;

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{
    Alignment, BackpressureStrategy, Config, FileName, LogLevel, Node, NodeBuilder, Path,
    PortFactory as _, SemanticString, ipc, set_log_level,
};
use iceoryx2::service::port_factory::publish_subscribe::PortFactory;

use super::anyipc_channel::COME;
use crate::Result;
use crate::job::{Job, Pattern};
use crate::link::{Link, Second, serve, time};
use crate::payload::{LINE, word};

/// What travels: words, which may be filled in where they lie without unsafe code.
type Message = [u64];
type Service = PortFactory<ipc::Service, Message, ()>;

const WORDS: usize = LINE / 8;

pub(super) fn first(job: &Job) -> Result<f64> {
    let place = super::name("iceoryx2");
    let node = node()?;
    let [there, back] = ["there", "back"].map(|way| service(&node, &format!("{place}.{way}"), job));
    let _second = Second::start(job, &place)?;
    let mut link = IceoryxLink::meet(&there?, &back?, job)?;
    // What is sent to a subscriber that has not looked yet is lost where it finds no room.
    link.receive(Some(0))?;
    link.send(0)?;
    time(&mut link, job)
}

pub(super) fn second(job: &Job, place: &str) -> Result<()> {
    let node = node()?;
    let [there, back] = ["there", "back"].map(|way| service(&node, &format!("{place}.{way}"), job));
    let mut link = IceoryxLink::meet(&back?, &there?, job)?;
    link.send(0)?;
    link.receive(Some(0))?;
    serve(&mut link, job)
}

/// What it makes has names that `run` knows, and removes where it is left behind.
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
    words: usize,
    pattern: Pattern,
}

impl IceoryxLink {
    /// Waits until the other side listens.
    fn meet(out: &Service, back: &Service, job: &Job) -> Result<Self> {
        let words = job.size / 8;
        let subscriber = back.subscriber_builder().create()?;
        let until = Instant::now() + COME;
        while out.dynamic_config().number_of_subscribers() == 0 {
            if Instant::now() > until {
                return Err("the other side does not come".into());
            }
            spin_loop();
        }
        let publisher = out
            .publisher_builder()
            .initial_max_slice_len(words)
            .max_loaned_samples(1)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()?;
        Ok(Self { out: publisher, back: subscriber, words, pattern: job.pattern })
    }
}

impl Link for IceoryxLink {
    #[inline]
    fn send(&mut self, number: u64) -> Result<()> {
        let mut sample = self.out.loan_slice_uninit(self.words)?;
        let (lines, _) = sample.payload_mut().as_chunks_mut::<WORDS>();
        for (line, at) in lines.iter_mut().zip(0..) {
            let word = MaybeUninit::new(word(number).wrapping_add(at));
            match self.pattern {
                Pattern::Words => line[0] = word,
                _ => line.fill(word),
            }
        }
        // SAFETY: each word was written, or is what a mapping of the operating system held before.
        unsafe { sample.assume_init() }.send()?;
        Ok(())
    }

    #[inline]
    fn receive(&mut self, number: Option<u64>) -> Result<()> {
        loop {
            if let Some(sample) = self.back.receive()? {
                return check_words(sample.payload(), self.words, number);
            }
            spin_loop();
        }
    }
}

/// As [`check`](crate::payload::check) does with bytes.
#[inline]
fn check_words(message: &[u64], words: usize, number: Option<u64>) -> Result<()> {
    let (lines, rest) = message.as_chunks::<WORDS>();
    let first = number.map(word).unwrap_or_default();
    let wrong = lines
        .iter()
        .zip(0..)
        .fold(0, |wrong, (line, at)| wrong | (line[0] ^ first.wrapping_add(at)));
    if wrong != 0 || message.len() != words || !rest.is_empty() {
        return Err(format!("message {number:?} arrived wrong").into());
    }
    Ok(())
}
