//! What is checked in is what comes of the `.proto` files.

use std::{env, error::Error, fs, path::Path};

use prost::Message;
use prost_build::Config;

const FILES: [&str; 2] = ["dapr/proto/common/v1/common.proto", "dapr/proto/runtime/v1/dapr.proto"];

const GENERATED: [&str; 3] =
    ["dapr.proto.common.v1.rs", "dapr.proto.runtime.v1.rs", "descriptors.bin"];

#[test]
fn generated_code_is_that_of_the_proto_files() -> Result<(), Box<dyn Error>> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir()?;
    generate(&package.join("proto"), folder.path())?;
    let kept = package.join("src/generated");
    for name in GENERATED {
        let (new, old) = (fs::read(folder.path().join(name))?, kept.join(name));
        if env::var_os("STEADFAST_GENERATE").is_some() {
            fs::write(&old, &new)?;
        }
        assert!(
            fs::read(&old).is_ok_and(|it| it == new),
            "{} is not what comes of proto/: run STEADFAST_GENERATE=1 cargo test -p sidecar-proto",
            old.display()
        );
    }
    Ok(())
}

fn generate(proto: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut descriptors = protox::compile(FILES, [proto])?;
    let mut config = Config::new();
    // Values and data stay in the buffer that they were received in.
    config.bytes(["."]);
    config.out_dir(out);
    let builder = tonic_prost_build::configure().out_dir(out).build_transport(false);
    builder.compile_fds_with_config(descriptors.clone(), config)?;
    // Comments are for those who read the files.
    descriptors.file.iter_mut().for_each(|it| it.source_code_info = None);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    Ok(())
}
