//! Round trips between two tasks. The last word of the variant says what runs them: `main` one
//! runtime, with one of them as its main future; `spawned` one runtime, both spawned on it; `two` a
//! runtime and a process each.

use std::time::Instant;

use anyipc_measure::Result;
use tokio::runtime::{Builder, Runtime};

use super::start;
use crate::job::Job;

/// One end of what carries checked messages.
pub(super) trait Exchange: Send + Sized + 'static {
    /// Writes and sends message `number`.
    fn send(&mut self, number: u64) -> impl Future<Output = Result<()>> + Send;

    /// Waits for message `number` and checks it.
    fn receive(&mut self, number: u64) -> impl Future<Output = Result<()>> + Send;
}

/// Where two tasks meet.
pub(super) trait Meeting: Sized {
    type End: Exchange;

    /// Makes the place. `what` is the variant without its last word.
    fn new(what: &str) -> Result<Self>;

    /// Where the other one finds it.
    fn place(&self) -> Result<String>;

    /// The end of the side that made the place.
    fn accept(&self, job: &Job) -> impl Future<Output = Result<Self::End>>;

    /// The other end.
    fn connect(place: String, job: Job)
    -> impl Future<Output = Result<Self::End>> + Send + 'static;
}

pub(super) fn first<M: Meeting>(job: &Job) -> Result<f64> {
    let (what, runtimes) = job.variant.rsplit_once(' ').ok_or("what runs the tasks?")?;
    runtime()?.block_on(async {
        let meeting = M::new(what)?;
        let place = meeting.place()?;
        if runtimes == "two" {
            let _second = start(job, &place)?;
            return time(meeting.accept(job).await?, job.clone()).await;
        }
        let other = tokio::spawn(M::connect(place, job.clone()));
        let end = meeting.accept(job).await?;
        let other = tokio::spawn(serve(other.await??, job.clone()));
        let time = time(end, job.clone());
        let time = if runtimes == "spawned" { tokio::spawn(time).await? } else { time.await };
        other.await??;
        time
    })
}

pub(super) fn second<M: Meeting>(job: &Job, place: &str) -> Result<()> {
    runtime()?.block_on(async {
        serve(M::connect(place.to_owned(), job.clone()).await?, job.clone()).await
    })
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

async fn time(mut end: impl Exchange, job: Job) -> Result<f64> {
    let mut began = Instant::now();
    for number in 0..job.total() {
        if number == job.warm {
            began = Instant::now();
        }
        end.send(number).await?;
        end.receive(number).await?;
    }
    Ok(began.elapsed().as_nanos() as f64 / job.count as f64)
}

async fn serve(mut end: impl Exchange, job: Job) -> Result<()> {
    for number in 0..job.total() {
        end.receive(number).await?;
        end.send(number).await?;
    }
    Ok(())
}
