//! Standard input, kept as a file so that it can be read again when a run resumes.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use percept_fault::{Fault, IoContext, Result};
use sha2::{Digest, Sha256};

use crate::Format;
use crate::files;
use crate::tokenizer::hex;

/// Copies `input` to a file in `cache` that is named by its content, and returns the path.
pub(crate) fn spool(mut input: impl Read, cache: &Path, format: Format) -> Result<PathBuf> {
    let folder = cache.join("stdin");
    let mut file = files::begin(&folder.join("stdin"))?;
    let (mut hash, mut buffer, mut size) = (Sha256::new(), vec![0; 1 << 20], 0);
    loop {
        let read = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Fault::environment("cannot read standard input").because(error)),
        };
        hash.update(&buffer[..read]);
        file.write_all(&buffer[..read]).at("write in", &folder)?;
        size += read;
    }
    if size == 0 {
        return Err(Fault::usage("standard input is empty").hint("pipe text into the command, or name a file"));
    }
    let ending = if format == Format::Jsonl { "jsonl" } else { "txt" };
    let path = folder.join(format!("{}.{ending}", &hex(&hash.finalize())[..32]));
    // An equal file keeps its time stamp, and so its place in the token cache's index.
    if !path.exists() {
        files::finish(file, &path)?;
    }
    Ok(path)
}
