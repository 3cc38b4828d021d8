//! One pass of a scorer over one document.

use std::ops::Range;

use percept_data::Targets;
use percept_fault::{Fault, Result};
use percept_model::{Batch, IGNORED};

use super::{Cut, Protocol, Scorer, Tokens};

/// Gets targets of a document and the NLL of each, in nats.
pub(super) type Visit<'a> = dyn FnMut(Range<usize>, &[f64]) + 'a;

/// One pass over one document.
pub(super) struct Pass<'a> {
    pub(super) scorer: &'a dyn Scorer,
    pub(super) document_token: u32,
    pub(super) tokens: &'a Tokens<'a>,
    pub(super) marked: Targets,
}

impl Pass<'_> {
    /// Shows `visit` the NLL of those of the `targets` that are marked, in order.
    pub(super) fn run(&self, protocol: Protocol, targets: Range<usize>, visit: &mut Visit<'_>) -> Result<()> {
        let visit: &mut Visit<'_> = match self.marked.every {
            1 => visit,
            _ => &mut |range, nll| {
                for (at, nll) in range.zip(nll).filter(|(at, _)| self.marked.contains(*at)) {
                    visit(at..at + 1, std::slice::from_ref(nll));
                }
            },
        };
        match protocol {
            Protocol::Stream => self.stream(targets, visit),
            Protocol::SlidingWindow { window, stride } => self.slide(targets, window, stride, visit),
        }
    }

    fn stream(&self, targets: Range<usize>, visit: &mut Visit<'_>) -> Result<()> {
        let most = self.scorer.tokens_per_call().max(1);
        let pieces = |range: Range<usize>| {
            range.clone().step_by(most).map(move |start| self.tokens.range(start..(start + most).min(range.end)))
        };
        let mut stream = self.scorer.stream()?;
        stream.feed(&[self.document_token])?;
        for piece in pieces(0..targets.start) {
            stream.feed(&piece)?;
        }
        let mut at = targets.start;
        for piece in pieces(targets) {
            visit(at..at + piece.len(), &stream.score(&piece)?);
            at += piece.len();
        }
        Ok(())
    }

    fn slide(&self, targets: Range<usize>, window: usize, stride: usize, visit: &mut Visit<'_>) -> Result<()> {
        let scorable = self.scorer.scorable(window);
        let mut at = targets.start;
        let mut windows = Cut::sliding(window, stride, scorable).windows(targets).peekable();
        while let Some(first) = windows.next() {
            let length = first.inputs.len();
            let mut batch = Batch { tokens: Vec::new(), targets: Vec::new(), rows: 0, length };
            first.append_to(&mut batch, self.tokens, self.document_token);
            while (batch.rows + 1) * length <= self.scorer.tokens_per_call() {
                let Some(next) = windows.next_if(|next| next.inputs.len() == length) else { break };
                next.append_to(&mut batch, self.tokens, self.document_token);
            }
            let wanted = batch.targets.iter().filter(|&&target| target != IGNORED).count();
            let nll = self.scorer.score_windows(&batch)?;
            if nll.len() != wanted {
                return Err(Fault::internal(format!("the model scored {} of {wanted} targets", nll.len())));
            }
            visit(at..at + wanted, &nll);
            at += wanted;
        }
        Ok(())
    }
}
