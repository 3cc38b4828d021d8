//! The options of a source that is made here: `?name=value&name=value`.

use std::ops::RangeInclusive;

use percept_fault::{Fault, Result, nearest};

/// An option: its name, the value that it has where it is not given, and those that it may have.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) name: &'static str,
    pub(crate) default: u64,
    pub(crate) values: Values,
}

/// What an option may be.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    /// A whole number.
    Number(RangeInclusive<u64>),
    /// One of these words, which stands for its place among them.
    Word(&'static [&'static str]),
}

impl Choice {
    pub(crate) const fn number(name: &'static str, default: u64, range: RangeInclusive<u64>) -> Self {
        Self { name, default, values: Values::Number(range) }
    }
}

/// Ten at least, so that they can be split.
pub(crate) const DOCUMENTS: Choice = Choice::number("documents", 10_000, 10..=1 << 32);
pub(crate) const SEED: Choice = Choice::number("seed", 0, 0..=u64::MAX);

/// The values of all options of the source `path`, in the order of `choices`.
///
/// # Errors
/// An unknown option, or a value that it cannot have.
pub(crate) fn values<const N: usize>(path: &str, options: &str, choices: &[Choice; N]) -> Result<[u64; N]> {
    let mut values = std::array::from_fn(|at| choices[at].default);
    read(path, options, choices, &mut values)?;
    Ok(values)
}

/// [`values`] for any number of choices; `values` holds what is not given.
pub(crate) fn read(path: &str, options: &str, choices: &[Choice], values: &mut [u64]) -> Result<()> {
    for option in options.split('&').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let at = choices.iter().position(|choice| choice.name == key);
        let at = at.ok_or_else(|| unknown(path, "option", key, choices.iter().map(|choice| choice.name)))?;
        values[at] = value_of(path, &choices[at], value)?;
    }
    Ok(())
}

fn value_of(path: &str, Choice { name, default, values }: &Choice, value: &str) -> Result<u64> {
    match values {
        Values::Number(range) => {
            let number = value
                .parse()
                .map_err(|_| Fault::usage(format!("{path}: `{name}` is not a whole number: `{value}`")))?;
            if !range.contains(&number) {
                let (least, most) = (range.start(), range.end());
                return Err(Fault::usage(format!("{path}: `{name}` = {number} is not between {least} and {most}"))
                    .hint(format!("for example {name}={}", default.max(least))));
            }
            Ok(number)
        }
        Values::Word(words) => match words.iter().position(|word| *word == value) {
            Some(at) => Ok(at as u64),
            None => Err(unknown(path, &format!("`{name}`"), value, words.iter().copied())),
        },
    }
}

/// The fault of a word that is none of the known ones.
pub(crate) fn unknown(
    path: &str,
    what: &str,
    word: &str,
    known: impl IntoIterator<Item = &'static str> + Clone,
) -> Fault {
    let hint = match nearest(word, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    };
    Fault::usage(format!("{path}: unknown {what} `{word}`")).hint(hint)
}
