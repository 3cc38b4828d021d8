//! The examination of a trained model in questions of one length.

use std::sync::Arc;

use percept_data::{Problem, Worked};
use percept_fault::Result;
use percept_model::session::step_all;
use percept_model::{InferenceModel, Session};

use super::plan::EXAM_SEED;
use super::result::ExamAt;

/// Texts that are written together.
const TOGETHER: usize = 32;
/// Tokens that are bytes; the document token is none.
const BYTES: usize = 256;

/// Asks `count` questions of `problem`, which have one length. The model writes whatever is to be told, working and answer, each time its likeliest
/// byte; and it is shown the true text and asked for each byte of the answer.
pub(super) fn examine(
    model: &Arc<InferenceModel>,
    document_token: u32,
    problem: &Problem,
    count: usize,
) -> Result<ExamAt> {
    let exercises: Vec<Worked> = (0..count as u64).map(|index| problem.worked(EXAM_SEED, index)).collect();
    let mut found = ExamAt { length: problem.lengths().1, ..ExamAt::default() };
    for together in exercises.chunks(TOGETHER) {
        for (worked, written) in together.iter().zip(write(model, document_token, together)?) {
            let (asked, right) = (worked.answer().count() as u64, worked.right(&written) as u64);
            found.exercises += 1;
            found.symbols += asked;
            found.right += right;
            found.whole += u64::from(right == asked);
            found.right_when_shown += shown(model, document_token, worked)?;
        }
    }
    Ok(found)
}

/// The texts that begin as those of the exercises and go on as the model writes them, as long as theirs.
fn write(model: &Arc<InferenceModel>, document_token: u32, exercises: &[Worked]) -> Result<Vec<Vec<u8>>> {
    let vocab = model.config().vocab;
    let mut sessions: Vec<Session> = exercises.iter().map(|_| Session::new(model.clone())).collect();
    let mut texts: Vec<Vec<u8>> = exercises.iter().map(|worked| worked.text[..worked.targets.from].to_vec()).collect();
    let mut next = Vec::with_capacity(exercises.len());
    for (session, text) in sessions.iter_mut().zip(&texts) {
        next.push(session.feed(&tokens(document_token, text))?);
    }
    loop {
        for ((worked, text), row) in exercises.iter().zip(&mut texts).zip(&next) {
            let at = text.len();
            if at < worked.text.len() {
                text.push(if worked.targets.contains(at) { likeliest(row) } else { worked.text[at] });
            }
        }
        let open = |at: usize| texts[at].len() < exercises[at].text.len();
        let going: Vec<usize> = (0..exercises.len()).filter(|&at| open(at)).collect();
        if going.is_empty() {
            return Ok(texts);
        }
        let fed: Vec<u32> = going.iter().filter_map(|&at| texts[at].last().map(|&byte| byte.into())).collect();
        let mut streams: Vec<&mut Session> =
            sessions.iter_mut().enumerate().filter(|(at, _)| going.contains(at)).map(|(_, session)| session).collect();
        let mut rows = vec![0.0; vocab * going.len()];
        step_all(&mut streams, &fed, &mut rows)?;
        for (at, row) in going.into_iter().zip(rows.chunks_exact(vocab)) {
            next[at].copy_from_slice(row);
        }
    }
}

/// How many bytes of the answer are the likeliest ones given the true text before each.
fn shown(model: &Arc<InferenceModel>, document_token: u32, worked: &Worked) -> Result<u64> {
    let mut told = Vec::new();
    let mut visit = |_, row: Option<&[f32]>| told.push(row.map(likeliest));
    Session::new(model.clone()).feed_with(&tokens(document_token, &worked.text), &mut visit, &mut || {})?;
    // The document token is told first.
    let right = worked.answer().filter(|&at| told.get(at + 1) == Some(&Some(worked.text[at])));
    Ok(right.count() as u64)
}

fn tokens(document_token: u32, text: &[u8]) -> Vec<u32> {
    std::iter::once(document_token).chain(text.iter().map(|&byte| byte.into())).collect()
}

/// The byte of the highest likelihood; 0, which is in no answer, where the model gives no probabilities.
fn likeliest(row: &[f32]) -> u8 {
    let bytes = row.iter().take(BYTES).enumerate().filter(|(_, ln_p)| !ln_p.is_nan());
    bytes.max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(byte, _)| byte as u8)
}

#[cfg(test)]
mod tests {
    use percept_model::{LanguageModel, ModelConfig};

    use super::*;

    const DOCUMENT: u32 = 256;

    fn untrained() -> Arc<InferenceModel> {
        let layers = "transformer".into();
        let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 1, heads: 2, context: 64, ..Default::default() };
        Arc::new(LanguageModel::new(&config, 7, &Default::default()).unwrap().into())
    }

    /// What a fresh stream tells next.
    fn next(model: &Arc<InferenceModel>, text: &[u8]) -> u8 {
        likeliest(&Session::new(model.clone()).feed(&tokens(DOCUMENT, text)).unwrap())
    }

    fn exercises(source: &str, count: u64) -> (Problem, Vec<Worked>) {
        let problem = Problem::checked(source).unwrap();
        (problem, (0..count).map(|index| problem.worked(EXAM_SEED, index)).collect())
    }

    #[test]
    fn the_model_goes_on_from_what_it_wrote_itself() {
        let model = untrained();
        // A working whose length differs from text to text, and values with keys between them, which are given.
        for source in ["synthetic:binary-addition?shortest=5&length=5&mode=cot", "synthetic:mqar?shortest=4&length=4"] {
            let (_, exercises) = exercises(source, 5);
            let written = write(&model, DOCUMENT, &exercises).unwrap();
            for (worked, written) in exercises.iter().zip(&written) {
                assert_eq!(written.len(), worked.text.len());
                for at in 0..written.len() {
                    let expected = match worked.targets.contains(at) {
                        true => next(&model, &written[..at]),
                        false => worked.text[at],
                    };
                    assert_eq!(written[at], expected, "{source} {at}");
                }
            }
            assert!(exercises.iter().zip(&written).any(|(worked, written)| worked.text != *written));
        }
    }

    #[test]
    fn teacher_forcing_shows_the_true_text() {
        let model = untrained();
        let (problem, exercises) = exercises("synthetic:duplicate?shortest=6&length=6&mode=cot", 40);
        let mut right = 0;
        for (worked, written) in exercises.iter().zip(write(&model, DOCUMENT, &exercises).unwrap()) {
            right += worked.answer().filter(|&at| next(&model, &worked.text[..at]) == worked.text[at]).count() as u64;
            // What it writes itself is what it tells of that text.
            assert_eq!(shown(&model, DOCUMENT, &Worked { text: written, ..worked.clone() }).unwrap(), 12);
        }
        let found = examine(&model, DOCUMENT, &problem, 40).unwrap();
        assert_eq!((found.length, found.exercises, found.symbols, found.right_when_shown), (6, 40, 40 * 12, right));
    }

    #[test]
    fn no_probabilities_are_no_answer() {
        assert_eq!((likeliest(&[f32::NAN; 257]), likeliest(&[-2.0, f32::NAN, -1.0])), (0, 2));
    }
}
