//! `local://name`: in the private directory, `local+<os name>.lock`, `.sock` and `.text`.

use anyipc_byte_stream::{ALLOW_UID, CAPACITY, Endpoint, Names, SCOPE};
use anyipc_core::{Capabilities, Key, Name, Object, Options, Result, Transport, keys};
use anyipc_os::FileNaming;

static MARKS: FileNaming =
    FileNaming { prefix: "local+", suffix: ".lock", heading: "anyipc-local 1" };
static NAMES: Names = Names::new(&MARKS);

/// `local://`: channels over local stream sockets; on Windows, over named pipes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local;

impl Transport for Local {
    type Endpoint = Endpoint;

    fn schemes(&self) -> &'static [&'static str] {
        &["local"]
    }

    fn keys(&self) -> &'static [Key] {
        &[ALLOW_UID, CAPACITY, SCOPE, keys::TRUST_ANYWAY]
    }

    fn about(&self) -> &'static str {
        "a Unix stream socket in the private directory and two connected ones per channel, one for messages and one \
         for control, with buffers within net.core.wmem_max (macOS: one per direction; type-checked, not run there \
         yet); on Windows named pipes of this user's"
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
