//! Freezes the corpus of `percept quickstart` from files named on the standard input:
//!
//! ```sh
//! git ls-files '*.rs' '*.md' '*.toml' | cargo run --release -p percept-cli --example snapshot
//! ```
//!
//! One document per file; every tenth or so, by a hash of its path, is held out. The result is
//! `crates/cli/assets/corpus.jsonl.zst`: a JSON record `{name, split, text}` per line.

use std::io::{BufRead, Write};
use std::path::Path;

/// Shorter files teach nothing; longer ones would dominate.
const BYTES: std::ops::RangeInclusive<usize> = 400..=60_000;
/// The best compression, since it runs once and every clone carries the result.
const LEVEL: i32 = 22;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths = std::io::stdin().lock().lines().collect::<Result<Vec<String>, _>>()?;
    paths.sort();
    let (mut records, mut bytes) = (Vec::new(), [0, 0]);
    for path in &paths {
        let text = std::fs::read_to_string(path)?;
        if !BYTES.contains(&text.len()) {
            continue;
        }
        let held_out = hash(path).is_multiple_of(10);
        bytes[usize::from(held_out)] += text.len();
        let split = if held_out { "held-out" } else { "train" };
        writeln!(records, "{}", serde_json::json!({ "name": path, "split": split, "text": text }))?;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/corpus.jsonl.zst");
    std::fs::write(&file, zstd::encode_all(records.as_slice(), LEVEL)?)?;
    println!("{} bytes to train on, {} held out, {} compressed", bytes[0], bytes[1], file.metadata()?.len());
    Ok(())
}

/// FNV-1a, 64 bits.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
