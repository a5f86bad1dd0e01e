//! Stubs from the folder that `npm run proto:export` writes, with protoc.
use std::{env, path::PathBuf};

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-env-changed=PORTCULLIS_PROTOS");
    let protos = PathBuf::from(env::var("PORTCULLIS_PROTOS").unwrap_or("../../proto-export".into()));
    tonic_prost_build::configure()
        .build_server(false)
        .include_file("portcullis.rs") // modules nested as the packages are
        .compile_protos(&[protos.join("zitadel/management.proto"), protos.join("zitadel/message.proto")], &[protos])
}
