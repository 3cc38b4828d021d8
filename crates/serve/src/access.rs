//! Who may use a server: bearer tokens.

use std::fmt;
use std::net::IpAddr;

use percept_fault::{Fault, Result};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// The shortest token that is taken: shorter ones can be guessed.
const SHORTEST: usize = 16;

/// Who may use a server.
#[derive(Debug, Clone)]
pub enum Access {
    /// Whoever is on this machine.
    Loopback,
    /// Whoever reaches it, from other machines too.
    Anonymous,
    /// Who shows one of these tokens.
    Tokens(Tokens),
}

/// Whose request it is: requests of one client wait for each other, not for those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Client {
    /// Who showed the token of this number.
    Token(u32),
    /// Who comes from there and need not say more.
    Address(IpAddr),
}

impl Access {
    /// Whose request it is that comes from `address` with this `authorization`; `None` where it is nobody's who may.
    pub(crate) fn client(&self, address: IpAddr, authorization: Option<&[u8]>) -> Option<Client> {
        match self {
            Self::Loopback | Self::Anonymous => Some(Client::Address(address)),
            Self::Tokens(tokens) => {
                let authorization = authorization?;
                let (scheme, token) = authorization.split_at_checked(7)?;
                scheme.eq_ignore_ascii_case(b"bearer ").then(|| tokens.find(token)).flatten().map(Client::Token)
            }
        }
    }

    /// To whom the states belong that a client makes: a name for its token, or nothing where there are no tokens, so that they are
    /// everybody's. It outlives the server, and tells nothing of the token.
    pub(crate) fn owner(&self, client: Client) -> String {
        match (self, client) {
            (Self::Tokens(tokens), Client::Token(number)) => tokens
                .0
                .get(number as usize)
                .map(|digest| percept_files::hex(&Sha256::digest(digest)))
                .unwrap_or_default(),
            _ => String::new(),
        }
    }
}

/// Secrets that clients show. Their digests are kept, and compared in a time that does not depend on them.
#[derive(Clone)]
pub struct Tokens(Vec<[u8; 32]>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

impl Tokens {
    /// Tokens of a text, one a line; empty lines and those that begin with `#` are none. `place` names the text in messages, which
    /// never show a token.
    ///
    /// # Errors
    /// Usage: there is none, one is shorter than 16 characters, or holds what a header can't.
    ///
    /// ```
    /// use percept_serve::Tokens;
    /// assert!(Tokens::of_lines("# of the team\nvery-secret-token\n", "tokens.txt").is_ok());
    /// let fault = Tokens::of_lines("very-secret-token\nsecret\n", "tokens.txt").unwrap_err();
    /// assert_eq!(fault.to_string(), "tokens.txt:2: a token of 6 characters can be guessed");
    /// ```
    pub fn of_lines(text: &str, place: &str) -> Result<Self> {
        let mut digests = Vec::new();
        for (line, token) in (1..).zip(text.lines().map(str::trim)) {
            if token.is_empty() || token.starts_with('#') {
                continue;
            }
            let hint = "use at least 16 letters, digits or signs, for example of `openssl rand -hex 32`";
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(
                    Fault::usage(format!("{place}:{line}: a token holds blanks or what is not ASCII")).hint(hint)
                );
            }
            if token.len() < SHORTEST {
                let message = format!("{place}:{line}: a token of {} characters can be guessed", token.len());
                return Err(Fault::usage(message).hint(hint));
            }
            digests.push(Sha256::digest(token).into());
        }
        match digests.is_empty() {
            true => Err(Fault::usage(format!("{place}: there is no token in it")).hint("one token a line")),
            false => Ok(Self(digests)),
        }
    }

    /// The number of a token. All are compared, wherever the first difference lies.
    fn find(&self, token: &[u8]) -> Option<u32> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let (mut found, mut at) = (Choice::from(0), 0u32);
        for (number, known) in (0..).zip(&self.0) {
            let same = known.ct_eq(&digest);
            at.conditional_assign(&number, same);
            found |= same;
        }
        bool::from(found).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_tokens_open_and_each_is_a_client_of_its_own() {
        let tokens = Tokens::of_lines("first-token-of-two\n\n# no token\nsecond-token-of-two", "x").unwrap();
        let access = Access::Tokens(tokens);
        let here = IpAddr::from([127, 0, 0, 1]);
        let client = |header: &str| access.client(here, Some(header.as_bytes()));
        assert_eq!(client("Bearer first-token-of-two"), Some(Client::Token(0)));
        assert_eq!(client("bearer second-token-of-two"), Some(Client::Token(1)));
        for wrong in ["", "Bearer", "Bearer ", "first-token-of-two", "Bearer first-token-of-tw", "Bearer # no token"] {
            assert_eq!(client(wrong), None, "{wrong}");
        }
        assert_eq!(access.client(here, None), None);
        let owners = [0, 1].map(|number| access.owner(Client::Token(number)));
        assert!(
            owners[0] != owners[1] && owners[0].len() == 64 && Access::Loopback.owner(Client::Address(here)).is_empty()
        );
        assert_eq!(Access::Loopback.client(here, None), Some(Client::Address(here)));
        assert_eq!(format!("{access:?}"), "Tokens(2 tokens)");
    }

    #[test]
    fn what_is_no_token_is_refused_without_showing_it() {
        for (text, message) in [
            ("\n# none\n", "x: there is no token in it"),
            ("a token with blanks", "x:1: a token holds blanks or what is not ASCII"),
        ] {
            let fault = Tokens::of_lines(text, "x").unwrap_err();
            assert_eq!((fault.to_string().as_str(), fault.exit_code()), (message, 2));
        }
    }
}
