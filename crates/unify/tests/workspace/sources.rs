//! Reads the sources of a crate as words: its modules, and the paths by which they name each other. Code for tests is passed
//! over, since a test may use anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

type Words = std::iter::Peekable<std::vec::IntoIter<String>>;

/// What a crate's modules say of each other.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The modules right under the root.
    pub(crate) modules: BTreeSet<String>,
    /// Every path that starts at the root, and who names it; the root's own modules are named by an empty list.
    pub(crate) paths: Vec<Named>,
}

/// A path, `crate` or `super` resolved, as a module names it.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) by: Vec<String>,
    pub(crate) file: PathBuf,
    pub(crate) path: Vec<String>,
    /// By what name it is known there.
    pub(crate) name: String,
}

/// A module while it is read: its path, its file, and where the files of its modules lie.
struct Place {
    module: Vec<String>,
    file: PathBuf,
    folder: PathBuf,
}

impl Sources {
    /// The sources of the library or program whose root file this is.
    pub(crate) fn read(root: &Path) -> Self {
        let mut sources = Self::default();
        sources.file(Place { module: Vec::new(), file: root.to_owned(), folder: root.with_file_name("") });
        sources
    }

    /// Which module uses which, with the places where it does. Names that the root re-exports count as the module's that
    /// they come from.
    pub(crate) fn uses(&self) -> BTreeMap<(String, String), BTreeSet<String>> {
        let exports = self.paths.iter().filter(|named| named.by.is_empty());
        let exports: BTreeMap<_, _> = exports.map(|named| (&named.name, &named.path[0])).collect();
        let mut uses = BTreeMap::<_, BTreeSet<String>>::new();
        for named in &self.paths {
            let first = &named.path[0];
            let to = if self.modules.contains(first) { Some(first) } else { exports.get(first).copied() };
            let (Some(from), Some(to)) = (named.by.first(), to) else { continue };
            if from != to && self.modules.contains(to) {
                let place = format!("{} names crate::{}", named.file.display(), named.path.join("::"));
                uses.entry((from.clone(), to.clone())).or_default().insert(place);
            }
        }
        uses
    }

    fn file(&mut self, place: Place) {
        let text = std::fs::read_to_string(&place.file).expect("a module's file is there");
        let mut words = Vec::new();
        list(text.parse().expect("Rust"), &mut words);
        self.block(&mut words.into_iter().peekable(), &place);
    }

    /// Reads to the end of a block.
    fn block(&mut self, words: &mut Words, place: &Place) {
        while let Some(word) = words.next() {
            let goes_on = words.peek().is_some_and(|next| next == "::");
            match word.as_str() {
                "{" => self.block(words, place),
                "}" => return,
                "#" if is_for_tests(words) => skip_item(words),
                "mod" => self.module(words, place),
                "use" if place.module.is_empty() => self.tree(words, Vec::new(), place),
                "crate" if goes_on => self.tree_below(words, Vec::new(), place),
                "super" if goes_on => {
                    let parents = place.module.len() - 1;
                    self.tree_below(words, place.module[..parents].to_vec(), place);
                }
                _ => {}
            }
        }
    }

    fn module(&mut self, words: &mut Words, place: &Place) {
        let (Some(name), Some(next)) = (words.next(), words.next()) else { return };
        let module = [place.module.as_slice(), std::slice::from_ref(&name)].concat();
        let folder = place.folder.join(&name);
        if place.module.is_empty() {
            self.modules.insert(name);
        }
        if next == "{" {
            return self.block(words, &Place { module, file: place.file.clone(), folder });
        }
        let beside = folder.with_extension("rs");
        let file = if beside.exists() { beside } else { folder.join("mod.rs") };
        self.file(Place { module, file, folder });
    }

    /// The rest of a path whose start is known.
    fn tree_below(&mut self, words: &mut Words, start: Vec<String>, place: &Place) {
        words.next();
        self.tree(words, start, place);
    }

    /// A path, or a tree of them as in `use`: `a::{b, c::{d, e as f}, g::*}`.
    fn tree(&mut self, words: &mut Words, mut path: Vec<String>, place: &Place) {
        while let Some(word) = words.next() {
            match word.as_str() {
                "{" => {
                    while words.peek().is_some_and(|next| next != "}") {
                        self.tree(words, path.clone(), place);
                        words.next_if(|next| next == ",");
                    }
                    words.next();
                    return;
                }
                "super" => drop(path.pop()),
                "self" | "crate" => {}
                _ => path.push(word),
            }
            if words.next_if(|next| next == "::").is_none() {
                break;
            }
        }
        let renamed = words.next_if(|next| next == "as").and_then(|_| words.next());
        if let Some(name) = renamed.or_else(|| path.last().cloned()) {
            self.paths.push(Named { by: place.module.clone(), file: place.file.clone(), path, name });
        }
    }
}

/// Tokens as one flat list of words, `::` as one word; brackets are kept, literals are not.
fn list(tokens: TokenStream, words: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis | Delimiter::None => ("(", ")"),
                };
                words.push(open.into());
                list(group.stream(), words);
                words.push(close.into());
            }
            TokenTree::Ident(word) => words.push(word.to_string()),
            TokenTree::Punct(mark) if mark.as_char() == ':' && words.last().is_some_and(|last| last == ":") => {
                words.pop();
                words.push("::".into());
            }
            TokenTree::Punct(mark) => words.push(mark.to_string()),
            TokenTree::Literal(_) => {}
        }
    }
}

/// Reads what follows a `#`: whether it is an attribute such as `[cfg(test)]`.
fn is_for_tests(words: &mut Words) -> bool {
    let mut depth = 0;
    let mut attribute = Vec::new();
    while let Some(word) = words.next_if(|next| depth > 0 || next == "[" || next == "!") {
        depth += match word.as_str() {
            "[" => 1,
            "]" => -1,
            _ => 0,
        };
        attribute.push(word);
        if depth == 0 && attribute.len() > 1 {
            break;
        }
    }
    let has = |name: &str| attribute.iter().any(|word| word == name);
    has("cfg") && has("test") && !has("not")
}

/// Passes over an item, to its `;` or the end of its block.
fn skip_item(words: &mut Words) {
    let mut depth = 0;
    for word in words {
        match word.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" if depth == 1 => return,
            "}" | ")" | "]" => depth -= 1,
            ";" if depth == 0 => return,
            _ => {}
        }
    }
}
