//! From what an engine tells of a text to what the API shows of it.

use std::collections::BTreeMap;

use percept_data::Detokenizer;
use percept_generate::{Piece, ToldToken};

use crate::types::{Choice, Logprobs};

/// Builds the pieces of one choice.
#[derive(Debug)]
pub(crate) struct ChoiceBuilder {
    index: usize,
    /// What still stands before the text: the prompt, where it is to be shown.
    before: String,
    /// Tokens that are not told: a document token that the client did not send.
    skip: usize,
    logprobs: bool,
    /// What stands before the next token that is told: a token's text may depend on it.
    seen: Detokenizer,
    /// Characters that are whole in it.
    offset: usize,
}

impl ChoiceBuilder {
    /// `before`: what is shown before the text.
    pub(crate) fn new(index: usize, before: String, shown: Shown) -> Self {
        let Shown { skip, logprobs, seen, offset } = shown;
        Self { index, before, skip, logprobs, seen, offset }
    }

    /// What a piece adds.
    pub(crate) fn piece(&mut self, piece: Piece) -> Choice {
        let skipped = self.skip.min(piece.tokens.len());
        self.skip -= skipped;
        let logprobs = self.logprobs.then(|| self.logprobs(&piece.tokens[skipped..]));
        let text = std::mem::take(&mut self.before) + &piece.text;
        Choice { text, index: self.index, logprobs, finish_reason: None, state_bytes: None, state: None }
    }

    /// The end of the text, with the bytes of its stream's state there.
    pub(crate) fn end(&mut self, stopped: bool, state_bytes: usize) -> Choice {
        let finish_reason = Some(if stopped { "stop" } else { "length" });
        Choice { finish_reason, state_bytes: Some(state_bytes), ..self.piece(Piece::default()) }
    }

    fn logprobs(&mut self, tokens: &[ToldToken]) -> Logprobs {
        let mut all = Logprobs::default();
        for told in tokens {
            all.text_offset.push(self.offset);
            all.tokens.push(self.text(told.token));
            all.token_ids.push(told.token);
            all.token_logprobs.push(told.log_probability);
            let (values, ids) = told.log_probability.map(|_| self.alternatives(told)).unzip();
            all.top_logprobs.push(values);
            all.top_token_ids.push(ids);
            self.offset += self.seen.push(told.token).chars().count();
        }
        all
    }

    /// The alternatives and their ids by their texts. Where two tokens have the same text, the more probable one stands for both.
    fn alternatives(&self, told: &ToldToken) -> (BTreeMap<String, f32>, BTreeMap<String, u32>) {
        let (mut values, mut ids) = (BTreeMap::new(), BTreeMap::new());
        for &(token, value) in &told.alternatives {
            let text = self.text(token);
            values.entry(text.clone()).or_insert(value);
            ids.entry(text).or_insert(token);
        }
        (values, ids)
    }

    /// What a token adds to what stands before it.
    fn text(&self, token: u32) -> String {
        token_text(self.seen.clone().bytes(&[token]))
    }
}

/// How the tokens of a text are told.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Tokens at the start of which the client knows nothing.
    pub(crate) skip: usize,
    pub(crate) logprobs: bool,
    /// What stands before the first token that is told.
    pub(crate) seen: Detokenizer,
    /// Characters of it.
    pub(crate) offset: usize,
}

/// A token's text, or its bytes where they are no text by themselves.
fn token_text(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let hex: String = error.as_bytes().iter().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("bytes:{hex}")
        }
    }
}

/// Joins the pieces of a choice.
pub(crate) fn join(whole: &mut Choice, piece: Choice) {
    whole.text.push_str(&piece.text);
    whole.finish_reason = piece.finish_reason;
    whole.state_bytes = piece.state_bytes;
    whole.state = piece.state;
    if let (Some(all), Some(more)) = (&mut whole.logprobs, piece.logprobs) {
        all.tokens.extend(more.tokens);
        all.token_ids.extend(more.token_ids);
        all.token_logprobs.extend(more.token_logprobs);
        all.top_logprobs.extend(more.top_logprobs);
        all.top_token_ids.extend(more.top_token_ids);
        all.text_offset.extend(more.text_offset);
    }
}

#[cfg(test)]
mod tests {
    use percept_data::Tokenizer;

    use super::*;

    fn told(token: u32) -> ToldToken {
        ToldToken { token, log_probability: Some(-1.0), alternatives: vec![(token, -1.0), (97, -2.0)] }
    }

    #[test]
    fn half_characters_are_shown_as_bytes_and_offsets_count_characters() {
        let seen = Tokenizer::bytes().detokenizer_after(&[97, 98, 99]);
        let shown = Shown { skip: 1, logprobs: true, seen, offset: 3 };
        let mut builder = ChoiceBuilder::new(2, "abc".into(), shown);
        let mut tokens = vec![ToldToken { log_probability: None, ..told(256) }];
        tokens.extend([0xc3, 0xa9, 0x61].map(told));
        let choice = builder.piece(Piece { text: "éa".into(), tokens });
        let logprobs = choice.logprobs.unwrap();
        assert_eq!(logprobs.tokens, ["bytes:\\xc3", "bytes:\\xa9", "a"]);
        assert_eq!(logprobs.text_offset, [3, 3, 4]);
        assert_eq!(logprobs.top_logprobs[2].as_ref().unwrap().len(), 1, "the same text once");
        assert_eq!(logprobs.top_token_ids[1], Some(BTreeMap::from([("bytes:\\xa9".into(), 0xa9), ("a".into(), 97)])));
        assert_eq!((choice.text.as_str(), choice.index, choice.state_bytes), ("abcéa", 2, None));
        let end = builder.end(true, 99);
        assert_eq!((end.text.as_str(), end.finish_reason, end.state_bytes), ("", Some("stop"), Some(99)));
    }
}
