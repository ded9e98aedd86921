//! cargo run --example lpsz
//!
//! A text in shared memory under a name, and how long it lives: until its last holder leaves.

use std::error::Error;
use std::process::Command;

use anyipc::SmCode;

const ADDRESS: &str = "shm://example.lpsz";

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("reader") {
        println!("another process reads {:?}", anyipc::open(ADDRESS)?.lpsz()?);
        return Ok(());
    }

    let creator = anyipc::alloc_lpsz(ADDRESS, r"C:\Users\Me\myfile.exw")?;
    Command::new(std::env::current_exe()?).arg("reader").status()?;

    // A second handle keeps the text when its creator closes.
    let holder = anyipc::open(ADDRESS)?;
    creator.close()?;
    println!("after its creator left: {:?}", holder.lpsz()?);

    holder.close()?;
    let error = anyipc::open(ADDRESS).err().ok_or("the text outlived its last holder")?;
    assert_eq!(error.code(), Some(SmCode::OpenFail));
    println!("after its last holder left: {error}");
    Ok(())
}
