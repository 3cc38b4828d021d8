//! Distributions at the answers of documents, by batches of windows.

use std::collections::BTreeMap;
use std::ops::Range;

use percept_data::{Exercise, Task, Tokenizer};
use percept_fault::{Fault, Result};
use percept_model::{Batch, IGNORED};

use crate::Cut;

use super::statistics::chosen;
use super::table::{Answered, TaskTally};
use super::{Meter, Subject};

/// Asks `count` documents of a task and counts the answers under `size`.
pub(super) fn ask(
    subject: &Subject<'_>,
    task: &Task,
    (size, seed, count): (u64, u64, usize),
    tally: &mut TaskTally,
    meter: &mut Meter<'_>,
) -> Result<()> {
    let mut alphabet = Alphabet { tokenizer: subject.tokenizer, known: BTreeMap::new() };
    let candidates = alphabet.tokens(task.candidates())?;
    let rows = (subject.scorer.tokens_per_call() / task.size()).max(1);
    for first in (0..count).step_by(rows) {
        let exercises: Vec<Exercise> =
            (first..count.min(first + rows)).map(|index| task.exercise(seed, index as u64)).collect();
        let documents = exercises.iter().map(|exercise| alphabet.tokens(&exercise.text)).collect::<Result<Vec<_>>>()?;
        let answers: Vec<Vec<usize>> =
            exercises.iter().map(|exercise| exercise.answers.iter().map(|answer| answer.at).collect()).collect();
        let mut broken = false;
        distributions(subject, &documents, &answers, exercises[0].scored_from, &mut |document, nth, ln_p| {
            let answer = exercises[document].answers[nth];
            let likelihoods: Vec<f64> = candidates.iter().map(|&token| f64::from(ln_p[token as usize])).collect();
            let right = documents[document][answer.at];
            let Some(truth) = candidates.iter().position(|&token| token == right) else { return };
            broken |= likelihoods.iter().any(|likelihood| likelihood.is_nan());
            tally.add(Answered {
                size,
                document: (first + document) as u64,
                distance: answer.distance() as u64,
                correct: chosen(&likelihoods, truth),
                nll: -likelihoods[truth],
            });
        })?;
        if broken {
            return Err(no_probabilities());
        }
        meter.add(documents.len() * task.size());
    }
    Ok(())
}

/// A fault for likelihoods that are not numbers.
pub(super) fn no_probabilities() -> Fault {
    Fault::check("the model gives no probabilities")
        .hint("the weights are broken or training diverged; use an earlier checkpoint")
}

/// The tokens of single bytes, as far as they were needed.
struct Alphabet<'a> {
    tokenizer: &'a Tokenizer,
    known: BTreeMap<u8, u32>,
}

impl Alphabet<'_> {
    /// One token for each byte of an ASCII text, whatever the tokenizer would make of the whole.
    fn tokens(&mut self, text: &[u8]) -> Result<Vec<u32>> {
        text.iter().map(|&byte| self.token(byte)).collect()
    }

    fn token(&mut self, byte: u8) -> Result<u32> {
        if let Some(&token) = self.known.get(&byte) {
            return Ok(token);
        }
        match self.tokenizer.encode(&[byte])?[..] {
            [token] => {
                self.known.insert(byte, token);
                Ok(token)
            }
            ref tokens => Err(Fault::usage(format!(
                "the model's tokenizer writes `{}` in {} tokens; the tasks of the suites need one each",
                char::from(byte),
                tokens.len()
            ))
            .hint("the suites recall and copy are for byte and byte-level BPE tokenizers")),
        }
    }
}

/// Shows `visit` the document, the number of the answer and ln p of every token for each of `answers` (indices of tokens, from
/// `from` on) of equally long documents. Windows follow the rules of the model: of all that it can score at a time, or half
/// its longest window where a document is longer.
fn distributions(
    subject: &Subject<'_>,
    documents: &[Vec<u32>],
    answers: &[Vec<usize>],
    from: usize,
    visit: &mut dyn FnMut(usize, usize, &[f32]),
) -> Result<()> {
    let (scorer, length) = (subject.scorer, documents[0].len());
    let window = length.min(scorer.longest());
    let scorable = scorer.scorable(window);
    let stride = if window == length { scorable } else { scorable.min(window.div_ceil(2)) };
    for window in Cut::sliding(window, stride, scorable).windows(from..length) {
        let asked: Vec<(usize, usize)> = (0..)
            .zip(answers)
            .flat_map(|(document, answers)| {
                let inside = (0..).zip(answers).filter(|(_, at)| window.targets.contains(at));
                inside.map(move |(nth, _)| (document, nth))
            })
            .collect();
        let batch = batch(subject.tokenizer.document_token(), documents, answers, window.inputs, window.targets);
        let mut next = asked.iter();
        scorer.distributions(&batch, &mut |ln_p| {
            if let Some(&(document, nth)) = next.next() {
                visit(document, nth, ln_p);
            }
        })?;
        if next.next().is_some() {
            return Err(Fault::internal("the model left answers out"));
        }
    }
    Ok(())
}

/// The inputs of every document, input `i` being the token before token `i`; only answers inside `targets` are targets.
fn batch(
    document_token: u32,
    documents: &[Vec<u32>],
    answers: &[Vec<usize>],
    inputs: Range<usize>,
    targets: Range<usize>,
) -> Batch {
    let length = inputs.len();
    let mut batch = Batch { tokens: Vec::new(), targets: Vec::new(), rows: documents.len(), length };
    for (document, answers) in documents.iter().zip(answers) {
        batch.tokens.extend(inputs.clone().map(|at| if at == 0 { document_token } else { document[at - 1] }));
        let first = batch.targets.len();
        batch.targets.resize(first + length, IGNORED);
        for &at in answers.iter().filter(|at| targets.contains(at)) {
            batch.targets[first + at - inputs.start] = document[at];
        }
    }
    batch
}
