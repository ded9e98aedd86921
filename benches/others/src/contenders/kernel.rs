//! Nothing but system calls: a Unix socket, TCP without delay, or a pipe each way. The variant says which.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::framed::Framed;
use crate::Result;
use crate::job::Job;
use crate::link::{Second, serve, time};

pub(super) fn first(job: &Job) -> Result<f64> {
    match job.variant.as_str() {
        "unix" => {
            let place = super::path("unix");
            let listener = UnixListener::bind(&place)?;
            let _second = Second::start(job, &place)?;
            let (stream, _) = listener.accept()?;
            fs::remove_file(&place)?;
            time(&mut Framed::new(stream, job), job)
        }
        "tcp" => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let _second = Second::start(job, &listener.local_addr()?.to_string())?;
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            time(&mut Framed::new(stream, job), job)
        }
        "pipe" => {
            let place = super::path("pipe");
            for way in ["there", "back"] {
                mknodat(CWD, format!("{place}.{way}"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
            }
            let _second = Second::start(job, &place)?;
            let out = File::options().write(true).open(format!("{place}.there"))?;
            let pipes = Pipes { out, back: File::open(format!("{place}.back"))? };
            for way in ["there", "back"] {
                fs::remove_file(format!("{place}.{way}"))?;
            }
            time(&mut Framed::new(pipes, job), job)
        }
        unknown => Err(format!("no system calls for {unknown}").into()),
    }
}

pub(super) fn second(job: &Job, place: &str) -> Result<()> {
    match job.variant.as_str() {
        "unix" => serve(&mut Framed::new(UnixStream::connect(place)?, job), job),
        "tcp" => {
            let stream = TcpStream::connect(place)?;
            stream.set_nodelay(true)?;
            serve(&mut Framed::new(stream, job), job)
        }
        _ => {
            let back = File::open(format!("{place}.there"))?;
            let out = File::options().write(true).open(format!("{place}.back"))?;
            serve(&mut Framed::new(Pipes { out, back }, job), job)
        }
    }
}

/// A pipe each way.
struct Pipes {
    out: File,
    back: File,
}

impl Read for Pipes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.back.read(buffer)
    }
}

impl Write for Pipes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
