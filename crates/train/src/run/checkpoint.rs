//! The folder `checkpoints/`: each `step-000500` in it is complete or absent.
//!
//! Knows files and their marks, not what is in them.

use std::fs;
use std::path::{Path, PathBuf};

use percept_fault::{IoContext, Result};

use crate::run::progress::{FileMark, Progress, Used};
use percept_files::{ASIDE, TEMPORARY};

/// The checkpoints of a run.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    folder: PathBuf,
}

/// A checkpoint whose files are all as they were written.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoint {
    pub(crate) path: PathBuf,
    pub(crate) progress: Progress,
}

/// A checkpoint that can't be used, and why.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) path: PathBuf,
    pub(crate) reason: String,
}

impl Checkpoints {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Makes the folder, and removes what a killed process left half written; a checkpoint that had stepped aside for its
    /// replacement comes back. Only for the holder of the run's lock.
    pub(crate) fn prepare(&self) -> Result<()> {
        fs::create_dir_all(&self.folder).at("make", &self.folder)?;
        for name in self.names()? {
            if let Some(old) = name.strip_prefix(ASIDE).map(|name| self.folder.join(name)).filter(|path| !path.exists())
            {
                fs::rename(self.folder.join(&name), &old).at("restore", &old)?;
                continue;
            }
            if name.starts_with(TEMPORARY) {
                percept_files::remove_folder(&self.folder.join(name))?;
            }
        }
        Ok(())
    }

    /// Where the checkpoint of a step is.
    pub(crate) fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step:06}"))
    }

    /// Saves a checkpoint: `write` puts its files into the folder that it is given.
    ///
    /// Until the last rename nothing bears the checkpoint's name; a failure leaves no trace.
    pub(crate) fn save(&self, progress: &mut Progress, write: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let path = self.path(progress.step);
        let staging = percept_files::temporary_beside(&path)?;
        percept_files::remove_folder(&staging)?;
        let saved = stage(&staging, progress, write).and_then(|()| percept_files::replace_folder(&staging, &path));
        if let Err(fault) = saved {
            let _ = fs::remove_dir_all(&staging);
            return Err(fault);
        }
        Ok(path)
    }

    /// Steps that have a checkpoint, whole or broken, in rising order.
    pub(crate) fn steps(&self) -> Result<Vec<u64>> {
        let names = self.names()?;
        let mut steps: Vec<u64> = names.iter().filter_map(|name| name.strip_prefix("step-")?.parse().ok()).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// The newest checkpoint that is whole, as far as it is used, and the newer ones that are not.
    pub(crate) fn newest(&self, used: Used) -> Result<(Option<Checkpoint>, Vec<Broken>)> {
        let mut broken = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            let path = self.path(step);
            match Progress::verify(&path, used) {
                Ok(progress) => return Ok((Some(Checkpoint { path, progress }), broken)),
                Err(fault) => broken.push(Broken { path, reason: fault.to_string() }),
            }
        }
        Ok((None, broken))
    }

    /// Removes all but the last `keep` checkpoints and the best one.
    pub(crate) fn prune(&self, keep: usize, best: Option<u64>) -> Result<()> {
        let steps = self.steps()?;
        for &step in &steps[..steps.len().saturating_sub(keep)] {
            if Some(step) != best {
                percept_files::remove_folder(&self.path(step))?;
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>> {
        if !self.folder.exists() {
            return Ok(Vec::new());
        }
        let entries = fs::read_dir(&self.folder).at("read", &self.folder)?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect::<std::io::Result<_>>().at("read", &self.folder)
    }
}

impl Broken {
    /// Moves broken checkpoints out of the way of a run that goes on from `step`; what to tell.
    pub(crate) fn set_all_aside(broken: &[Self], step: u64) -> Result<Vec<String>> {
        let told = |broken: &Self| {
            broken.set_aside()?;
            Ok(format!("broken checkpoint set aside, going on from step {step}: {}", broken.reason))
        };
        broken.iter().map(told).collect()
    }

    /// Moves the checkpoint out of the way of the next one, without losing it.
    fn set_aside(&self) -> Result<()> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let names =
            (1..).map(|count| if count == 1 { format!("broken-{name}") } else { format!("broken-{name}-{count}") });
        let mut free = names.map(|name| self.path.with_file_name(name)).filter(|path| !path.exists());
        let aside = free.next().unwrap_or_default();
        fs::rename(&self.path, &aside).at("move", &self.path)
    }
}

/// Writes the files, forces them to the disk and marks them.
fn stage(staging: &Path, progress: &mut Progress, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    fs::create_dir_all(staging).at("make", staging)?;
    write(staging)?;
    progress.files.clear();
    for entry in fs::read_dir(staging).at("read", staging)? {
        let path = entry.at("read", staging)?.path();
        percept_files::sync_file(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        progress.files.insert(name, FileMark::of(&path)?);
    }
    progress.write(staging)
}

#[cfg(test)]
mod tests {
    use percept_fault::Fault;

    use super::*;
    use crate::run::progress::{FORMAT, PROGRESS};

    fn progress(step: u64) -> Progress {
        Progress { step, ..crate::run::progress::tests::example() }
    }

    struct Run {
        _folder: tempfile::TempDir,
        checkpoints: Checkpoints,
    }

    impl Run {
        fn with_steps(steps: &[u64]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let checkpoints = Checkpoints::new(folder.path().join("checkpoints"));
            checkpoints.prepare().unwrap();
            let run = Self { _folder: folder, checkpoints };
            for &step in steps {
                run.save(step).unwrap();
            }
            run
        }

        fn save(&self, step: u64) -> Result<PathBuf> {
            self.checkpoints.save(&mut progress(step), |folder| {
                fs::write(folder.join("model"), format!("weights of step {step}")).at("write", folder)
            })
        }

        fn newest(&self) -> (Option<u64>, Vec<String>) {
            let (newest, broken) = self.checkpoints.newest(Used::Everything).unwrap();
            (newest.map(|checkpoint| checkpoint.progress.step), broken.into_iter().map(|b| b.reason).collect())
        }
    }

    #[test]
    fn what_is_saved_is_found_whole() {
        let run = Run::with_steps(&[5, 10]);
        assert_eq!(run.newest(), (Some(10), vec![]));
        assert_eq!(run.checkpoints.steps().unwrap(), [5, 10]);
        let found = Progress::verify(&run.checkpoints.path(10), Used::Everything).unwrap();
        assert_eq!((found.format, found.files.len()), (FORMAT, 1));
    }

    #[test]
    fn a_truncated_changed_or_missing_file_is_found_and_named() {
        type Damage = fn(&Path);
        let damages: [(Damage, &str); 5] = [
            (|folder| fs::write(folder.join("model"), "weights").unwrap(), "model has 7 bytes instead of 18"),
            (|folder| fs::write(folder.join("model"), "weights of step 11").unwrap(), "model has changed"),
            (|folder| fs::remove_file(folder.join("model")).unwrap(), "model"),
            (|folder| fs::remove_file(folder.join(PROGRESS)).unwrap(), PROGRESS),
            (
                |folder| {
                    let path = folder.join(PROGRESS);
                    let text = fs::read_to_string(&path).unwrap().replace("\"step\": 10", "\"step\": 12");
                    fs::write(path, text).unwrap();
                },
                "progress.json has changed",
            ),
        ];
        for (damage, reason) in damages {
            let run = Run::with_steps(&[5, 10]);
            damage(&run.checkpoints.path(10));
            let (newest, broken) = run.newest();
            assert_eq!(newest, Some(5));
            assert!(broken.len() == 1 && broken[0].contains(reason), "{broken:?} should contain {reason}");
        }
    }

    #[test]
    fn what_is_not_used_is_not_read_but_must_have_its_length() {
        let run = Run::with_steps(&[5]);
        let (file, verify) =
            (run.checkpoints.path(5).join("model"), |used| Progress::verify(&run.checkpoints.path(5), used));
        fs::write(&file, "Weights of step 5").unwrap();
        assert!(verify(Used::Only("model")).is_err() && verify(Used::Only("other")).is_ok());
        fs::write(&file, "weights").unwrap();
        assert!(verify(Used::Only("other")).unwrap_err().to_string().contains("7 bytes"));
    }

    #[test]
    fn a_save_that_was_killed_leaves_the_last_checkpoint_and_is_swept_up() {
        let run = Run::with_steps(&[5]);
        let staging = percept_files::temporary_beside(&run.checkpoints.path(10)).unwrap();
        fs::create_dir(&staging).unwrap();
        fs::write(staging.join("model"), "half").unwrap();
        assert_eq!(run.newest(), (Some(5), vec![]));
        run.checkpoints.prepare().unwrap();
        assert!(!staging.exists());
        run.save(10).unwrap();
        assert_eq!(run.newest(), (Some(10), vec![]));
    }

    #[test]
    fn a_checkpoint_whose_replacement_was_cut_short_comes_back() {
        let run = Run::with_steps(&[5]);
        let aside = run.checkpoints.folder.join(format!("{ASIDE}step-000005"));
        fs::rename(run.checkpoints.path(5), &aside).unwrap();
        run.checkpoints.prepare().unwrap();
        assert_eq!((run.newest(), aside.exists()), ((Some(5), vec![]), false));
        // Where the replacement is in its place, what stepped aside has no use.
        fs::create_dir(&aside).unwrap();
        run.checkpoints.prepare().unwrap();
        assert_eq!(run.checkpoints.names().unwrap(), ["step-000005"]);
    }

    #[test]
    fn a_save_that_fails_leaves_no_trace() {
        let run = Run::with_steps(&[5]);
        let failed = run.checkpoints.save(&mut progress(10), |folder| {
            fs::write(folder.join("model"), "half").unwrap();
            Err(Fault::environment("no space left"))
        });
        assert!(failed.unwrap_err().is_environment());
        assert_eq!(run.checkpoints.names().unwrap(), ["step-000005"]);
    }

    #[test]
    fn a_checkpoint_replaces_one_of_the_same_step() {
        let run = Run::with_steps(&[5]);
        fs::write(run.checkpoints.path(5).join("model"), "rubbish").unwrap();
        run.save(5).unwrap();
        assert_eq!(run.newest(), (Some(5), vec![]));
        assert_eq!(run.checkpoints.names().unwrap(), ["step-000005"]);
    }

    #[test]
    fn the_last_ones_and_the_best_stay() {
        let run = Run::with_steps(&[1, 2, 3, 4, 5]);
        run.checkpoints.prune(2, Some(2)).unwrap();
        assert_eq!(run.checkpoints.steps().unwrap(), [2, 4, 5]);
    }

    #[test]
    fn a_broken_one_set_aside_counts_no_more_but_is_not_lost() {
        let run = Run::with_steps(&[5, 10]);
        fs::remove_file(run.checkpoints.path(10).join("model")).unwrap();
        let (_, broken) = run.checkpoints.newest(Used::Everything).unwrap();
        broken[0].set_aside().unwrap();
        assert_eq!(run.checkpoints.steps().unwrap(), [5]);
        assert!(run.checkpoints.names().unwrap().contains(&"broken-step-000010".to_owned()));
        // Nor is one that was set aside before.
        run.save(10).unwrap();
        fs::remove_file(run.checkpoints.path(10).join("model")).unwrap();
        run.checkpoints.newest(Used::Everything).unwrap().1[0].set_aside().unwrap();
        let mut names = run.checkpoints.names().unwrap();
        names.sort();
        assert_eq!(names, ["broken-step-000010", "broken-step-000010-2", "step-000005"]);
    }
}
