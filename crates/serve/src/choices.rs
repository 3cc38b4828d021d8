//! From what an engine tells of a text to what the API shows of it.

use std::collections::BTreeMap;

use percept_data::Tokenizer;
use percept_generate::{Piece, ToldToken};

use crate::types::{Choice, Logprobs};

/// Builds the pieces of one choice.
#[derive(Debug)]
pub(crate) struct ChoiceBuilder {
    tokenizer: Tokenizer,
    index: usize,
    /// What still stands before the text: the prompt, where it is to be shown.
    before: String,
    /// Tokens that are not told: a document token that the client did not send.
    skip: usize,
    logprobs: bool,
    /// Characters that began in the tokens that were told.
    offset: usize,
}

impl ChoiceBuilder {
    /// `before`: what is shown before the text; `skip`: tokens of which the client knows nothing; `offset`: characters of the
    /// text before the first token that is told.
    pub(crate) fn new(tokenizer: Tokenizer, index: usize, before: String, shown: Shown) -> Self {
        let Shown { skip, logprobs, offset } = shown;
        Self { tokenizer, index, before, skip, logprobs, offset }
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
            let bytes = self.tokenizer.decode(&[told.token]);
            all.text_offset.push(self.offset);
            // A character begins where no byte of the middle of one stands.
            self.offset += bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
            all.tokens.push(token_text(bytes));
            all.token_ids.push(told.token);
            all.token_logprobs.push(told.log_probability);
            let (values, ids) = told.log_probability.map(|_| self.alternatives(told)).unzip();
            all.top_logprobs.push(values);
            all.top_token_ids.push(ids);
        }
        all
    }

    /// The alternatives and their ids by their texts. Where two tokens have the same text, the more probable one stands for both.
    fn alternatives(&self, told: &ToldToken) -> (BTreeMap<String, f32>, BTreeMap<String, u32>) {
        let (mut values, mut ids) = (BTreeMap::new(), BTreeMap::new());
        for &(token, value) in &told.alternatives {
            let text = token_text(self.tokenizer.decode(&[token]));
            values.entry(text.clone()).or_insert(value);
            ids.entry(text).or_insert(token);
        }
        (values, ids)
    }
}

/// How the tokens of a text are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    /// Tokens at the start of which the client knows nothing.
    pub(crate) skip: usize,
    pub(crate) logprobs: bool,
    /// Characters of the text before the first token that is told.
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
    use super::*;

    #[test]
    fn half_characters_are_shown_as_bytes_and_offsets_count_characters() {
        let told =
            |token| ToldToken { token, log_probability: Some(-1.0), alternatives: vec![(token, -1.0), (97, -2.0)] };
        let shown = Shown { skip: 1, logprobs: true, offset: 3 };
        let mut builder = ChoiceBuilder::new(Tokenizer::bytes(), 2, "abc".into(), shown);
        let mut tokens = vec![ToldToken { log_probability: None, ..told(256) }];
        tokens.extend([0xc3, 0xa9, 0x61].map(told));
        let choice = builder.piece(Piece { text: "éa".into(), tokens });
        let logprobs = choice.logprobs.unwrap();
        assert_eq!(logprobs.tokens, ["bytes:\\xc3", "bytes:\\xa9", "a"]);
        assert_eq!(logprobs.text_offset, [3, 4, 4]);
        assert_eq!(logprobs.top_logprobs[2].as_ref().unwrap().len(), 1, "the same text once");
        assert_eq!(logprobs.top_token_ids[1], Some(BTreeMap::from([("bytes:\\xa9".into(), 0xa9), ("a".into(), 97)])));
        assert_eq!((choice.text.as_str(), choice.index, choice.state_bytes), ("abcéa", 2, None));
        let end = builder.end(true, 99);
        assert_eq!((end.text.as_str(), end.finish_reason, end.state_bytes), ("", Some("stop"), Some(99)));
    }
}
