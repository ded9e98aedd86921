//! The object-safe forms of the traits, for a transport that is chosen at run time.

use std::any::Any;
use std::ffi::CStr;
use std::fmt::Debug;

use crate::{
    Armed, Attempt, Capabilities, Endpoint, Error, ErrorKind, Key, Name, Object, Operation,
    Options, Peer, Queue, RecvHalf, Rejections, Result, Role, SendHalf, Source, Transport, Waiter,
};

/// The halves of a channel and its peer, as [`DynEndpoint::try_connect`] returns them.
pub type DynHalves = (Box<dyn SendHalf>, Box<dyn RecvHalf>, Peer);

/// The object-safe form of [`Transport`], implemented for every transport.
#[expect(missing_docs, reason = "each method is documented on Transport")]
pub trait DynTransport: Debug + Send + Sync {
    fn schemes(&self) -> &'static [&'static str];
    fn keys(&self) -> &'static [Key];
    fn capabilities(&self) -> Capabilities;
    fn about(&self) -> &'static str;
    fn takes_paths(&self) -> bool;
    fn file_stem(&self, name: &Name, options: &Options) -> Option<String>;
    fn unique_name(&self, start: Option<&Name>, random: &str) -> Result<Name>;
    fn create(&self, name: &Name, options: &Options) -> Result<Box<dyn DynEndpoint>>;
    fn open(&self, name: &Name, options: &Options) -> Result<Box<dyn DynEndpoint>>;
    fn alloc_lpsz(
        &self,
        name: &Name,
        text: &[u8],
        options: &Options,
    ) -> Result<Box<dyn DynEndpoint>>;
    fn close(&self, endpoint: Box<dyn DynEndpoint>) -> Result<()>;
    fn list(&self, options: &Options) -> Result<Vec<Object>>;
    fn inspect(&self, name: &Name, options: &Options) -> Result<Vec<Object>>;
    fn remove(&self, name: &Name, options: &Options, force: bool) -> Result<()>;
    fn sweep(&self, options: &Options, fix: bool) -> Result<Vec<Object>>;
}

impl<T: Transport> DynTransport for T {
    fn schemes(&self) -> &'static [&'static str] {
        Transport::schemes(self)
    }
    fn keys(&self) -> &'static [Key] {
        Transport::keys(self)
    }
    fn capabilities(&self) -> Capabilities {
        Transport::capabilities(self)
    }
    fn about(&self) -> &'static str {
        Transport::about(self)
    }
    fn takes_paths(&self) -> bool {
        Transport::takes_paths(self)
    }
    fn file_stem(&self, name: &Name, options: &Options) -> Option<String> {
        Transport::file_stem(self, name, options)
    }
    fn unique_name(&self, start: Option<&Name>, random: &str) -> Result<Name> {
        Transport::unique_name(self, start, random)
    }
    fn create(&self, name: &Name, options: &Options) -> Result<Box<dyn DynEndpoint>> {
        Ok(Box::new(Transport::create(self, name, options)?))
    }
    fn open(&self, name: &Name, options: &Options) -> Result<Box<dyn DynEndpoint>> {
        Ok(Box::new(Transport::open(self, name, options)?))
    }
    fn alloc_lpsz(
        &self,
        name: &Name,
        text: &[u8],
        options: &Options,
    ) -> Result<Box<dyn DynEndpoint>> {
        Ok(Box::new(Transport::alloc_lpsz(self, name, text, options)?))
    }
    fn close(&self, endpoint: Box<dyn DynEndpoint>) -> Result<()> {
        match endpoint.into_any().downcast::<T::Endpoint>() {
            Ok(endpoint) => Transport::close(self, *endpoint),
            Err(_) => Err(Error::new(Operation::Close, ErrorKind::Mismatch)
                .because("the endpoint belongs to another transport; it was released")),
        }
    }
    fn list(&self, options: &Options) -> Result<Vec<Object>> {
        Transport::list(self, options)
    }
    fn inspect(&self, name: &Name, options: &Options) -> Result<Vec<Object>> {
        Transport::inspect(self, name, options)
    }
    fn remove(&self, name: &Name, options: &Options, force: bool) -> Result<()> {
        Transport::remove(self, name, options, force)
    }
    fn sweep(&self, options: &Options, fix: bool) -> Result<Vec<Object>> {
        Transport::sweep(self, options, fix)
    }
}

/// The object-safe form of [`Endpoint`], implemented for every endpoint.
#[expect(missing_docs, reason = "each method is documented on Endpoint")]
pub trait DynEndpoint: Debug + Send + Sync {
    fn role(&self) -> Role;
    fn try_connect(&self, attempt: &mut Attempt) -> Result<DynHalves>;
    fn arm(&self, attempt: &mut Attempt, waiter: Waiter<'_>) -> Result<Armed>;
    fn source(&self, attempt: &Attempt) -> Result<Source>;
    fn ready(&self, keep: Option<u64>, visit: &mut dyn FnMut(u64)) -> bool;
    fn read_lpsz(&self, read: &mut dyn FnMut(&CStr)) -> Result<()>;
    fn rejections(&self) -> Rejections;
    fn local_name(&self) -> Option<Name>;
    fn queue(&self) -> Result<Box<dyn Queue>>;
    fn extension(&self) -> Option<&dyn Any>;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<E: Endpoint> DynEndpoint for E {
    fn role(&self) -> Role {
        Endpoint::role(self)
    }
    fn try_connect(&self, attempt: &mut Attempt) -> Result<DynHalves> {
        let (sender, receiver, peer) = Endpoint::try_connect(self, attempt)?;
        Ok((Box::new(sender), Box::new(receiver), peer))
    }
    fn arm(&self, attempt: &mut Attempt, waiter: Waiter<'_>) -> Result<Armed> {
        Endpoint::arm(self, attempt, waiter)
    }
    fn source(&self, attempt: &Attempt) -> Result<Source> {
        Endpoint::source(self, attempt)
    }
    fn ready(&self, keep: Option<u64>, visit: &mut dyn FnMut(u64)) -> bool {
        Endpoint::ready(self, keep, visit)
    }
    fn read_lpsz(&self, read: &mut dyn FnMut(&CStr)) -> Result<()> {
        Endpoint::read_lpsz(self, read)
    }
    fn rejections(&self) -> Rejections {
        Endpoint::rejections(self)
    }
    fn local_name(&self) -> Option<Name> {
        Endpoint::local_name(self)
    }
    fn queue(&self) -> Result<Box<dyn Queue>> {
        Endpoint::queue(self)
    }
    fn extension(&self) -> Option<&dyn Any> {
        Endpoint::extension(self)
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
