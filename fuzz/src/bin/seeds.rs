//! Writes the seeds of the corpora: valid files, as small as they get.

use std::fs;
use std::path::Path;

use percept_data::Tokenizer;
use percept_model::Session;

fn seed(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

/// A World vocabulary: the bytes and two more tokens.
fn world() -> String {
    let bytes = (0..=u8::MAX).map(|byte| format!("{} b'\\x{byte:02x}' 1\n", u32::from(byte) + 1));
    bytes.chain(["257 'the' 3\n258 '\\u65e5' 3\n".to_string()]).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut session = Session::new(percept_fuzz::model());
    seed("state", "empty", &session.to_bytes()?)?;
    session.feed(&[256, 1, 2, 3, 4, 5])?;
    seed("state", "six-tokens", &session.to_bytes()?)?;
    for (index, path) in percept_fuzz::checkpoint_files().into_iter().enumerate() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        seed("checkpoint", &name, &[vec![u8::try_from(index)?], fs::read(&path)?].concat())?;
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tokenizer.json");
    Tokenizer::bytes().save(&path)?;
    seed("tokenizer", "bytes", &fs::read(&path)?)?;
    Tokenizer::train_bpe(["the cat sat on the mat"; 9].into_iter(), 262)?.save(&path)?;
    seed("tokenizer", "bpe", &fs::read(&path)?)?;
    seed("tokenizer", "world", world().as_bytes())?;
    seed("jsonl", "two", b"{\"text\": \"one\"}\n\n{\"id\": 7, \"text\": \"na\\u00efve\\n\"}\n")?;
    Ok(())
}
