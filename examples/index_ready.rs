//! cargo run --example index_ready
//!
//! One process makes an index, and others read it as soon as it is ready, whenever they come. The
//! index lies in a block, an event says when it is ready, and an address leads to both: any between
//! processes, add `-- pipe://example.index`. An indexer is killed before it is ready: the readers
//! are told, and wait for the next one.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use anyipc::sync::{self, Reset};
use anyipc::{BlockExt, ErrorKind, Event, Message, Select, TypedInbox};
use serde::{Deserialize, Serialize};

const ADDRESS: &str = "best://example.index_ready";

/// Word → lines.
type Index = BTreeMap<String, Vec<u32>>;

/// The addresses of an indexer's event and block.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "example.Places/1")]
struct Places {
    ready: String,
    index: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["indexer", address] => Ok(serve(address)?),
        ["reader", address] => read(address),
        [address] => watch(address),
        _ => watch(ADDRESS),
    }
}

fn serve(address: &str) -> anyipc::Result<()> {
    let block = anyipc::create("shm://example.index?unique&size=64KiB")?;
    let ready = format!("shm://example.index.ready.{}", std::process::id());
    let event = sync::Event::create(&ready, Reset::Manual)?;
    let places = Places { ready, index: block.address().to_string() };
    let mut inbox = TypedInbox::<Places, ()>::new(anyipc::create(address)?)?;
    std::thread::spawn(move || -> anyipc::Result<()> {
        sleep(Duration::from_millis(150));
        let text = "the word is in the index";
        let mut index = Index::new();
        for (line, word) in (1..).zip(text.split(' ')) {
            index.entry(word.into()).or_default().push(line);
        }
        block.block()?.store(&index)?;
        event.set()?;
        // Holds the block and the event for as long as the process lives.
        loop {
            std::thread::park();
        }
    });
    loop {
        if let Event::Connected(reader) = inbox.next_event()? {
            // A reader that has left needs no index.
            let _ = inbox.send(reader, &places);
        }
    }
}

fn read(address: &str) -> Result<(), Box<dyn Error>> {
    loop {
        match try_read(address) {
            Ok(Some(index)) => {
                assert_eq!(index["the"], [1, 5]);
                println!("reader {}: the index has {} words", std::process::id(), index.len());
                return Ok(());
            }
            Ok(None) => println!("reader {}: the indexer has left", std::process::id()),
            Err(error) => match error.kind() {
                ErrorKind::Closed | ErrorKind::PeerGone | ErrorKind::NotFound => {}
                _ => return Err(error.into()),
            },
        }
    }
}

/// The index of one indexer; `None` if it left before it was ready.
fn try_read(address: &str) -> anyipc::Result<Option<Index>> {
    let mut indexer = anyipc::connect_typed::<(), Places>(address)?;
    let places = indexer.recv()?;
    let event = sync::Event::open(places.ready)?;
    let index = anyipc::open(places.index)?;
    let mut ready = event.waiter();
    // Whichever comes first. The indexer sends no more: its channel is ready when it dies.
    let first = Select::new()?.wait(&mut [&mut ready, &mut indexer])?;
    if first == 0 { index.block()?.load() } else { Ok(None) }
}

fn watch(address: &str) -> Result<(), Box<dyn Error>> {
    let this = std::env::current_exe()?;
    let start = |role: &str| Command::new(&this).args([role, address]).spawn();
    let kill = |process: &mut Child| process.kill().and_then(|()| process.wait());

    let mut readers = vec![start("reader")?, start("reader")?];
    let mut indexer = start("indexer")?;
    sleep(Duration::from_millis(100));
    kill(&mut indexer)?;
    let mut indexer = start("indexer")?;
    readers.push(start("reader")?);
    for reader in &mut readers {
        assert!(reader.wait()?.success(), "a reader got no index");
    }
    kill(&mut indexer)?;
    // What a killed process leaves stays until its name is used again, or somebody sweeps.
    anyipc::Registry::global().sweep(true)?;
    Ok(())
}
