//! The cache of measured speeds: a small file for each machine, number of threads and width.
//!
//! What cannot be read is measured again, and what cannot be written is measured the next time: neither is an error.

use std::path::PathBuf;

use percept_data::{DataConfig, folder_in_cache};
use percept_fault::{Fault, Result};
use percept_kernels::Product;
use percept_model::ops::Precision;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::processor;
use super::speeds::ProductSpeeds;

/// The folder in the cache.
const FOLDER: &str = "speeds";

/// What speeds depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    version: String,
    commit: Option<String>,
    /// What the system tells of the processor.
    processor: Vec<Option<String>>,
    /// The instructions of every format.
    instructions: Vec<String>,
    threads: usize,
    width: usize,
}

/// A file.
#[derive(Serialize, Deserialize)]
struct Entry {
    key: Key,
    speeds: ProductSpeeds,
}

impl Key {
    /// Of this program on this machine.
    pub(super) fn here(width: usize) -> Self {
        let lines = ["vendor_id", "cpu family", "model", "model name", "stepping", "microcode"];
        let formats = Precision::ALL.into_iter().filter(|format| format.is_supported());
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("PERCEPT_COMMIT").map(str::to_owned),
            processor: processor::told(lines).to_vec(),
            instructions: formats.map(|format| Product::of(format).instructions().to_owned()).collect(),
            threads: rayon::current_num_threads(),
            width,
        }
    }

    fn path(&self, data: &DataConfig) -> Result<PathBuf> {
        let digest = percept_files::hex(&Sha256::digest(json(self)?));
        Ok(folder_in_cache(data, FOLDER)?.join(format!("{}.json", &digest[..16])))
    }

    /// Whether these can be figures of what is measured here.
    fn fits(&self, speeds: &ProductSpeeds) -> bool {
        let is_speed = |speed: f64| speed.is_finite() && speed > 0.0;
        (speeds.width, speeds.threads) == (self.width, self.threads)
            && speeds.formats.iter().map(|format| &format.instructions).eq(&self.instructions)
            && speeds.formats.iter().all(|format| is_speed(format.gflop_per_s))
    }
}

/// What the cache holds, where it is whole.
pub(super) fn kept(data: &DataConfig, key: &Key) -> Option<ProductSpeeds> {
    let text = std::fs::read(key.path(data).ok()?).ok()?;
    let entry: Entry = serde_json::from_slice(&text).ok()?;
    (entry.key == *key && key.fits(&entry.speeds)).then_some(entry.speeds)
}

/// Writes speeds into the cache, where it can be written.
pub(super) fn keep(data: &DataConfig, key: &Key, speeds: &ProductSpeeds) {
    let entry = Entry { key: key.clone(), speeds: speeds.clone() };
    let written = key.path(data).and_then(|path| percept_files::write_file(&path, &json(&entry)?));
    // It is measured again next time.
    drop(written);
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|error| Fault::internal("cannot write speeds").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A cache, and speeds of this machine that nobody measured.
    fn place() -> (tempfile::TempDir, DataConfig, Key, ProductSpeeds) {
        let folder = tempfile::tempdir().unwrap();
        let data = DataConfig { cache: Some(folder.path().join("cache")), ..DataConfig::default() };
        let key = Key { instructions: vec!["avx512f".into(), "avx512bf16".into()], threads: 2, ..Key::here(256) };
        (folder, data, key, crate::machine::speeds::tests::speeds(500.0, 250.5))
    }

    #[test]
    fn what_is_kept_is_found_again_for_the_same_machine_alone() {
        let (_folder, data, key, speeds) = place();
        assert_eq!(kept(&data, &key), None);
        keep(&data, &key, &speeds);
        assert_eq!(kept(&data, &key), Some(speeds));
        let others = [
            Key { width: 512, ..key.clone() },
            Key { threads: 3, ..key.clone() },
            Key { version: "0.0.0".into(), ..key.clone() },
            Key { commit: Some("abc".into()), ..key.clone() },
            Key { processor: vec![Some("another".into())], ..key.clone() },
            Key { instructions: vec!["avx512f".into()], ..key.clone() },
        ];
        for other in others {
            assert_eq!(kept(&data, &other), None, "{other:?}");
        }
    }

    #[test]
    fn a_damaged_file_is_as_none() {
        let (_folder, data, key, speeds) = place();
        let path = key.path(&data).unwrap();
        let slower = |change: &dyn Fn(&mut ProductSpeeds)| {
            let mut speeds = speeds.clone();
            change(&mut speeds);
            json(&Entry { key: key.clone(), speeds }).unwrap()
        };
        let another = Entry { key: Key { width: 1, ..key.clone() }, speeds: speeds.clone() };
        let damaged = [
            b"".to_vec(),
            b"{\"key\": ".to_vec(),
            b"\xff\xfe".to_vec(),
            json(&another).unwrap(),
            slower(&|speeds| speeds.formats[1].gflop_per_s = 0.0),
            slower(&|speeds| speeds.formats[1].gflop_per_s = -5.0),
            slower(&|speeds| speeds.formats.truncate(1)),
            slower(&|speeds| speeds.width = 512),
        ];
        for text in damaged {
            fs::write(&path, &text).unwrap();
            assert_eq!(kept(&data, &key), None, "{}", String::from_utf8_lossy(&text));
        }
        keep(&data, &key, &speeds);
        assert_eq!(kept(&data, &key), Some(speeds));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn an_unwritable_cache_is_no_error() {
        let (folder, mut data, key, speeds) = place();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        data.cache = Some(file);
        keep(&data, &key, &speeds);
        assert_eq!(kept(&data, &key), None);
    }
}
