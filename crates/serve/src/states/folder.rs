//! The folder in which states are kept.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use percept_data::{Made, mark_folder};
use percept_fault::{Fault, IoContext, Result};
use rusqlite::ErrorCode;

use super::StateId;
use super::database::Database;

/// Name of the database; SQLite puts others that begin so beside it.
const DATABASE: &str = "states.sqlite";

/// Opens the database of a folder, which is made where there is none, and removes files without a row and rows without a file.
pub(super) fn open(folder: &Path) -> Result<Database> {
    make(folder)?;
    let is_new = !folder.join(DATABASE).exists();
    if is_new && holds_anything(folder)? {
        return Err(Fault::usage(format!("{} holds other things than states", folder.display()))
            .hint("name a new folder, or an empty one"));
    }
    mark_folder(folder, Made::States)?;
    let database = Database::open(&folder.join(DATABASE)).map_err(|error| fault(folder, error))?;
    tidy(folder, &database)?;
    Ok(database)
}

/// States tell what was written: the folder is for its owner alone.
fn make(folder: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).at("make", folder)
}

/// Whether there is more in it than our mark.
fn holds_anything(folder: &Path) -> Result<bool> {
    let mut entries = fs::read_dir(folder).at("read", folder)?;
    Ok(entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != ".percept")))
}

fn tidy(folder: &Path, database: &Database) -> Result<()> {
    let mut known = HashSet::new();
    for record in database.all().map_err(|error| fault(folder, error))? {
        let whole = fs::metadata(folder.join(record.id.file())).is_ok_and(|file| file.len() == record.bytes);
        match whole {
            true => drop(known.insert(record.id)),
            false => database.delete(&record.id).map_err(|error| fault(folder, error))?,
        }
    }
    for entry in fs::read_dir(folder).at("read", folder)? {
        let path = entry.at("read", folder)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_left = match StateId::of_file(name) {
            Some(id) => !known.contains(&id),
            None => name.starts_with(percept_files::TEMPORARY) && name.ends_with(percept_files::PARTIAL),
        };
        if is_left {
            percept_files::remove_file(&path)?;
        }
    }
    Ok(())
}

fn fault(folder: &Path, error: rusqlite::Error) -> Fault {
    let name = folder.display();
    match (&error, error.sqlite_error_code()) {
        (_, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => {
            Fault::environment(format!("another server keeps its states in {name}"))
                .hint("give each server a folder of its own")
        }
        (rusqlite::Error::IntegralValueOutOfRange(_, version), _) => Fault::environment(format!(
            "the states in {name} are of version {version}, which this program does not know"
        ))
        .hint("use the program that wrote them, or another folder"),
        _ => Fault::environment(format!("cannot open the states in {name}"))
            .because(error)
            .hint("check the disk; another folder begins anew"),
    }
}
