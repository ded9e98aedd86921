//! tower-lsp: a channel's bytes are a language server's.

use std::io;

use anyipc::Listener;
use futures::StreamExt;
use tower_lsp::jsonrpc::Result;
use tower_lsp::lsp_types::{
    Diagnostic, DidOpenTextDocumentParams, InitializeParams, InitializeResult, Position, Range,
};
use tower_lsp::{Client, LanguageServer, LspService, Server};

/// A server that finds the word `unused` in what is opened.
struct Finds {
    client: Client,
}

#[tower_lsp::async_trait]
impl LanguageServer for Finds {
    async fn initialize(&self, _: InitializeParams) -> Result<InitializeResult> {
        Ok(InitializeResult::default())
    }

    async fn did_open(&self, opened: DidOpenTextDocumentParams) {
        let document = opened.text_document;
        let lines = document.text.lines().enumerate();
        let found = lines.filter(|(_, line)| line.contains("unused")).map(|(number, _)| {
            let place = Position::new(number as u32, 0);
            Diagnostic::new_simple(Range::new(place, place), "unused".into())
        });
        self.client.publish_diagnostics(document.uri, found.collect(), None).await;
    }

    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }
}

/// Serves every editor that connects, each in a task.
///
/// # Errors
/// Those of [`Listener::incoming`].
pub async fn serve(listener: Listener) -> io::Result<()> {
    let mut incoming = listener.incoming();
    while let Some(channel) = incoming.next().await {
        let (reader, writer) = tokio::io::split(channel?.into_io());
        let (service, socket) = LspService::new(|client| Finds { client });
        tokio::spawn(Server::new(reader, writer, socket).serve(service));
    }
    Ok(())
}

/// The editor's side, by hand: a header with the length, and JSON.
pub mod editor {
    use std::io;

    use anyipc::Io;
    use serde_json::Value;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

    /// A connection to a language server.
    pub struct Editor(BufReader<Io>);

    impl Editor {
        /// Over this channel.
        pub fn new(io: Io) -> Self {
            Self(BufReader::new(io))
        }

        /// Sends one message.
        ///
        /// # Errors
        /// Those of the channel.
        pub async fn send(&mut self, message: &Value) -> io::Result<()> {
            let text = message.to_string();
            let text = format!("Content-Length: {}\r\n\r\n{text}", text.len());
            self.0.write_all(text.as_bytes()).await
        }

        /// Receives one message.
        ///
        /// # Errors
        /// Those of the channel; `InvalidData`.
        pub async fn recv(&mut self) -> io::Result<Value> {
            let (mut len, mut line) = (0, String::new());
            loop {
                line.clear();
                if self.0.read_line(&mut line).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                match line.trim().split_once(": ") {
                    Some(("Content-Length", number)) => {
                        len = number.parse().map_err(|_| io::ErrorKind::InvalidData)?;
                    }
                    Some(_) => {}
                    None => break,
                }
            }
            let mut text = vec![0; len];
            self.0.read_exact(&mut text).await?;
            Ok(serde_json::from_slice(&text)?)
        }
    }
}
