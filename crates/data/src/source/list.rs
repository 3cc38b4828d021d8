//! From the configuration to a list of inputs in a fixed order.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use percept_fault::{Fault, Result, nearest};

use super::walk::walk;
use super::{Input, InputKind, PassedOver, Reader, Stamp, Synthetic};
use crate::mark;
use crate::{DataConfig, SourceConfig};

/// Which files of a folder are read, and how.
pub(crate) struct Filter<'a> {
    include: Option<GlobSet>,
    exclude: GlobSet,
    by_folder: bool,
    text_key: &'a str,
    edition: u8,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(config: &'a DataConfig) -> Result<Self> {
        let include = match config.include.is_empty() {
            true => None,
            false => Some(globs("data.include", &config.include)?),
        };
        Ok(Self {
            include,
            exclude: globs("data.exclude", &config.exclude)?,
            by_folder: config.include.iter().chain(&config.exclude).any(|pattern| pattern.contains('/')),
            text_key: &config.text_key,
            edition: config.edition,
        })
    }

    /// `path` is relative to the folder that was named.
    pub(super) fn takes(&self, path: &Path) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(path)) && !self.exclude.is_match(path)
    }

    /// Whether a member of an archive is left out; `path` is the one within the archive. (`data.include` chooses archives, not members.)
    pub(super) fn excludes(&self, path: &Path) -> bool {
        self.exclude.is_match(path)
    }

    /// The rules of reading.
    pub(super) fn edition(&self) -> u8 {
        self.edition
    }

    /// Whether a file's folder matters, beside its own name.
    pub(super) fn asks_for_folders(&self) -> bool {
        self.by_folder
    }

    /// Whether anything but the defaults chooses files.
    fn is_set(&self) -> bool {
        self.include.is_some() || !self.exclude.is_empty()
    }
}

fn globs(key: &str, patterns: &[String]) -> Result<GlobSet> {
    let bad = |error: globset::Error| {
        Fault::usage(format!("{key}: {error}")).hint("globs are like `*.txt`, `notes/**` or `*.{md,rst}`")
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let anywhere = if pattern.contains('/') { pattern.clone() } else { format!("**/{pattern}") };
        set.add(GlobBuilder::new(&anywhere).literal_separator(true).build().map_err(bad)?);
    }
    set.build().map_err(bad)
}

/// The inputs of a source: one for a file, all files of a folder in the order of their names, or a synthetic task.
///
/// # Errors
/// The path does not exist, is a folder that Percept wrote, or a folder holds no file that the filter takes. What cannot be
/// read inside a folder is an input of its own ([`InputKind::Unreadable`]).
pub(crate) fn list(source: &SourceConfig, filter: &Filter<'_>, passed_over: &mut PassedOver) -> Result<Vec<Input>> {
    if let Some(synthetic) = Synthetic::parse(&source.path)? {
        return Ok(vec![Input { name: source.path.clone(), kind: InputKind::Synthetic(synthetic) }]);
    }
    let path = Path::new(&source.path);
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => list_folder(source, path, filter, passed_over),
        Ok(_) => {
            let input = input(source, path, filter);
            Ok(vec![Input { name: source.label().into(), ..input }])
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(missing(path)),
        Err(error) => Err(Fault::environment(format!("cannot read {}", path.display())).because(error)),
    }
}

fn list_folder(
    source: &SourceConfig,
    folder: &Path,
    filter: &Filter<'_>,
    passed_over: &mut PassedOver,
) -> Result<Vec<Input>> {
    mark::check_named(folder)?;
    let mut inputs = Vec::new();
    walk(folder, filter, passed_over, &mut |found| {
        inputs.push(match found {
            Ok(path) => input(source, path, filter),
            Err((path, cause)) => {
                Input { name: path.display().to_string(), kind: InputKind::Unreadable(cause.to_string()) }
            }
        });
    });
    if inputs.is_empty() {
        let hint = match (filter.is_set(), passed_over.percept.count) {
            (true, _) => "data.include or data.exclude leaves none of its files",
            (_, 1..) => "what Percept wrote is left out; put text files in it, or name another folder",
            _ => "put text files in it (hidden files are not read), or name another folder",
        };
        return Err(Fault::environment(format!("no file to read in folder {}", folder.display())).hint(hint));
    }
    Ok(inputs)
}

fn input(source: &SourceConfig, path: &Path, filter: &Filter<'_>) -> Input {
    let name = path.display().to_string();
    let file = match Stamp::of(path) {
        Ok(file) => file,
        Err(fault) => return Input { name, kind: InputKind::Unreadable(fault.to_string()) },
    };
    let key = source.text_key.as_deref().unwrap_or(filter.text_key);
    let kind = match Reader::of(path, source.format, key, filter) {
        Ok(reader) => InputKind::File { file, reader },
        Err(cause) => InputKind::Unreadable(cause),
    };
    Input { name, kind }
}

fn missing(path: &Path) -> Fault {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let neighbours: Vec<String> = std::fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hint = match nearest(&name, neighbours.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{}`?", path.with_file_name(near).display()),
        None => "check the path".into(),
    };
    Fault::environment(format!("no such file or folder: {}", path.display())).hint(hint)
}
