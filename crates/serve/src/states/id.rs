//! What a state is called.

use std::fmt;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

const PREFIX: &str = "state-";
/// Characters after it: more than 128 bits of chance.
const RANDOM: usize = 22;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The id of a state. Whatever a client sends becomes one here or nowhere: it holds letters and digits only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StateId(String);

impl StateId {
    /// Bytes of chance that make an id.
    pub(super) const BYTES: usize = RANDOM;

    /// `None` where the text is no id.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let random = text.strip_prefix(PREFIX)?;
        let good = random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
        good.then(|| Self(text.to_owned()))
    }

    pub(super) fn of_random(bytes: [u8; Self::BYTES]) -> Self {
        let character = |byte: u8| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]);
        Self(PREFIX.chars().chain(bytes.map(character)).collect())
    }

    /// The name of its file.
    pub(super) fn file(&self) -> String {
        format!("{self}.safetensors")
    }

    /// The id of the state whose file has this name.
    pub(super) fn of_file(name: &str) -> Option<Self> {
        Self::parse(name.strip_suffix(".safetensors")?)
    }
}

impl fmt::Display for StateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ToSql for StateId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for StateId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::parse(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_an_id_becomes_one() {
        let id = StateId::of_random(std::array::from_fn(|at| 11 * at as u8));
        assert_eq!(StateId::parse(&id.to_string()), Some(id.clone()));
        assert_eq!(StateId::of_file(&id.file()), Some(id));
        for wrong in [
            "",
            "state-",
            "state-../../../../etc/passwd",
            "state-aaaaaaaaaaaaaaaaaaaaa/",
            "state-aaaaaaaaaaaaaaaaaaaaa",
            "state-aaaaaaaaaaaaaaaaaaaaaaa",
            "state-aaaaaaaaaaaaaaaaaaaaa\0",
            "State-aaaaaaaaaaaaaaaaaaaaaa",
            "state-äaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(StateId::parse(wrong), None, "{wrong}");
        }
    }
}
