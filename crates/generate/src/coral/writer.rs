//! The text of tokens that are fixed.

use std::ops::ControlFlow;
use std::time::Instant;

use percept_data::{Detokenizer, Tokenizer};
use percept_fault::Result;

use crate::gate::Gate;
use crate::{Generation, GenerationConfig};

/// Shows text as its tokens are fixed, until a stop string comes or there are enough.
pub(super) struct Writer<'a> {
    detokenizer: Detokenizer,
    gate: Gate,
    limit: usize,
    tokens: usize,
    text: String,
    begin: Instant,
    emit: &'a mut dyn FnMut(&str) -> Result<()>,
}

impl<'a> Writer<'a> {
    /// After the tokens that were seen.
    pub(super) fn new(
        tokenizer: &Tokenizer,
        seen: &[u32],
        config: &GenerationConfig,
        emit: &'a mut dyn FnMut(&str) -> Result<()>,
    ) -> Self {
        Self {
            detokenizer: tokenizer.detokenizer_after(seen),
            gate: Gate::new(&config.stop),
            limit: config.tokens,
            tokens: 0,
            text: String::new(),
            begin: Instant::now(),
            emit,
        }
    }

    /// How many tokens are in the text.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Appends tokens as long as none ends the text.
    pub(super) fn push(&mut self, tokens: &[u32]) -> Result<ControlFlow<()>> {
        for &token in tokens {
            self.tokens += 1;
            let text = self.gate.pass(&self.detokenizer.push(token));
            self.show(text)?;
            if self.gate.is_closed() || self.tokens == self.limit {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn show(&mut self, text: String) -> Result<()> {
        self.text.push_str(&text);
        if text.is_empty() { Ok(()) } else { (self.emit)(&text) }
    }

    /// Ends the text; what was held back is shown.
    pub(super) fn finish(mut self) -> Result<Generation> {
        let mut rest = self.gate.pass(&self.detokenizer.finish());
        let stopped = self.gate.is_closed();
        let seconds = self.begin.elapsed().as_secs_f64();
        rest.push_str(&self.gate.finish());
        self.show(rest)?;
        Ok(Generation { tokens: self.tokens, text: self.text, stopped, seconds })
    }
}
