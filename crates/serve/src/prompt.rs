//! A prompt in its four forms. Read by hand: what serde derives for such a choice keeps a copy of all numbers first, sixteen
//! times as large.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// What to go on from.
#[derive(Debug, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Prompt {
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// Token ids.
    Tokens(Vec<u32>),
    /// Token ids of several prompts.
    TokenLists(Vec<Vec<u32>>),
}

const EXPECTED: &str = "a text, a list of texts, a list of token ids, or a list of such lists";

/// What stands in a list.
enum Item {
    Text(String),
    Token(u32),
    Tokens(Vec<u32>),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemVisitor;
        impl<'de> Visitor<'de> for ItemVisitor {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Item, E> {
                Ok(Item::Text(text.to_owned()))
            }

            fn visit_u64<E: Error>(self, token: u64) -> Result<Item, E> {
                u32::try_from(token).map(Item::Token).map_err(|_| E::custom(format!("{token} is no token id")))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Item, A::Error> {
                let mut tokens = Vec::new();
                while let Some(token) = items.next_element()? {
                    tokens.push(token);
                }
                Ok(Item::Tokens(tokens))
            }
        }
        deserializer.deserialize_any(ItemVisitor)
    }
}

impl<'de> Deserialize<'de> for Prompt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PromptVisitor;
        impl<'de> Visitor<'de> for PromptVisitor {
            type Value = Prompt;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Prompt, E> {
                Ok(Prompt::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Prompt, A::Error> {
                let mut prompt = match items.next_element::<Item>()? {
                    None => return Ok(Prompt::Tokens(Vec::new())),
                    Some(Item::Text(text)) => Prompt::Texts(vec![text]),
                    Some(Item::Token(token)) => Prompt::Tokens(vec![token]),
                    Some(Item::Tokens(tokens)) => Prompt::TokenLists(vec![tokens]),
                };
                while let Some(item) = items.next_element::<Item>()? {
                    match (&mut prompt, item) {
                        (Prompt::Texts(texts), Item::Text(text)) => texts.push(text),
                        (Prompt::Tokens(tokens), Item::Token(token)) => tokens.push(token),
                        (Prompt::TokenLists(lists), Item::Tokens(tokens)) => lists.push(tokens),
                        _ => return Err(A::Error::custom(format!("the items differ in kind: a prompt is {EXPECTED}"))),
                    }
                }
                Ok(prompt)
            }
        }
        deserializer.deserialize_any(PromptVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_has_four_forms_and_no_other() {
        let prompt = |json: &str| serde_json::from_str::<Prompt>(json);
        assert_eq!(prompt("\"a\"").unwrap(), Prompt::Text("a".into()));
        assert_eq!(prompt("[\"a\",\"b\"]").unwrap(), Prompt::Texts(vec!["a".into(), "b".into()]));
        assert_eq!(prompt("[1,2]").unwrap(), Prompt::Tokens(vec![1, 2]));
        assert_eq!(prompt("[[1],[]]").unwrap(), Prompt::TokenLists(vec![vec![1], vec![]]));
        for wrong in ["[1,\"a\"]", "[[1],2]", "[-1]", "[4294967296]", "1", "{}", "[1.5]", "[[[1]]]", "[null]"] {
            assert!(prompt(wrong).is_err(), "{wrong}");
        }
    }
}
