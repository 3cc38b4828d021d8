//! The text that every build carries: a frozen snapshot of the project's own sources and documents.

use std::path::{Path, PathBuf};

use percept::{Fault, Result};
use serde::{Deserialize, Serialize};

/// Made by `examples/snapshot.rs`: JSON records `{name, split, text}`, compressed.
const SNAPSHOT: &[u8] = include_bytes!("../../../assets/corpus.jsonl.zst");

/// Documents to train on, and documents that the model never sees.
#[derive(Debug)]
pub(super) struct Corpus {
    pub(super) train: Vec<Document>,
    pub(super) held_out: Vec<Document>,
}

/// One file of the snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Document {
    name: String,
    #[serde(skip_serializing)]
    split: Split,
    pub(super) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Split {
    Train,
    HeldOut,
}

impl Corpus {
    /// Unpacks the snapshot.
    pub(super) fn unpack() -> Result<Self> {
        let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
            Fault::internal("the embedded corpus is broken").because(error)
        };
        let records = zstd::decode_all(SNAPSHOT).map_err(|error| broken(error.into()))?;
        let documents: Vec<Document> = serde_json::Deserializer::from_slice(&records)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| broken(error.into()))?;
        let (train, held_out) = documents.into_iter().partition(|document| document.split == Split::Train);
        Ok(Self { train, held_out })
    }

    /// Writes `train.jsonl` and `held-out.jsonl` into a folder, so that the run can be resumed and scored; their paths.
    pub(super) fn write(&self, folder: &Path) -> Result<(PathBuf, PathBuf)> {
        let (train, held_out) = (folder.join("train.jsonl"), folder.join("held-out.jsonl"));
        for (path, documents) in [(&train, &self.train), (&held_out, &self.held_out)] {
            percept::files::write_with_folder(path, lines(documents)?.as_bytes())?;
        }
        Ok((train, held_out))
    }
}

/// Bytes of the texts.
pub(super) fn bytes(documents: &[Document]) -> u64 {
    documents.iter().map(|document| document.text.len() as u64).sum()
}

fn lines(documents: &[Document]) -> Result<String> {
    let line = |document| serde_json::to_string(document).map(|line| line + "\n");
    documents
        .iter()
        .map(line)
        .collect::<Result<_, _>>()
        .map_err(|error| Fault::internal("cannot write the corpus").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snapshot_is_split_by_document() {
        let corpus = Corpus::unpack().unwrap();
        let (train, held_out) = (bytes(&corpus.train), bytes(&corpus.held_out));
        assert!(train > 300_000 && held_out > 30_000, "{train} {held_out}");
        assert!(corpus.held_out.iter().all(|held| corpus.train.iter().all(|document| document.name != held.name)));
    }

    #[test]
    fn the_files_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let corpus = Corpus::unpack().unwrap();
        let (_, held_out) = corpus.write(folder.path()).unwrap();
        let text = std::fs::read_to_string(held_out).unwrap();
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["text"].as_str(), Some(corpus.held_out[0].text.as_str()));
    }
}
