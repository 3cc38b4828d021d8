//! One process per run folder.
//!
//! The operating system holds the lock and drops it with the process, however it dies: the file of
//! a dead process locks nothing. The file's text only serves the error message.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use percept_fault::{Fault, IoContext, Result};

/// The right to write to a run folder; given up when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock `path`, or says which process holds it.
    pub(crate) fn acquire(path: &Path) -> Result<Self> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).at("open", path)?;
        match patiently(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut file)),
            // A file system without locks: going on is better than refusing to train there.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error).at("lock", path),
        }
        file.set_len(0).at("write", path)?;
        file.seek(SeekFrom::Start(0)).at("write", path)?;
        file.write_all(format!("(process {})\n", std::process::id()).as_bytes()).at("write", path)?;
        Ok(Self { _file: file })
    }
}

/// # Errors
/// As [`Lock::acquire`], where a process holds the lock now. Takes and makes nothing.
pub(crate) fn check(path: &Path) -> Result<()> {
    match File::open(path) {
        Ok(mut file) if is_held(path) => Err(in_use(path, &mut file)),
        _ => Ok(()),
    }
}

fn in_use(path: &Path, file: &mut File) -> Fault {
    let mut holder = String::new();
    // On Windows a locked file can't be read: the message then goes without the number.
    let _ = file.read_to_string(&mut holder);
    let folder = path.parent().unwrap_or(path).display();
    Fault::environment(format!("{folder} is in use by another process {}", holder.trim()))
        .hint("wait until it ends, or train into another run folder")
}

/// Takes the lock, also where somebody looks at it just now ([`is_held`]): a look is over in a moment.
fn patiently(file: &File) -> Result<(), TryLockError> {
    const LOOKS: usize = 10;
    const LOOK: Duration = Duration::from_millis(10);
    for _ in 0..LOOKS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            taken => return taken,
        }
    }
    file.try_lock()
}

/// Whether a process holds the lock `path`.
pub(crate) fn is_held(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::acquire(&path).unwrap();
        let fault = Lock::acquire(&path).unwrap_err();
        assert!(fault.is_environment(), "{fault}");
        assert!(fault.to_string().contains(&format!("(process {})", std::process::id())), "{fault}");
        assert!(is_held(&path));
        assert_eq!(check(&path).unwrap_err().to_string(), fault.to_string());
        drop(lock);
        check(&path).unwrap();
        check(&folder.path().join("none")).unwrap();
        assert!(!is_held(&path) && !is_held(&folder.path().join("none")));
        Lock::acquire(&path).unwrap();
    }

    #[test]
    fn the_file_of_a_dead_process_locks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::fs::write(&path, "(process 1)\n").unwrap();
        Lock::acquire(&path).unwrap();
    }
}
