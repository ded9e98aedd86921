//! Connections over local streams. In the private directory, `pipe+<os name>.lock`, `.sock` and `.text`, as those of
//! `local://`.

use anyipc_byte_stream::{CAPACITY, Names, SCOPE};
pub use anyipc_byte_stream::{Endpoint, StreamReceiver as Receiver, StreamSender as Sender};
use anyipc_core::{Capabilities, Key, Name, Object, Options, Result, Transport, keys};
use anyipc_os::FileNaming;

static MARKS: FileNaming =
    FileNaming { prefix: "pipe+", suffix: ".lock", heading: "anyipc-pipe 1" };
static NAMES: Names = Names::new(&MARKS);

/// `pipe://`: channels over named pipes; on macOS over local stream sockets.
#[derive(Debug, Clone, Copy, Default)]
pub struct NamedPipe;

impl Transport for NamedPipe {
    type Endpoint = Endpoint;

    fn schemes(&self) -> &'static [&'static str] {
        &["pipe"]
    }

    fn keys(&self) -> &'static [Key] {
        &[CAPACITY, SCOPE, keys::TRUST_ANYWAY]
    }

    fn about(&self) -> &'static str {
        "on Windows named pipes of this user's, in byte mode, with a file in the private directory that tells their \
         name; on macOS, whose FIFOs can neither be locked nor tell of an end, stream sockets as those of local:// \
         (type-checked, not run there yet)"
    }

    fn file_stem(&self, name: &Name, _options: &Options) -> Option<String> {
        Some(MARKS.stem(name))
    }

    fn capabilities(&self) -> Capabilities {
        Names::CAPABILITIES
    }

    fn create(&self, name: &Name, options: &Options) -> Result<Endpoint> {
        NAMES.create(name, options)
    }

    fn open(&self, name: &Name, options: &Options) -> Result<Endpoint> {
        NAMES.open(name, options)
    }

    fn alloc_lpsz(&self, name: &Name, text: &[u8], options: &Options) -> Result<Endpoint> {
        NAMES.alloc_lpsz(name, text, options)
    }

    fn close(&self, endpoint: Endpoint) -> Result<()> {
        endpoint.close()
    }

    fn list(&self, options: &Options) -> Result<Vec<Object>> {
        NAMES.list(options)
    }

    fn inspect(&self, name: &Name, options: &Options) -> Result<Vec<Object>> {
        NAMES.inspect(name, options)
    }

    fn remove(&self, name: &Name, options: &Options, force: bool) -> Result<()> {
        NAMES.remove(name, options, force)
    }

    fn sweep(&self, options: &Options, fix: bool) -> Result<Vec<Object>> {
        NAMES.sweep(options, fix)
    }
}
