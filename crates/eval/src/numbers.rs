//! Numbers in JSON, which has no infinity: a figure that is too large is written as null.

use serde::{Deserialize, Deserializer};

/// Reads null back as infinity.
pub(crate) fn infinite_where_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_too_large_is_read_back() {
        let read = |text: &str| infinite_where_null(&mut serde_json::Deserializer::from_str(text)).unwrap();
        assert_eq!((read("2.5"), read("null")), (2.5, f64::INFINITY));
    }
}
