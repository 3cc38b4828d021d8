//! Strings as Python writes them: `'\n'`, `"it's"`, `b'\xe6\x97'`.

/// What `\xHH` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The character U+00HH.
    Characters,
    /// The byte HH.
    Bytes,
}

/// The bytes of a literal, a string's as UTF-8. The escapes are those that `repr` writes, and `\"`.
///
/// # Errors
/// In words: why it is none.
pub(super) fn bytes(literal: &str) -> Result<Vec<u8>, String> {
    let (of, quoted) = match literal.strip_prefix('b') {
        Some(quoted) => (Of::Bytes, quoted),
        None => (Of::Characters, literal),
    };
    let body = ['\'', '"'].into_iter().find_map(|quote| quoted.strip_prefix(quote)?.strip_suffix(quote));
    let mut rest = body.ok_or("it is not between quotes")?;
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => rest = escape(rest, of, &mut bytes)?,
            _ if of == Of::Bytes && !c.is_ascii() => return Err(format!("`{c}` is no byte")),
            _ => push(c, &mut bytes),
        }
    }
    Ok(bytes)
}

/// Reads what follows a backslash, and returns the rest.
fn escape<'a>(text: &'a str, of: Of, bytes: &mut Vec<u8>) -> Result<&'a str, String> {
    let kind = text.chars().next().ok_or("it ends in a backslash")?;
    let rest = &text[kind.len_utf8()..];
    let digits = match kind {
        'n' => return Ok(plain(b'\n', rest, bytes)),
        'r' => return Ok(plain(b'\r', rest, bytes)),
        't' => return Ok(plain(b'\t', rest, bytes)),
        '\\' | '\'' | '"' => return Ok(plain(kind as u8, rest, bytes)),
        'x' => 2,
        'u' if of == Of::Characters => 4,
        'U' if of == Of::Characters => 8,
        _ => return Err(format!("`\\{kind}` is no escape")),
    };
    let wrong = || format!("`\\{kind}` needs {digits} digits of a character");
    let (number, rest) = rest.split_at_checked(digits).ok_or_else(wrong)?;
    let number = match number.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        true => u32::from_str_radix(number, 16).map_err(|_| wrong())?,
        false => return Err(wrong()),
    };
    match of {
        Of::Bytes => bytes.extend(u8::try_from(number)),
        Of::Characters => push(char::from_u32(number).ok_or_else(wrong)?, bytes),
    }
    Ok(rest)
}

fn plain<'a>(byte: u8, rest: &'a str, bytes: &mut Vec<u8>) -> &'a str {
    bytes.push(byte);
    rest
}

fn push(c: char, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_is_a_character_in_a_string_and_a_byte_in_bytes() {
        assert_eq!(bytes(r"'\xe9'").unwrap(), "é".as_bytes());
        assert_eq!(bytes(r"b'\xe9'").unwrap(), [0xe9]);
        assert_eq!(bytes(r"'\u200b\U0001f642'").unwrap(), "\u{200b}🙂".as_bytes());
        assert_eq!(bytes(r#"'\n\r\t\\\'\"'"#).unwrap(), b"\n\r\t\\'\"");
        assert_eq!(bytes(r#""it's é""#).unwrap(), "it's é".as_bytes());
        assert_eq!(bytes("''").unwrap(), b"");
    }

    #[test]
    fn what_is_no_literal_is_refused() {
        for (literal, why) in [
            ("", "not between quotes"),
            ("'", "not between quotes"),
            ("'a\"", "not between quotes"),
            (r"'\'", "ends in a backslash"),
            (r"'\q'", r"`\q` is no escape"),
            (r"b'\u00e9'", r"`\u` is no escape"),
            ("b'é'", "`é` is no byte"),
            (r"'\x4'", r"`\x` needs 2 digits"),
            (r"'\x+4'", r"`\x` needs 2 digits"),
            (r"'\xéa'", r"`\x` needs 2 digits"),
            (r"'\ud800'", r"`\u` needs 4 digits"),
        ] {
            assert!(bytes(literal).unwrap_err().contains(why), "{literal}: {:?}", bytes(literal));
        }
    }
}
