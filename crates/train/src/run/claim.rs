//! A folder on its way to become a run.
//!
//! The order matters. First comes the marker, so that nothing of a run is ever taken for text where the run lies among its text; then the
//! text is listed and read; only then is the folder locked and filled.

use std::fs;

use percept_data::{Made, Marked, mark_folder};
use percept_fault::{IoContext, Result};

use crate::run::lock::{self, Lock};
use crate::run::run_folder::RunFolder;

/// A marked folder that holds no run yet.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    folder: &'a RunFolder,
    marked: Marked,
}

impl<'a> Claim<'a> {
    /// Makes and marks the folder.
    ///
    /// # Errors
    /// Usage: it holds a run. Environment: another process trains there, or it cannot be written.
    pub(crate) fn stake(folder: &'a RunFolder) -> Result<Self> {
        folder.check_free()?;
        lock::check(&folder.lock_path())?;
        Ok(Self { marked: mark_folder(folder.path(), Made::Run)?, folder })
    }

    /// Takes the lock, now that the text is read.
    ///
    /// # Errors
    /// As [`Claim::stake`]: another process may have been faster.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let samples = self.folder.samples_path();
        fs::create_dir_all(&samples).at("make", &samples)?;
        let lock = Lock::acquire(&self.folder.lock_path())?;
        self.folder.check_free()?;
        Ok(lock)
    }

    /// Nothing was trained: leaves no folder behind that only looks like a run.
    pub(crate) fn give_up(self) -> Result<()> {
        let lock_path = self.folder.lock_path();
        let Ok(_lock) = Lock::acquire(&lock_path) else {
            // It has become the run of another process.
            return Ok(());
        };
        if self.marked.is_new {
            return percept_files::remove_folder(self.folder.path());
        }
        // Only where it is empty; that it stays does no harm.
        let _ = fs::remove_dir(self.folder.samples_path());
        percept_files::remove_file(&lock_path)?;
        self.marked.unmark()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::{Event, Override, Sources, resolve, train};

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_folder_that_becomes_no_run_is_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let new = RunFolder::new(root.path().join("new"));
        let claim = Claim::stake(&new).unwrap();
        drop(claim.lock().unwrap());
        claim.give_up().unwrap();
        assert_eq!(names(root.path()), [""; 0]);
        fs::write(root.path().join("a.txt"), "a").unwrap();
        let old = RunFolder::new(root.path());
        let claim = Claim::stake(&old).unwrap();
        drop(claim.lock().unwrap());
        claim.give_up().unwrap();
        assert_eq!(names(root.path()), ["a.txt"]);
    }

    #[test]
    fn a_folder_that_another_process_took_stays() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(root.path().join("run"));
        let claim = Claim::stake(&folder).unwrap();
        let _other = Claim::stake(&folder).unwrap().lock().unwrap();
        assert!(Claim::stake(&folder).unwrap_err().is_environment());
        assert!(claim.lock().unwrap_err().is_environment());
        claim.give_up().unwrap();
        assert!(folder.lock_path().exists() && folder.path().join(".percept").exists());
    }

    #[test]
    fn text_is_read_in_a_marked_folder_before_the_lock_is_taken() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a.txt"), "some words of text\n".repeat(50)).unwrap();
        let text = root.path().display().to_string();
        let mut overrides = vec![Override::flag("--data", "data.sources", vec![text])];
        let cache = format!("data.cache=\"{}\"", root.path().join(".cache").display());
        for set in ["model.dim=16", "model.depth=1", "model.heads=2", "model.context=32", "model.segment=8"]
            .into_iter()
            .chain(["train.steps=1", "train.batch=1", "train.device=cpu", "sample.tokens=0", &cache])
        {
            overrides.push(Override::set(set).unwrap());
        }
        let config = resolve(&Sources { preset: Some("llp-tiny".into()), file: None, overrides }).unwrap();
        let run = root.path().join("run");
        let mut read = 0;
        let mut observer = |event: Event| {
            if let Event::Data(_) = event {
                read += 1;
                assert_eq!(names(&run), [".percept"]);
            }
        };
        train(&config, &run, &AtomicBool::new(false), &mut observer).unwrap();
        assert!(read > 0);
    }
}
