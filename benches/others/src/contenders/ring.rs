//! The crate rtrb: a ring between two threads of one process, both spinning.

use std::hint::spin_loop;
use std::thread;

use anyipc_measure::Result;
use anyipc_measure::link::Link;
use anyipc_measure::payload::{Coverage, Received, check, write};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::job::Job;
use crate::link::{serve, time};
use crate::pin;

/// Bytes that the ring holds.
const IN_FLIGHT: usize = 512 << 10;

pub(super) fn first(job: &Job) -> Result<f64> {
    match job.size {
        64 => stream::<64>(job),
        1024 => stream::<1024>(job),
        size => Err(format!("no slots of {size} bytes").into()),
    }
}

fn stream<const SIZE: usize>(job: &Job) -> Result<f64> {
    let (producer, consumer) = RingBuffer::<Slot<SIZE>>::new(IN_FLIGHT / SIZE);
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            pin(1)?;
            serve(&mut Sending(producer), job)
        });
        let time = time(&mut Receiving(consumer), job)?;
        sender.join().map_err(|_| "the sending thread failed")??;
        Ok(time)
    })
}

/// A message that begins where a cache line does.
#[repr(align(64))]
struct Slot<const SIZE: usize>([u8; SIZE]);

struct Sending<const SIZE: usize>(Producer<Slot<SIZE>>);
struct Receiving<const SIZE: usize>(Consumer<Slot<SIZE>>);

impl<const SIZE: usize> Link for Sending<SIZE> {
    #[inline]
    fn send(&mut self, _size: usize, stamp: u64) -> Result<()> {
        let mut message = Slot([0; SIZE]);
        write(&mut message.0, stamp, Coverage::Full);
        while let Err(rtrb::PushError::Full(back)) = self.0.push(message) {
            message = back;
            spin_loop();
        }
        Ok(())
    }

    fn receive(&mut self, _size: usize, _expected: u64) -> Result<Received> {
        Err("a ring has one way".into())
    }
}

impl<const SIZE: usize> Link for Receiving<SIZE> {
    fn send(&mut self, _size: usize, _stamp: u64) -> Result<()> {
        Err("a ring has one way".into())
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received> {
        loop {
            if let Ok(message) = self.0.pop() {
                return Ok(check(&message.0, size, expected, Coverage::Line)?);
            }
            spin_loop();
        }
    }
}
