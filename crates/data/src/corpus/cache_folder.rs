//! Where token caches are.

use std::path::{Path, PathBuf};

use percept_fault::{Fault, IoContext, Result};

use crate::mark::{tag, tagged_folder};
use crate::{DataConfig, Progress, Watch};

/// The folder that `data.cache` names, else `percept` in the user's cache folder, else, where nothing can be written there, a
/// folder of the user's in the temporary folder.
///
/// # Errors
/// Nothing can be written in the two folders that nobody named. A folder that the user named is looked at when something is written.
pub(crate) fn cache_folder(config: &DataConfig, watch: &mut dyn Watch<'_>) -> Result<PathBuf> {
    if let Some(named) = &config.cache {
        return Ok(named.clone());
    }
    let (folder, instead) = (default_folder(), temporary_folder());
    let Err(fault) = ours(&folder) else { return Ok(folder) };
    ours(&instead).map_err(unwritable)?;
    let (cause, instead_of) = (fault, instead.display());
    watch.progress(Progress::Note(format!(
        "{cause}: tokens are kept in {instead_of} (data.cache chooses another folder)"
    )));
    Ok(instead)
}

/// The folder `name`, for what is no tokens, in the folder in which [`crate::DataConfig::cache`] keeps them; made, and tagged as a cache, where it
/// is new.
///
/// # Errors
/// An environment fault where nothing can be written there.
///
/// ```
/// use percept_data::{DataConfig, folder_in_cache};
/// # let folder = tempfile::tempdir().unwrap();
/// let config = DataConfig { cache: Some(folder.path().join("cache")), ..Default::default() };
/// assert_eq!(folder_in_cache(&config, "speeds")?, folder.path().join("cache/speeds"));
/// assert!(folder.path().join("cache/CACHEDIR.TAG").exists());
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn folder_in_cache(config: &DataConfig, name: &str) -> Result<PathBuf> {
    tagged_folder(&cache_folder(config, &mut |_| {})?, name)
}

/// A folder that nobody named: where it is new, it is tagged as a cache.
///
/// # Errors
/// An environment fault where nothing can be written in it.
fn ours(folder: &Path) -> Result<()> {
    let is_new = !folder.exists();
    writable(folder)?;
    if is_new { tag(folder) } else { Ok(()) }
}

/// # Errors
/// An environment fault where nothing can be written in `folder`.
pub(super) fn writable(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).at("create", folder)?;
    tempfile::tempfile_in(folder).at("write in", folder).map(|_| ())
}

/// The same fault, with what to do about it.
pub(super) fn unwritable(fault: Fault) -> Fault {
    fault.hint("it is the token cache: name a folder that you may write in data.cache")
}

/// `percept` in the user's cache folder, or in the temporary folder where there is none.
fn default_folder() -> PathBuf {
    let home = |rest: &str| from("HOME").map(|home| PathBuf::from(home).join(rest));
    let base = if cfg!(windows) {
        from("LOCALAPPDATA").map(PathBuf::from)
    } else if cfg!(target_os = "macos") {
        home("Library/Caches")
    } else {
        from("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| home(".cache"))
    };
    base.unwrap_or_else(std::env::temp_dir).join("percept")
}

/// A folder in the temporary folder that other users do not use.
fn temporary_folder() -> PathBuf {
    let user = from("USER").or_else(|| from("LOGNAME")).or_else(|| from("USERNAME"));
    let user = user.map(|user| format!("-{}", user.to_string_lossy().replace(['/', '\\'], "-")));
    std::env::temp_dir().join(format!("percept{}", user.unwrap_or_default()))
}

/// A variable of the environment that is not empty.
fn from(key: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(key).filter(|value| !value.is_empty())
}
