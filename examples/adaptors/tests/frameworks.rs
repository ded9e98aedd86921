//! The frameworks over several transports: many calls at once, streams, errors, ends.

use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyipc::Listener;
use anyipc_adaptors::{grpc, rpc};
use futures::TryStreamExt;
use futures::future::join_all;
use tarpc::context;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(30);
const SCHEMES: [&str; 4] = ["shm", "local", "pipe", "mq"];

fn address(scheme: &str, tag: &str) -> String {
    format!("{scheme}://test.{tag}.{}", std::process::id())
}

fn later() -> context::Context {
    let mut context = context::current();
    context.deadline = std::time::Instant::now() + LONG;
    context
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_of_tarpc_call_at_once() {
    for scheme in SCHEMES {
        let address = address(scheme, "tarpc");
        let server = tokio::spawn(rpc::serve(Listener::bind(&address).unwrap()));
        let clients = (0..4).map(|_| async {
            let editor = rpc::connect(&address).await.unwrap();
            let calls = (0..100).map(|line| {
                // Longer than a frame now and then.
                let path = "x".repeat(if line % 20 == 0 { 100_000 } else { 10 });
                let call = editor.open(later(), path, line * 60);
                async move { assert_eq!(call.await.unwrap(), Some(line)) }
            });
            join_all(calls).await;
            assert_eq!(editor.open(later(), String::new(), 1).await.unwrap(), None);
        });
        timeout(LONG, join_all(clients)).await.unwrap();
        server.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tonic_calls_streams_fails_and_ends() {
    for scheme in SCHEMES {
        let address = address(scheme, "tonic");
        let (over, ends) = tokio::sync::oneshot::channel::<()>();
        let listener = Listener::bind(&address).unwrap();
        let server = tokio::spawn(grpc::serve(listener, async { ends.await.unwrap_or(()) }));
        let client = grpc::CompilerClient::new(grpc::connect(&address).await.unwrap());
        let file = |diagnostics| grpc::Compile { path: "main.rs".into(), diagnostics };
        let calls = (0..64).map(|_| {
            let mut client = client.clone();
            async move { client.version(file(0)).await.unwrap().into_inner().text }
        });
        let texts = timeout(LONG, join_all(calls)).await.unwrap();
        assert!(texts.iter().all(|text| text == &texts[0]));
        if scheme != "pipe" {
            // The transport tells which process calls.
            assert!(texts[0].contains(&std::process::id().to_string()), "{}", texts[0]);
        }
        let mut client = client.clone();
        let nameless = grpc::Compile { path: String::new(), diagnostics: 0 };
        let status = client.version(nameless).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        let long = grpc::Compile { path: "y".repeat(1 << 20), diagnostics: 2 };
        let lines = client.compile(long).await.unwrap().into_inner();
        assert_eq!(lines.try_collect::<Vec<_>>().await.unwrap().len(), 2);
        let lines = client.compile(file(20_000)).await.unwrap().into_inner();
        let lines = timeout(LONG, lines.try_collect::<Vec<_>>()).await.unwrap().unwrap();
        assert_eq!(lines[19_999].text, "main.rs:19999: unused");
        // A stream that is dropped half-way harms no other call.
        drop(client.compile(file(20_000)).await.unwrap());
        client.version(file(0)).await.unwrap();
        // An open connection does not keep the server from its end; the name is free then.
        over.send(()).unwrap();
        timeout(LONG, server).await.unwrap().unwrap().unwrap();
        let listener = Listener::bind(&address).unwrap();
        let server = tokio::spawn(grpc::serve(listener, std::future::pending()));
        // The client connects again. The first call may still meet the old connection.
        let again = async { while client.version(file(0)).await.is_err() {} };
        timeout(LONG, again).await.unwrap();
        server.abort();
    }
}

/// The other process of the next test.
#[tokio::test]
async fn serves_until_it_is_killed() {
    let Ok(address) = std::env::var("ANYIPC_ADAPTORS_SERVE") else { return };
    let both = address.split_once(' ').unwrap();
    let rpc = rpc::serve(Listener::bind(both.0).unwrap());
    let grpc = grpc::serve(Listener::bind(both.1).unwrap(), std::future::pending());
    let _ = tokio::join!(rpc, grpc);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_fail_when_the_server_is_killed() {
    for scheme in SCHEMES {
        let (first, second) = (address(scheme, "killed.rpc"), address(scheme, "killed.grpc"));
        let mut server = Command::new(std::env::current_exe().unwrap())
            .args(["serves_until_it_is_killed", "--exact", "--nocapture"])
            .env("ANYIPC_ADAPTORS_SERVE", format!("{first} {second}"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let editor = rpc::connect(format!("{first}?timeout=30s")).await.unwrap();
        // A client of tonic connects again: after the kill it looks for an owner for this long.
        let channel = grpc::connect(format!("{second}?timeout=2s")).await.unwrap();
        let mut compiler = grpc::CompilerClient::new(channel);
        let file = grpc::Compile { path: "main.rs".into(), diagnostics: 1 };
        editor.open(later(), "x".into(), 1).await.unwrap();
        compiler.version(file.clone()).await.unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
        let call = timeout(LONG, editor.open(later(), "x".into(), 1)).await;
        assert!(call.unwrap_or_else(|_| panic!("{first} hangs")).is_err());
        let call = timeout(LONG, compiler.version(file)).await;
        assert!(call.unwrap_or_else(|_| panic!("{second} hangs")).is_err());
    }
    // The killed servers have left their names.
    anyipc::Registry::global().sweep(true).unwrap();
}

/// A runtime that goes down closes its channels: nothing hangs.
#[test]
fn a_runtime_ends_with_open_connections() {
    let (done, over) = mpsc::channel();
    std::thread::spawn(move || {
        for scheme in SCHEMES {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let address = address(scheme, "runtime");
                tokio::spawn(rpc::serve(Listener::bind(&address).unwrap()));
                let editor = rpc::connect(&address).await.unwrap();
                editor.open(later(), "x".into(), 1).await.unwrap();
                tokio::spawn(async move { editor.open(later(), "x".into(), 2).await });
            });
        }
        done.send(()).unwrap();
    });
    over.recv_timeout(LONG).unwrap();
}
