//! Makes Rust of the `.proto` file, by a compiler that is a crate: nobody needs `protoc`.

use prost::Message;
use std::error::Error;
use std::path::PathBuf;

const FILE: &str = "taghouse/v1/judgment.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile([FILE], ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("judgment.descriptor"), files.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
