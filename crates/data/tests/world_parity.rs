//! Parity with the authors' World tokenizers.
//!
//! Cases come from the file in `PERCEPT_WORLD_CASES` and from `shared/fixtures/rwkv/tokenizer-cases.json` beside the repository; without
//! either the test says that it was skipped. The vocabulary lies beside the cases, or beside those of the repository.

use std::path::{Path, PathBuf};

use percept_data::Tokenizer;
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/rwkv");

fn case_files() -> Vec<PathBuf> {
    let own = Path::new(FOLDER).join("tokenizer-cases.json");
    let further = std::env::var_os("PERCEPT_WORLD_CASES").map(PathBuf::from);
    let files: Vec<_> = own.is_file().then_some(own.clone()).into_iter().chain(further).collect();
    if files.is_empty() {
        eprintln!("skipped: there are no cases at {} (set PERCEPT_WORLD_CASES)", own.display());
    }
    files
}

fn ids(case: &Value) -> Vec<u32> {
    case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn from_hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn check(tokenizer: &Tokenizer, text: &[u8], expected: &[u32]) {
    let shown = String::from_utf8_lossy(text);
    assert_eq!(tokenizer.encode(text).unwrap(), expected, "{shown:?}");
    assert_eq!(tokenizer.decode(expected), text, "{shown:?}");
    let mut detokenizer = tokenizer.detokenizer();
    let mut streamed: String = expected.iter().map(|&id| detokenizer.push(id)).collect();
    streamed += &detokenizer.finish();
    assert_eq!(streamed, shown);
}

#[test]
fn ids_are_those_of_the_authors() {
    for file in case_files() {
        let cases: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let name = cases["vocabulary"].as_str().unwrap_or("rwkv_vocab_v20230424.txt");
        let beside = file.with_file_name(name);
        let vocabulary = if beside.is_file() { beside } else { Path::new(FOLDER).join(name) };
        let tokenizer = Tokenizer::from_file(&vocabulary).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        tokenizer.save(&path).unwrap();
        let saved = Tokenizer::from_file(&path).unwrap();
        assert_eq!(saved.fingerprint(), tokenizer.fingerprint());
        let (texts, bytes) = (cases["cases"].as_array().unwrap(), cases["bytes_cases"].as_array().unwrap());
        assert!(texts.len() + bytes.len() > 0);
        for tokenizer in [tokenizer, saved] {
            for case in texts {
                check(&tokenizer, case["text"].as_str().unwrap().as_bytes(), &ids(case));
            }
            for case in bytes {
                check(&tokenizer, &from_hex(case["hex"].as_str().unwrap()), &ids(case));
            }
        }
        eprintln!("{}: {} texts, {} strings of bytes", file.display(), texts.len(), bytes.len());
    }
}
