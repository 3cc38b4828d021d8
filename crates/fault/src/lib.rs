//! The one error type of the workspace.
//!
//! A [`Fault`] says what went wrong, what the user can do about it (`hint`), and whose fault it is
//! ([`Kind`], which fixes the exit code). Library code builds it where the cause is known; the
//! binary only prints it. [`IoContext`] makes faults of I/O errors, [`nearest`] finds what was meant.

mod path;

use std::error::Error;
use std::fmt;

pub use path::path_text;

/// Result with a [`Fault`] as its error.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// Whose fault it is. Each kind has one documented exit code.
///
/// ```
/// use percept_fault::{Fault, Kind};
/// // What the last lines of a program look like.
/// let fault = Fault::check("the loss is not a number").hint("lower train.learning_rate");
/// let hint = fault.hint_text().map_or(String::new(), |hint| format!("\nhint: {hint}"));
/// assert_eq!(format!("error: {fault}{hint}"), "error: the loss is not a number\nhint: lower train.learning_rate");
/// assert_eq!((fault.kind(), fault.kind().exit_code()), (Kind::Check, 1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A check failed, or training diverged: exit code 1.
    Check,
    /// Wrong usage or configuration: exit code 2.
    Usage,
    /// Device, memory, file or another part of the environment: exit code 3.
    Environment,
    /// A bug in Percept: exit code 4.
    Internal,
    /// The user interrupted the work, and it was saved: exit code 130.
    Interrupted,
}

impl Kind {
    /// The process exit code that stands for this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Check => 1,
            Kind::Usage => 2,
            Kind::Environment => 3,
            Kind::Internal => 4,
            Kind::Interrupted => 130,
        }
    }
}

/// An error with a hint and a [`Kind`].
///
/// ```
/// use percept_fault::Fault;
/// let fault = Fault::usage("unknown key `model.dims`").hint("did you mean `model.dim`?");
/// assert_eq!(fault.exit_code(), 2);
/// assert_eq!(fault.to_string(), "unknown key `model.dims`");
/// assert_eq!(fault.hint_text(), Some("did you mean `model.dim`?"));
/// ```
#[derive(Debug)]
pub struct Fault {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault of the given kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// A check failed, or training diverged.
    pub fn check(message: impl Into<String>) -> Self {
        Self::new(Kind::Check, message)
    }

    /// Wrong usage or configuration.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Something outside the program: a file, a device, memory.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(Kind::Environment, message)
    }

    /// A bug in Percept.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// The user interrupted the work after it was saved.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(Kind::Interrupted, message)
    }

    /// What the user can do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same fault with its place in front of the message, e.g. `books.toml:3: `.
    ///
    /// ```
    /// use percept_fault::Fault;
    /// let fault = "12 x".parse::<u32>().map_err(|error| Fault::usage("not a number").because(error).at("books.toml:3: "));
    /// assert_eq!(fault.unwrap_err().to_string(), "books.toml:3: not a number: invalid digit found in string");
    /// ```
    pub fn at(mut self, place: &str) -> Self {
        self.message.insert_str(0, place);
        self
    }

    /// The error that caused this one; its text follows the message.
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The process exit code.
    pub fn exit_code(&self) -> u8 {
        self.kind.exit_code()
    }

    /// The hint, if there is one.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// True where training diverged or a check failed.
    pub fn is_check(&self) -> bool {
        self.kind == Kind::Check
    }

    /// True where the user's input or configuration is at fault.
    pub fn is_usage(&self) -> bool {
        self.kind == Kind::Usage
    }

    /// True where a file, device or memory is at fault.
    pub fn is_environment(&self) -> bool {
        self.kind == Kind::Environment
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn Error + 'static))
    }
}

/// Turns an I/O result into a [`Fault`] that names the file.
///
/// ```
/// use percept_fault::{IoContext, Result};
/// fn read(path: &str) -> Result<String> {
///     std::fs::read_to_string(path).at("read", path)
/// }
/// let fault = read("no/such/file").unwrap_err();
/// assert!(fault.to_string().starts_with("cannot read no/such/file: "));
/// assert_eq!((fault.is_environment(), fault.hint_text()), (true, Some("check the path")));
/// ```
pub trait IoContext<T> {
    /// `cannot WHAT PATH: CAUSE`, of kind [`Kind::Environment`].
    fn at(self, what: &str, path: impl AsRef<std::path::Path>) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, what: &str, path: impl AsRef<std::path::Path>) -> Result<T> {
        self.map_err(|error| {
            let fault = Fault::environment(format!("cannot {what} {}", path.as_ref().display()));
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => Some("check the path"),
                std::io::ErrorKind::NotADirectory => Some("a part of this path is a file: choose another folder"),
                std::io::ErrorKind::PermissionDenied => Some("check the permissions, or choose another folder"),
                std::io::ErrorKind::StorageFull => Some("free some disk space, then run the same command again"),
                _ => None,
            };
            let fault = fault.because(error);
            match hint {
                Some(hint) => fault.hint(hint),
                None => fault,
            }
        })
    }
}

/// The candidate closest to `word`, for "did you mean" hints; `None` where nothing is near.
///
/// ```
/// use percept_fault::nearest;
/// let keys = ["model.dim", "model.depth", "train.batch"];
/// assert_eq!(nearest("model.dims", keys), Some("model.dim"));
/// assert_eq!(nearest("colour", keys), None);
/// ```
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_faults_name_the_file() {
        let fault = std::fs::read("/no/such/file").at("read", "/no/such/file").unwrap_err();
        assert!(fault.to_string().starts_with("cannot read /no/such/file: "), "{fault}");
        assert_eq!((fault.exit_code(), fault.hint_text()), (3, Some("check the path")));
    }

    #[test]
    fn a_place_stands_in_front_and_all_else_stays() {
        let fault = Fault::usage("unknown key `x`").hint("did you mean `y`?").because("cause").at("a.toml:3: ");
        assert_eq!((fault.to_string().as_str(), fault.exit_code()), ("a.toml:3: unknown key `x`: cause", 2));
        assert_eq!(fault.hint_text(), Some("did you mean `y`?"));
    }

    #[test]
    fn nearest_suggests_only_what_is_near() {
        assert_eq!(nearest("transfomer", ["llp", "transformer"]), Some("transformer"));
        assert_eq!(nearest("zebra", ["llp", "transformer"]), None);
    }
}
