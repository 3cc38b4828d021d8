//! States that are kept: their tensors in files, what is known of them in a database.
//!
//! A file is written under a temporary name, synced and renamed before its row is inserted, and goes before its row: on a full disk a row
//! may need the room. A process that is killed leaves at most a file without a row or a row without a file, which the next start removes.

mod database;
mod folder;
mod id;
#[cfg(test)]
mod tests;
mod types;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use percept_fault::{Fault, IoContext};
use tempfile::TempDir;

pub(crate) use database::{Listing, Record};
pub(crate) use id::StateId;
pub(crate) use types::{
    DeletedState, LONGEST_NAME, ListStates, MOST_LISTED, MakeState, NamedState, State, StateList, UploadState,
};

use crate::config::Limits;
use crate::metrics::StateNumbers;
use database::Database;

/// Why a state can't be had or kept.
#[derive(Debug)]
pub(crate) enum StateError {
    /// There is none of that id for this owner.
    Unknown,
    /// It does not fit: into what may be kept, or on the disk.
    NoRoom(String),
    /// The disk, or a bug.
    Fault(Fault),
}

type Result<T> = std::result::Result<T, StateError>;

impl From<Fault> for StateError {
    fn from(fault: Fault) -> Self {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let cause = std::error::Error::source(&fault).and_then(|cause| cause.downcast_ref::<std::io::Error>());
        match cause.map(std::io::Error::kind) {
            Some(StorageFull | QuotaExceeded | FileTooLarge) => {
                Self::NoRoom("the disk of the server is full".to_owned())
            }
            _ => Self::Fault(fault),
        }
    }
}

impl From<rusqlite::Error> for StateError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::SystemIoFailure) => {
                Self::NoRoom("the disk of the server is full, or fails".to_owned())
            }
            _ => Self::Fault(Fault::internal("the database of states").because(error)),
        }
    }
}

/// What a new state is.
#[derive(Debug, Clone)]
pub(crate) struct NewState {
    pub(crate) owner: String,
    pub(crate) fingerprint: String,
    pub(crate) model: String,
    pub(crate) name: Option<String>,
    pub(crate) pinned: bool,
    pub(crate) position: usize,
    pub(crate) drawn: u64,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    /// Bytes of files that are being written, by their owners.
    reserved: BTreeMap<String, u64>,
}

impl Inner {
    /// Bytes of files of an owner, or of all, that are being written.
    fn reserved(&self, owner: Option<&str>) -> u64 {
        match owner {
            Some(owner) => self.reserved.get(owner).copied().unwrap_or(0),
            None => self.reserved.values().sum(),
        }
    }
}

/// The states of a server.
#[derive(Debug)]
pub(crate) struct States {
    folder: PathBuf,
    most_bytes: u64,
    most_bytes_each: Option<u64>,
    time_to_live: Option<Duration>,
    /// [`percept_files::write_file`], but in tests of full disks.
    write: fn(&Path, &[u8]) -> percept_fault::Result<()>,
    inner: Mutex<Inner>,
    pub(crate) numbers: StateNumbers,
    /// Where no folder was named: removed with the server.
    _temporary: Option<TempDir>,
}

impl States {
    /// Opens the states in `folder`, or in a temporary one, and removes what a killed process left behind.
    ///
    /// # Errors
    /// Usage: the folder is another server's, or holds other things; environment: it can't be written.
    pub(crate) fn open(folder: Option<&Path>, limits: &Limits) -> percept_fault::Result<Self> {
        let temporary = match folder {
            Some(_) => None,
            None => Some(tempfile::tempdir().at("make", std::env::temp_dir())?),
        };
        let folder = folder.or(temporary.as_ref().map(TempDir::path)).unwrap_or(Path::new(".")).to_owned();
        let database = folder::open(&folder)?;
        let states = Self {
            folder,
            _temporary: temporary,
            most_bytes: limits.states_bytes,
            most_bytes_each: limits.states_bytes_each,
            time_to_live: limits.states_ttl,
            write: percept_files::write_file,
            inner: Mutex::new(Inner { database, reserved: BTreeMap::new() }),
            numbers: StateNumbers::default(),
        };
        states.count(&states.lock()).map_err(|error| match error {
            StateError::Fault(fault) => fault,
            StateError::Unknown | StateError::NoRoom(_) => Fault::environment("the disk of the states fails"),
        })?;
        Ok(states)
    }

    /// No panic can leave it half changed.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, id: &StateId) -> PathBuf {
        self.folder.join(id.file())
    }

    /// Keeps a state: `file` is its file. Others that were not used for longer make place for it, unless they are pinned.
    pub(crate) fn insert(&self, new: NewState, file: &[u8], now: Duration) -> Result<Record> {
        let bytes = file.len() as u64;
        let id = {
            let mut inner = self.lock();
            self.expire(&inner, now)?;
            self.make_room(&inner, &new.owner, bytes)?;
            let id = inner.database.new_id()?;
            *inner.reserved.entry(new.owner.clone()).or_default() += bytes;
            id
        };
        let path = self.path(&id);
        let written = (self.write)(&path, file);
        let mut inner = self.lock();
        if let Some(reserved) = inner.reserved.get_mut(&new.owner) {
            *reserved -= bytes;
        }
        inner.reserved.retain(|_, bytes| *bytes > 0);
        written?;
        let NewState { owner, fingerprint, model, name, pinned, position, drawn } = new;
        let name = name.filter(|name| !name.is_empty());
        let (created, used) = (now, now);
        let record = Record { id, owner, fingerprint, model, name, position, drawn, bytes, created, used, pinned };
        if let Err(error) = inner.database.insert(&record) {
            percept_files::remove_file(&path)?;
            return Err(error.into());
        }
        self.count(&inner)?;
        Ok(record)
    }

    pub(crate) fn get(&self, id: &StateId, owner: &str, now: Duration) -> Result<Record> {
        let inner = self.lock();
        self.expire(&inner, now)?;
        inner.database.get(id, owner)?.ok_or(StateError::Unknown)
    }

    /// A state that is used now, and its file.
    pub(crate) fn open_file(&self, id: &StateId, owner: &str, now: Duration) -> Result<(Record, File)> {
        let inner = self.lock();
        self.expire(&inner, now)?;
        let mut record = inner.database.get(id, owner)?.ok_or(StateError::Unknown)?;
        let path = self.path(id);
        let file = match File::open(&path) {
            // It was removed, and the disk too full to say so.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(StateError::Unknown),
            file => file.at("read", &path)?,
        };
        record.used = now;
        // Where the disk is full it only goes earlier.
        let _ = inner.database.update(&record);
        Ok((record, file))
    }

    /// As [`States::open_file`], with what is in the file.
    pub(crate) fn load(&self, id: &StateId, owner: &str, now: Duration) -> Result<(Record, Vec<u8>)> {
        let (record, mut file) = self.open_file(id, owner, now)?;
        let mut bytes = Vec::with_capacity(record.bytes as usize);
        std::io::Read::read_to_end(&mut file, &mut bytes).at("read", self.path(id))?;
        Ok((record, bytes))
    }

    /// Those of a listing, the newest first, and whether there are more.
    pub(crate) fn list(&self, listing: Listing, now: Duration) -> Result<(Vec<Record>, bool)> {
        let inner = self.lock();
        self.expire(&inner, now)?;
        if let Some(after) = &listing.after {
            inner.database.get(after, &listing.owner)?.ok_or(StateError::Unknown)?;
        }
        let limit = listing.limit;
        let mut records = inner.database.list(&Listing { limit: limit + 1, ..listing })?;
        let more = records.len() > limit;
        records.truncate(limit);
        Ok((records, more))
    }

    /// Names or pins a state; what is `None` stays.
    pub(crate) fn change(&self, id: &StateId, owner: &str, change: NamedState, now: Duration) -> Result<Record> {
        let inner = self.lock();
        self.expire(&inner, now)?;
        let mut record = inner.database.get(id, owner)?.ok_or(StateError::Unknown)?;
        if let Some(name) = change.name {
            record.name = Some(name).filter(|name| !name.is_empty());
        }
        if let Some(pinned) = change.pinned {
            record.pinned = pinned;
        }
        record.used = now;
        inner.database.update(&record)?;
        Ok(record)
    }

    /// A second state with the same content.
    pub(crate) fn fork(&self, id: &StateId, owner: &str, named: NamedState, now: Duration) -> Result<Record> {
        let (record, file) = self.load(id, owner, now)?;
        let Record { owner, fingerprint, model, position, drawn, .. } = record;
        let pinned = named.pinned == Some(true);
        self.insert(NewState { owner, fingerprint, model, name: named.name, pinned, position, drawn }, &file, now)
    }

    pub(crate) fn delete(&self, id: &StateId, owner: &str, now: Duration) -> Result<()> {
        let inner = self.lock();
        self.expire(&inner, now)?;
        let record = inner.database.get(id, owner)?.ok_or(StateError::Unknown)?;
        self.remove(&inner, &record)
    }

    /// When a state goes if nobody uses it.
    pub(crate) fn expires(&self, record: &Record) -> Option<Duration> {
        self.time_to_live.filter(|_| !record.pinned).map(|time| record.used + time)
    }

    fn expire(&self, inner: &Inner, now: Duration) -> Result<()> {
        while let Some(record) = self.time_to_live.and(inner.database.first_to_go(None)?)
            && self.expires(&record).is_some_and(|end| end <= now)
        {
            self.remove(inner, &record)?;
            self.numbers.expired.add(1);
        }
        Ok(())
    }

    /// Removes what was not used for longest, first of the owner's and then of all, until there is room for `bytes`; nothing where there
    /// can't be.
    fn make_room(&self, inner: &Inner, owner: &str, bytes: u64) -> Result<()> {
        let of_all = (None, self.most_bytes, "");
        let of_owner = self.most_bytes_each.map(|most| (Some(owner), most, " of each client"));
        let limits = || of_owner.into_iter().chain([of_all]);
        for (owner, most, whose) in limits() {
            if inner.database.pinned_bytes(owner)? + inner.reserved(owner) + bytes > most {
                let beside = format!("a state of {bytes} bytes does not fit beside those that are pinned");
                return Err(StateError::NoRoom(format!("{beside}: {most} bytes{whose} are kept")));
            }
        }
        for (owner, most, _) in limits() {
            while inner.database.size(owner)?.1 + inner.reserved(owner) + bytes > most
                && let Some(record) = inner.database.first_to_go(owner)?
            {
                self.remove(inner, &record)?;
                self.numbers.evicted.add(1);
            }
        }
        Ok(())
    }

    fn remove(&self, inner: &Inner, record: &Record) -> Result<()> {
        percept_files::remove_file(&self.path(&record.id))?;
        inner.database.delete(&record.id)?;
        self.count(inner)
    }

    fn count(&self, inner: &Inner) -> Result<()> {
        let (states, bytes) = inner.database.size(None)?;
        self.numbers.states.set(states);
        self.numbers.bytes.set(bytes);
        Ok(())
    }
}
