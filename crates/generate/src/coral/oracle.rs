//! Who says what is likely around the tokens of a text.

use std::ops::RangeInclusive;

use percept_fault::Result;
use percept_model::Session;
use percept_model::config::Offsets;
use percept_model::session::Pair;

/// Which sources are asked for which targets, all positions in the text.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) sources: RangeInclusive<usize>,
    pub(crate) targets: RangeInclusive<usize>,
    /// Targets lie at most so far from their sources.
    pub(crate) offsets: Offsets,
}

impl Question {
    pub(crate) fn holds(&self, Pair { source, target }: Pair) -> bool {
        let Offsets { forward, backward } = self.offsets;
        let is_near = target <= source + forward && source <= target + backward;
        is_near && self.sources.contains(&source) && self.targets.contains(&target)
    }
}

/// Gets the index of a text, a pair, and ln p of every token at the pair's target.
pub(crate) type Visit<'a> = dyn FnMut(usize, Pair, &[f32]) + 'a;

/// Knows the distributions around tokens.
pub(crate) trait Oracle {
    /// Asks texts that are the same before the first source, and end with the last one. From question to question the first source moves
    /// forward only, and what is before it stays.
    fn ask(&mut self, texts: &[Vec<u32>], question: &Question, visit: &mut Visit<'_>) -> Result<()>;
}

/// Tokens before the first source that are read with every question, rather than once for all: passes are few, and rows are cheap.
const LAG: usize = 16;

/// An order-agnostic model with the state of a text.
#[derive(Debug)]
pub(crate) struct SessionOracle<'a> {
    /// Somewhere before the first source.
    session: &'a mut Session,
    /// The token that comes nowhere in a text.
    never: u32,
    /// Where the text begins in the stream.
    start: usize,
}

impl<'a> SessionOracle<'a> {
    /// The text begins with what the session is fed next.
    pub(crate) fn new(session: &'a mut Session, never: u32) -> Self {
        Self { start: session.position(), session, never }
    }

    /// The offsets that the model has learned.
    pub(crate) fn offsets(&self) -> Offsets {
        self.session.model().config().order_agnostic
    }

    /// Reads the text up to a position.
    pub(crate) fn settle(&mut self, text: &[u32], until: usize) -> Result<()> {
        let read = self.session.position() - self.start;
        match until > read {
            true => self.session.feed_asking(&text[read..until], &|_| false, &mut |_, _| ()),
            false => Ok(()),
        }
    }
}

impl Oracle for SessionOracle<'_> {
    fn ask(&mut self, texts: &[Vec<u32>], question: &Question, visit: &mut Visit<'_>) -> Result<()> {
        let first = *question.sources.start();
        if let [text, ..] = texts
            && (texts.len() > 1 || first >= self.session.position() - self.start + LAG)
        {
            self.settle(text, first)?;
        }
        let (start, read) = (self.start, self.session.position() - self.start);
        let in_text = |pair: Pair| Pair { source: pair.source - start, target: pair.target - start };
        let wanted = |pair: Pair| pair.target >= start && question.holds(in_text(pair));
        let mut row = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let mut visit = |pair: Pair, ln_p: &[f32]| {
                row.clear();
                row.extend_from_slice(ln_p);
                exclude(&mut row, self.never);
                visit(index, in_text(pair), &row);
            };
            self.session.fork().feed_asking(&text[read..], &wanted, &mut visit)?;
        }
        Ok(())
    }
}

/// ln p of all others, once a token is known not to come.
fn exclude(ln_p: &mut [f32], never: u32) {
    let Some(excluded) = ln_p.get_mut(never as usize) else { return };
    let rest = -f64::from(*excluded).exp();
    *excluded = f32::NEG_INFINITY;
    let norm = rest.ln_1p() as f32;
    ln_p.iter_mut().for_each(|ln_p| *ln_p -= norm);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_take_the_place_of_a_token_that_never_comes() {
        let mut ln_p = [0.5_f32, 0.3, 0.2].map(f32::ln);
        exclude(&mut ln_p, 1);
        assert!(ln_p[1] == f32::NEG_INFINITY && (ln_p[0].exp() - 5.0 / 7.0).abs() < 1e-6, "{ln_p:?}");
        exclude(&mut ln_p, 9);
        assert!((ln_p[2].exp() - 2.0 / 7.0).abs() < 1e-6);
    }
}
