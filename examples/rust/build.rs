//! Generates stubs with protoc from the output of `npm run proto:export`.
use std::{env, path::PathBuf};

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-env-changed=PORTCULLIS_PROTOS");
    let protos = PathBuf::from(env::var("PORTCULLIS_PROTOS").unwrap_or("../../proto-export".into()));
    tonic_prost_build::configure()
        .build_server(false)
        .include_file("portcullis.rs") // modules nested like the packages
        .compile_protos(&[protos.join("zitadel/management.proto"), protos.join("zitadel/message.proto")], &[protos])
}
