//! Writes the client and the server of the gRPC service. From Rust types, so that no `protoc` is
//! needed.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let method = |name: &str, route: &str, output: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type("crate::grpc::Compile")
            .output_type(output)
            .codec_path("tonic_prost::ProstCodec")
    };
    let service = Service::builder()
        .name("Compiler")
        .package("edix")
        .method(method("version", "Version", "crate::grpc::Text").build())
        .method(method("compile", "Compile", "crate::grpc::Text").server_streaming().build())
        .build();
    Builder::new().compile(&[service]);
}
