//! Folders of text for tests.

use std::io::Write;
use std::path::PathBuf;

use percept_fault::Fault;
use tempfile::TempDir;

use crate::{Corpus, DataConfig, Progress, Tokenizer};

/// A folder with texts and a cache of its own.
pub(crate) struct Folder {
    folder: TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A folder that holds these files.
    pub(crate) fn with(files: &[(&str, &[u8])]) -> Self {
        let folder = Self::new();
        for (name, content) in files {
            folder.write(name, content);
        }
        folder
    }

    /// Writes a file under `texts/`, an hour ago by its time stamp, so that the cache index trusts it.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> String {
        let path = self.folder.path().join("texts").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(content).unwrap();
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(3600)).unwrap();
        path.display().to_string()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join("texts").join(name).display().to_string()
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// The configuration of all files in the folder.
    pub(crate) fn config(&self) -> DataConfig {
        self.config_of(&[""])
    }

    /// The configuration of some paths in the folder.
    pub(crate) fn config_of(&self, names: &[&str]) -> DataConfig {
        let paths = names.iter().map(|name| self.path(name));
        DataConfig { cache: Some(self.cache()), ..DataConfig::from_paths(paths) }
    }
}

/// The corpus of a configuration, and the notes on the way.
pub(crate) fn corpus(config: &DataConfig, tokenizer: &Tokenizer) -> Result<(Corpus, Vec<String>), Fault> {
    let mut notes = Vec::new();
    let corpus = Corpus::open(config, tokenizer, &mut |progress| {
        if let Progress::Note(note) | Progress::Warning(note) = progress {
            notes.push(note);
        }
    })?;
    Ok((corpus, notes))
}

/// Text of every document, decoded.
pub(crate) fn texts(corpus: &Corpus, tokenizer: &Tokenizer) -> Vec<String> {
    let text = |index| String::from_utf8(tokenizer.decode(&corpus.document(index).tokens.to_vec())).unwrap();
    (0..corpus.documents()).map(text).collect()
}

/// Message and hint of a fault.
pub(crate) fn words(fault: Fault) -> String {
    format!("{fault} ({})", fault.hint_text().unwrap_or("no hint"))
}

/// Makes a named pipe.
#[cfg(unix)]
pub(crate) fn pipe(path: &str) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}
