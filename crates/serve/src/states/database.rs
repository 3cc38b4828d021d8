//! What is known of the states: a table of SQLite.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::StateId;

/// Raised when the table changes.
const VERSION: i64 = 1;
const TABLE: &str = "
    CREATE TABLE states (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        model TEXT NOT NULL,
        name TEXT,
        position INTEGER NOT NULL,
        drawn INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        created INTEGER NOT NULL,
        used INTEGER NOT NULL,
        pinned INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX by_owner ON states (owner, number);
    CREATE INDEX by_use ON states (pinned, used);
    PRAGMA user_version = 1;";

/// A row of the table. Times are since 1970; the database has them in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) id: StateId,
    /// Who may see it.
    pub(crate) owner: String,
    /// The model's fingerprint.
    pub(crate) fingerprint: String,
    /// What the model was called.
    pub(crate) model: String,
    pub(crate) name: Option<String>,
    /// Tokens read.
    pub(crate) position: usize,
    /// Tokens that were drawn on the way here.
    pub(crate) drawn: u64,
    /// Of its file.
    pub(crate) bytes: u64,
    pub(crate) created: Duration,
    pub(crate) used: Duration,
    pub(crate) pinned: bool,
}

impl Record {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let number = |name: &str| -> rusqlite::Result<u64> {
            let number: i64 = row.get(name)?;
            u64::try_from(number)
                .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, error.into()))
        };
        Ok(Self {
            id: row.get("id")?,
            owner: row.get("owner")?,
            fingerprint: row.get("fingerprint")?,
            model: row.get("model")?,
            name: row.get("name")?,
            position: number("position")? as usize,
            drawn: number("drawn")?,
            bytes: number("bytes")?,
            created: Duration::from_millis(number("created")?),
            used: Duration::from_millis(number("used")?),
            pinned: row.get("pinned")?,
        })
    }
}

/// Which states are listed.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) owner: String,
    /// Of the model with this fingerprint.
    pub(crate) fingerprint: Option<String>,
    /// Older than this one.
    pub(crate) after: Option<StateId>,
    pub(crate) limit: usize,
}

/// The database.
#[derive(Debug)]
pub(super) struct Database(Connection);

impl Database {
    /// Opens it, for this process alone.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        // A row that was answered for is on the disk. The lock is taken at once and kept.
        connection
            .execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
        connection.execute_batch("BEGIN EXCLUSIVE; COMMIT;")?;
        match connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))? {
            0 => connection.execute_batch(&format!("BEGIN; {TABLE} COMMIT;"))?,
            VERSION => {}
            other => return Err(rusqlite::Error::IntegralValueOutOfRange(0, other)),
        }
        Ok(Self(connection))
    }

    /// A new id.
    pub(super) fn new_id(&self) -> rusqlite::Result<StateId> {
        let random = self.0.query_row("SELECT randomblob(?1)", [StateId::BYTES as i64], |row| row.get(0))?;
        Ok(StateId::of_random(random))
    }

    pub(super) fn insert(&self, record: &Record) -> rusqlite::Result<()> {
        let mut insert = self.0.prepare(
            "INSERT INTO states (id, owner, fingerprint, model, name, position, drawn, bytes, created, used, pinned)
             VALUES (:id, :owner, :fingerprint, :model, :name, :position, :drawn, :bytes, :created, :used, :pinned)",
        )?;
        insert.execute(named_params! {
            ":id": record.id, ":owner": record.owner, ":fingerprint": record.fingerprint, ":model": record.model,
            ":name": record.name, ":position": record.position as i64, ":drawn": record.drawn as i64,
            ":bytes": record.bytes as i64, ":created": milliseconds(record.created), ":used": milliseconds(record.used),
            ":pinned": record.pinned,
        })?;
        Ok(())
    }

    /// The state of that id, where it is this owner's.
    pub(super) fn get(&self, id: &StateId, owner: &str) -> rusqlite::Result<Option<Record>> {
        let query = "SELECT * FROM states WHERE id = ?1 AND owner = ?2";
        self.0.query_row(query, (id, owner), Record::of).optional()
    }

    /// The newest first.
    pub(super) fn list(&self, listing: &Listing) -> rusqlite::Result<Vec<Record>> {
        let mut query = self.0.prepare(
            "SELECT * FROM states WHERE owner = :owner AND (:fingerprint IS NULL OR fingerprint = :fingerprint)
             AND (:after IS NULL OR number < (SELECT number FROM states WHERE id = :after))
             ORDER BY number DESC LIMIT :limit",
        )?;
        let rows = query.query_map(
            named_params! {
                ":owner": listing.owner, ":fingerprint": listing.fingerprint, ":after": listing.after,
                ":limit": listing.limit as i64,
            },
            Record::of,
        )?;
        rows.collect()
    }

    /// All of them, the one that was used longest ago first.
    pub(super) fn all(&self) -> rusqlite::Result<Vec<Record>> {
        let mut query = self.0.prepare("SELECT * FROM states ORDER BY used, number")?;
        let rows = query.query_map([], Record::of)?;
        rows.collect()
    }

    /// The first of those of an owner, or of all, that are not pinned, by their last use.
    pub(super) fn first_to_go(&self, owner: Option<&str>) -> rusqlite::Result<Option<Record>> {
        let query =
            "SELECT * FROM states WHERE NOT pinned AND (?1 IS NULL OR owner = ?1) ORDER BY used, number LIMIT 1";
        self.0.query_row(query, [owner], Record::of).optional()
    }

    /// Number of states of an owner, or of all, and their bytes.
    pub(super) fn size(&self, owner: Option<&str>) -> rusqlite::Result<(u64, u64)> {
        let query = "SELECT count(*), coalesce(sum(bytes), 0) FROM states WHERE ?1 IS NULL OR owner = ?1";
        self.0.query_row(query, [owner], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)))
    }

    /// Bytes of those of an owner, or of all, that are pinned.
    pub(super) fn pinned_bytes(&self, owner: Option<&str>) -> rusqlite::Result<u64> {
        let query = "SELECT coalesce(sum(bytes), 0) FROM states WHERE pinned AND (?1 IS NULL OR owner = ?1)";
        self.0.query_row(query, [owner], |row| Ok(row.get::<_, i64>(0)? as u64))
    }

    /// Sets what can change of a state.
    pub(super) fn update(&self, record: &Record) -> rusqlite::Result<()> {
        let query = "UPDATE states SET name = ?2, pinned = ?3, used = ?4 WHERE id = ?1";
        self.0.execute(query, (&record.id, &record.name, record.pinned, milliseconds(record.used)))?;
        Ok(())
    }

    pub(super) fn delete(&self, id: &StateId) -> rusqlite::Result<()> {
        self.0.execute("DELETE FROM states WHERE id = ?1", [id])?;
        Ok(())
    }
}

#[cfg(test)]
impl Database {
    /// `max_page_count = 1`: it grows no more; `query_only = ON`: it changes no more.
    pub(super) fn set(&self, pragma: &str) -> rusqlite::Result<()> {
        self.0.execute_batch(&format!("PRAGMA {pragma};"))
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
