//! Finding, checking and naming token caches.
//!
//! A cache is named by the SHA-256 of the content of its inputs and of everything else its tokens depend on. So that a second
//! start need not read the inputs to know that name, an index remembers it for their paths, sizes and modification times.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percept_fault::{Fault, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::cache_folder::{unwritable, writable};
use super::format::Cache;
use super::{Recipe, build};
use crate::mark::tagged_folder;
use crate::progress::go_on;
use crate::source::{Input, InputKind, Stamp};
use crate::tokenizer::sha256_hex;
use crate::{Phase, Progress, Watch};
use percept_files::remove_abandoned;

/// A file changed less than this ago may change again without another time stamp, so the index does not trust it yet.
const SETTLED: Duration = Duration::from_secs(2);
/// Folders of a cache: token files, and what is remembered of inputs.
const TOKENS: &str = "tokens";
const INDEX: &str = "index";
/// Files above this size are hashed one by one, with progress; smaller ones at once.
const LARGE: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
}

/// The cache of `recipe`: found, or built.
pub(super) fn open(recipe: &Recipe<'_>, watch: &mut dyn Watch<'_>) -> Result<Cache> {
    let listed = listing_key("corpus", recipe);
    if let Some(Entry { key }) = remembered(recipe.cache, &listed)
        && let Some(cache) = load(recipe, &key, watch)
    {
        return Ok(cache);
    }
    let key = content_key(recipe, watch)?;
    if let Some(cache) = load(recipe, &key, watch) {
        remember(recipe, &listed, &Entry { key })?;
        return Ok(cache);
    }
    let path = path_of(recipe.cache, &key);
    tagged_folder(recipe.cache, TOKENS).map_err(unwritable)?;
    remove_abandoned(&path);
    writable(&folder_of_tokens(recipe.cache)).map_err(unwritable)?;
    build::build(recipe, &key, &path, watch)?;
    unchanged(recipe.inputs)?;
    let cache = Cache::open(&path, &key)
        .map_err(|damage| Fault::environment(format!("the new token cache {} is damaged: {damage}", path.display())))?;
    remember(recipe, &listed, &Entry { key })?;
    Ok(cache)
}

fn folder_of_tokens(folder: &Path) -> PathBuf {
    folder.join(TOKENS)
}

fn path_of(folder: &Path, key: &str) -> PathBuf {
    folder_of_tokens(folder).join(format!("{key}.tokens"))
}

/// The cache of that name, if it is there and whole.
fn load(recipe: &Recipe<'_>, key: &str, watch: &mut dyn Watch<'_>) -> Option<Cache> {
    let path = path_of(recipe.cache, key);
    if !path.exists() {
        return None;
    }
    match Cache::open(&path, key) {
        // Probe texts alone called it lossy: the text itself was never asked.
        Ok(cache) if !cache.meta.lossless && cache.meta.loss.is_none() => None,
        Ok(cache) => Some(cache),
        Err(damage) => {
            watch.progress(Progress::Note(format!(
                "the token cache {} is damaged ({damage}): tokenizing again",
                path.display()
            )));
            None
        }
    }
}

/// Hash of what the index goes by: paths, sizes and times, and everything that is not content.
pub(super) fn listing_key(purpose: &str, recipe: &Recipe<'_>) -> String {
    let mut hash = Sha256::new();
    hash.update(recipe.settings());
    for input in recipe.inputs {
        let place = match input.file() {
            Some(file) => std::fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone()),
            None => PathBuf::new(),
        };
        let stamp = input.file().map_or((0, 0), |file| (file.size, file.modified));
        let content = sha256_hex(&[place.as_os_str().as_encoded_bytes(), kind(input).as_bytes()]);
        hash.update(format!("{content} {stamp:?}\n"));
    }
    sha256_hex(&[purpose.as_bytes(), &hash.finalize()])
}

/// Hash of everything the tokens depend on.
///
/// # Errors
/// The work is to end.
fn content_key(recipe: &Recipe<'_>, watch: &mut dyn Watch<'_>) -> Result<String> {
    let total = recipe.bytes();
    let mut done = 0;
    let mut hash = Sha256::new();
    hash.update(recipe.settings());
    let mut rest = recipe.inputs;
    while !rest.is_empty() {
        // As many inputs as make up a large file, or one that is large itself.
        let mut size = 0;
        let count = rest.iter().take_while(|input| {
            size += input.file().map_or(0, |file| file.size);
            size <= LARGE
        });
        let (group, others) = rest.split_at(count.count().max(1));
        let contents: Vec<String> = match group {
            [one] => vec![hash_file(one, recipe.stop, &mut |read| {
                done += read;
                watch.progress(Progress::Working { phase: Phase::Hashing, done, total });
            })],
            many => many.par_iter().map(|input| hash_file(input, recipe.stop, &mut |_| {})).collect(),
        };
        go_on(recipe.stop)?;
        if group.len() > 1 {
            done += group.iter().filter_map(Input::file).map(|file| file.size).sum::<u64>();
            watch.progress(Progress::Working { phase: Phase::Hashing, done, total });
        }
        for (input, content) in group.iter().zip(contents) {
            hash.update(format!("{} {content}\n", sha256_hex(&[kind(input).as_bytes()])));
        }
        rest = others;
    }
    Ok(percept_files::hex(&hash.finalize()))
}

/// What an input is, apart from where it is and what it holds.
fn kind(input: &Input) -> String {
    match &input.kind {
        InputKind::File { file, reader } => reader.describe(file),
        InputKind::Synthetic(task) => task.key(),
        InputKind::Unreadable(cause) => format!("unreadable {cause}"),
    }
}

/// Hash of a file's content; of the cause where it cannot be read, so that the reader gets to report it. Of a part of it once the
/// work is to end.
fn hash_file(input: &Input, stop: &AtomicBool, read_so_far: &mut dyn FnMut(u64)) -> String {
    let Some(file) = input.file() else { return String::new() };
    let mut hash = Sha256::new();
    let mut hash_all = || -> std::io::Result<()> {
        let (mut file, mut buffer) = (File::open(&file.path)?, vec![0; 1 << 20]);
        while !stop.load(Ordering::Relaxed) {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                read => {
                    hash.update(&buffer[..read]);
                    read_so_far(read as u64);
                }
            }
        }
        Ok(())
    };
    match hash_all() {
        Ok(()) => percept_files::hex(&hash.finalize()),
        Err(error) => format!("unreadable: {error}"),
    }
}

/// # Errors
/// A file has another size or time than when it was listed: its tokens may be neither the old nor the new text's.
fn unchanged(inputs: &[Input]) -> Result<()> {
    let changed = |file: &&Stamp| Stamp::of(&file.path).is_ok_and(|now| now != **file);
    match inputs.iter().filter_map(Input::file).find(changed) {
        Some(file) => {
            Err(Fault::environment(format!("{} changed while it was read", file.path.display())).hint(format!(
                "run the same command again when nothing writes to it, or leave it out: --exclude '{}'",
                file.path.file_name().unwrap_or_default().to_string_lossy()
            )))
        }
        None => Ok(()),
    }
}

/// What the index remembers under `key`.
pub(super) fn remembered<T: DeserializeOwned>(folder: &Path, key: &str) -> Option<T> {
    serde_json::from_slice(&std::fs::read(index_path(folder, key)).ok()?).ok()
}

/// Puts `value` into the index, unless a file is so new that its time stamp proves nothing.
pub(super) fn remember<T: Serialize>(recipe: &Recipe<'_>, key: &str, value: &T) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    let settled = |file: &Stamp| file.modified + SETTLED.as_nanos() < now;
    if !recipe.inputs.iter().filter_map(Input::file).all(settled) {
        return Ok(());
    }
    let json = serde_json::to_vec(value).map_err(|error| Fault::internal("index entry").because(error))?;
    tagged_folder(recipe.cache, INDEX)?;
    percept_files::write_with_folder(&index_path(recipe.cache, key), &json)
}

fn index_path(folder: &Path, key: &str) -> PathBuf {
    folder.join(INDEX).join(format!("{key}.json"))
}
