//! The files of a folder, each once, without what is no text.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use super::list::Filter;
use super::{PassedOver, own_output};
use crate::identity::Identity;
use crate::mark::{self, Mark};

/// A file, or what cannot be looked at, and why.
pub(super) type Found<'a> = Result<&'a Path, (&'a Path, &'a walkdir::Error)>;

/// Calls `found` with every file that the filter takes in `folder` and below it, in the order of their names. Links are followed,
/// but not in circles. Left out, beside what is hidden: what Percept wrote and writes, caches, and what is no file.
///
/// A file that is met under several names is found under each: which one counts is decided where all sources are known.
pub(super) fn walk(folder: &Path, filter: &Filter<'_>, passed_over: &mut PassedOver, found: &mut dyn FnMut(Found<'_>)) {
    let mut walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    let mut folders = Folders { seen: HashSet::new(), filter };
    let outputs = own_output::identities();
    let is_output = |path: &Path| Identity::at(path).is_ok_and(|identity| outputs.contains(&identity));
    while let Some(entry) = walk.next() {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {
                if !folders.enter(&entry, passed_over) {
                    walk.skip_current_dir();
                }
            }
            Ok(entry) if is_hidden(entry.path(), folder) => {}
            Ok(entry) if !filter.takes(relative(entry.path(), folder)) => {}
            Ok(entry) if !entry.file_type().is_file() => passed_over.no_file(entry.path()),
            Ok(entry) if !outputs.is_empty() && is_output(entry.path()) => {
                passed_over.output(entry.path(), relative(entry.path(), folder));
            }
            Ok(entry) => match mark::of_file(entry.path()) {
                Some(what) => passed_over.marked(entry.path(), &Mark::Percept(what.into())),
                None => found(Ok(entry.path())),
            },
            Err(error) => {
                let path = error.path().unwrap_or(folder);
                match (is_hidden(path, folder), error.loop_ancestor()) {
                    (true, _) => {}
                    (false, Some(_)) => passed_over.further_name(path),
                    // A link to nothing, which the filter would not take either.
                    (false, None) if path.is_symlink() && !filter.takes(relative(path, folder)) => {}
                    (false, None) => found(Err((path, &error))),
                }
            }
        }
    }
}

/// The folders of a walk.
struct Folders<'a> {
    seen: HashSet<Identity>,
    filter: &'a Filter<'a>,
}

impl Folders<'_> {
    /// Whether to look into a folder.
    fn enter(&mut self, entry: &DirEntry, passed_over: &mut PassedOver) -> bool {
        let path = entry.path();
        if entry.depth() > 0 && is_hidden_name(entry.file_name()) {
            return false;
        }
        if entry.depth() > 0
            && let Some(mark) = mark::of_folder(path)
        {
            passed_over.marked(path, &mark);
            return false;
        }
        // Links between folders could lead to the same files in more ways than there are files. Another way to a folder is of
        // use only where the globs look at the way.
        let is_known = Identity::at(path).is_ok_and(|identity| !self.seen.insert(identity));
        if is_known && !self.filter.asks_for_folders() {
            passed_over.further_name(path);
            return false;
        }
        true
    }
}

fn relative<'p>(path: &'p Path, folder: &Path) -> &'p Path {
    path.strip_prefix(folder).unwrap_or(path)
}

/// Whether a part of the way from the folder to `path` is hidden.
fn is_hidden(path: &Path, folder: &Path) -> bool {
    relative(path, folder).iter().any(is_hidden_name)
}

fn is_hidden_name(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;
    use crate::DataConfig;
    use crate::mark::{Made, mark_folder};
    use crate::source::PassedOver;
    use crate::testing::{Folder, pipe};

    /// What is found, below the folder, and what is passed over.
    fn files(folder: &Folder, config: &DataConfig) -> (Vec<String>, PassedOver) {
        let (root, mut passed_over, mut names) = (PathBuf::from(folder.path("")), PassedOver::default(), Vec::new());
        walk(&root, &Filter::new(config).unwrap(), &mut passed_over, &mut |found| {
            let (path, bad) = match found {
                Ok(path) => (path, ""),
                Err((path, _)) => (path, "bad "),
            };
            names.push(format!("{bad}{}", path.strip_prefix(&root).unwrap().display()));
        });
        for group in [&mut passed_over.percept, &mut passed_over.further_names, &mut passed_over.not_files] {
            group.first.iter_mut().for_each(|name| *name = name.replace(&folder.path(""), ""));
        }
        (names, passed_over)
    }

    #[test]
    fn what_percept_wrote_is_left_out() {
        let folder = Folder::with(&[
            ("a.txt", b"a"),
            ("runs/old/config.toml", b""),
            ("runs/old/environment.json", b"{}"),
            ("tokenizer.json", b"{\"percept\": \"bytes\", \"version\": 1}"),
            ("z.json", b"{\"text\": \"z\"}"),
        ]);
        mark_folder(&PathBuf::from(folder.path("runs/new")), Made::Run).unwrap();
        folder.write("runs/new/metrics.jsonl", b"{}");
        let (names, passed_over) = files(&folder, &folder.config());
        assert_eq!(names, ["a.txt", "z.json"]);
        assert_eq!(passed_over.percept.count, 3);
        assert_eq!(passed_over.percept.first, ["runs/new (a run)", "runs/old (a run)", "tokenizer.json (a tokenizer)"]);
        let lines = passed_over.lines();
        assert_eq!(lines, ["left out as written by Percept: 3, the first: runs/new (a run)"]);
    }

    #[test]
    fn links_are_followed_but_not_in_circles() {
        let folder = Folder::with(&[("a/1.txt", b"1"), ("b/2.txt", b"2")]);
        for (link, to) in [("a/up", ".."), ("c", "b"), ("self", "self"), ("b/3.txt", "2.txt")] {
            symlink(to, folder.path(link)).unwrap();
        }
        let (names, passed_over) = files(&folder, &folder.config());
        assert_eq!(names, ["a/1.txt", "b/2.txt", "b/3.txt", "bad self"]);
        assert_eq!(passed_over.further_names.first, ["a/up", "c"]);
    }

    #[test]
    fn many_ways_to_a_folder_are_one() {
        // 2 to the power of 30 ways to the last folder.
        let folder = Folder::with(&[("30/1.txt", b"1")]);
        for number in 0..30 {
            std::fs::create_dir(folder.path(&number.to_string())).unwrap();
            for link in ["left", "right"] {
                symlink(format!("../{}", number + 1), folder.path(&format!("{number}/{link}"))).unwrap();
            }
        }
        assert_eq!(files(&folder, &folder.config()).0.len(), 1);
    }

    #[test]
    fn globs_see_every_way_to_a_folder() {
        let folder = Folder::with(&[("real/1.txt", b"1")]);
        symlink("real", folder.path("link")).unwrap();
        let config = DataConfig { exclude: vec!["link/**".into()], ..folder.config() };
        assert_eq!(files(&folder, &config).0, ["real/1.txt"]);
    }

    #[test]
    fn links_to_nothing_are_bad_unless_nobody_asks_for_them() {
        let folder = Folder::with(&[("a.txt", b"a")]);
        for link in ["b.txt", ".hidden", "c.tmp"] {
            symlink("nowhere", folder.path(link)).unwrap();
        }
        let config = DataConfig { exclude: vec!["*.tmp".into()], ..folder.config() };
        let (names, passed_over) = files(&folder, &config);
        assert_eq!(names, ["a.txt", "bad b.txt"]);
        assert_eq!(passed_over, PassedOver::default());
    }

    #[test]
    fn a_pipe_in_a_folder_is_not_read() {
        let folder = Folder::with(&[("a.txt", b"a")]);
        pipe(&folder.path("pipe"));
        symlink("/dev/null", folder.path("null")).unwrap();
        let (names, passed_over) = files(&folder, &folder.config());
        assert_eq!(names, ["a.txt"]);
        assert_eq!(passed_over.not_files.first, ["null", "pipe"]);
    }
}
