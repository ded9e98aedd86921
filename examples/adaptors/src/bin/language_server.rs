//! A language server on some addresses: `cargo run --bin language_server`.

use anyipc::Listener;
use anyipc_adaptors::addresses;
use anyipc_adaptors::language_server::{self, editor::Editor};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for address in addresses("lsp") {
        let server = tokio::spawn(language_server::serve(Listener::bind(&address)?));
        let mut editor = Editor::new(anyipc::connect_async(&address).await?.into_io());
        let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": {"capabilities": {}}});
        editor.send(&hello).await?;
        assert_eq!(editor.recv().await?["id"], 1);
        editor.send(&json!({"jsonrpc": "2.0", "method": "initialized", "params": {}})).await?;
        let document = json!({"uri": "file:///main.rs", "languageId": "rust", "version": 1,
            "text": "fn main() {\n    let unused = 7;\n}\n"});
        let opened = json!({"jsonrpc": "2.0", "method": "textDocument/didOpen",
            "params": {"textDocument": document}});
        editor.send(&opened).await?;
        let told = editor.recv().await?;
        println!("{address}: {}", told["params"]["diagnostics"]);
        assert_eq!(told["params"]["diagnostics"][0]["range"]["start"]["line"], 1);
        server.abort();
    }
    Ok(())
}
