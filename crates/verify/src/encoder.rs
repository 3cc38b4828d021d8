//! The promises of an encoder.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, Tensor};
use percept_fault::Result;
use percept_model::encoder::{Encoder, EncoderConfig, MaskedBatch, Sequences};
use percept_model::{Mode, Recompute, Trainable, parameters};
use percept_random::split_mix;

use super::checks::Worst;
use super::probes::difference;
use super::{Check, Effort, Row, Verdict};

/// Of ln p between f32 and f64.
const SINGLE: f64 = 2e-3;
/// Between two ways of computing the same in f64.
const EXACT: f64 = 1e-9;
/// Of a loss, which is computed in single precision outside of the kernels too.
const LOSS: f64 = 1e-5;
/// Tokens of the sequences that are tried, at most.
const LENGTH: usize = 48;

/// An encoder to check, in f64 on the CPU and in f32 on the device that is to be used.
pub struct EncoderSubject {
    name: String,
    exact: Encoder,
    single: Encoder,
    length: usize,
}

impl EncoderSubject {
    /// Checks these weights; single precision is computed on `device`.
    ///
    /// # Errors
    /// A configuration that the model crate refuses.
    pub fn new(name: impl Into<String>, encoder: &Encoder, device: &Device) -> Result<Self> {
        let length = encoder.config().context.min(LENGTH);
        let exact = of_type(encoder, &Device::flex(), DType::F64)?;
        Ok(Self { name: name.into(), exact, single: of_type(encoder, device, DType::F32)?, length })
    }

    /// Checks random weights for a configuration.
    ///
    /// # Errors
    /// As [`EncoderSubject::new`].
    pub fn random(name: impl Into<String>, config: &EncoderConfig, seed: u64, device: &Device) -> Result<Self> {
        Self::new(name, &Encoder::new(config, seed, &Device::flex())?, device)
    }

    fn tokens(&self, length: usize, seed: u64) -> Vec<u32> {
        let vocab = self.exact.config().vocab as u64;
        (0..length as u64).map(|index| (split_mix(seed, index) % vocab) as u32).collect()
    }
}

fn of_type(encoder: &Encoder, device: &Device, dtype: DType) -> Result<Encoder> {
    let weights = parameters::collect(encoder);
    let zeros = Encoder::zeros(encoder.config(), &device.clone().autodiff())?;
    Ok(parameters::map(zeros, |path, _, tensor| {
        let tensor = weights.get(path).map_or(tensor, |weight| weight.data.clone());
        Tensor::from_data(tensor.into_data().convert_dtype(dtype), (device, dtype))
    }))
}

/// ln p of every token at some places of some sequences.
fn rows(encoder: &Encoder, sequences: &Sequences, places: &[usize]) -> Result<Vec<Row>> {
    let ln_p = log_softmax(encoder.for_inference().logits_at(sequences, places)?, 1);
    let elements: Vec<f64> = ln_p.into_data().convert::<f64>().iter::<f64>().collect();
    Ok(elements.chunks(encoder.config().vocab).map(<[f64]>::to_vec).collect())
}

/// A small encoder of the same structure, initialised larger, so that every path shows in its output.
///
/// ```
/// use percept_model::encoder::EncoderConfig;
/// use percept_verify::reduced_encoder;
/// let small = reduced_encoder(&EncoderConfig { dim: 768, depth: 12, heads: 12, context: 512, ..Default::default() });
/// assert_eq!((small.dim, small.depth, small.conv_width), (32, 2, 5));
/// small.validate().unwrap();
/// ```
pub fn reduced_encoder(config: &EncoderConfig) -> EncoderConfig {
    EncoderConfig {
        vocab: 61,
        dim: 32,
        depth: config.depth.min(2),
        heads: 4,
        feed_forward_dim: 0,
        context: config.context.min(24),
        conv_width: config.conv_width.min(5),
        conv_group: 8,
        groups: 4,
        init_std: 0.3,
        ..config.clone()
    }
}

/// Runs every check of an encoder. `progress` gets each outcome as it is known.
///
/// ```
/// use percept_model::encoder::EncoderConfig;
/// use percept_verify::{Effort, EncoderSubject, reduced_encoder, verify_encoder};
/// let config = reduced_encoder(&EncoderConfig::default());
/// let subject = EncoderSubject::random("groupbert", &config, 1, &Default::default())?;
/// let verdict = verify_encoder(&subject, Effort::SAMPLED, &mut |_| ())?;
/// assert!(verdict.passed, "{:?}", verdict.failures());
/// # Ok::<(), percept_fault::Fault>(())
/// ```
///
/// # Errors
/// Whatever running the model meets; a check that does not hold is no error.
pub fn verify_encoder(subject: &EncoderSubject, effort: Effort, progress: &mut dyn FnMut(&Check)) -> Result<Verdict> {
    let checks = [both_sides, batch_independence, padding_independence, loss_agreement, single_precision];
    let mut found = Vec::new();
    for check in checks {
        let outcome = check(subject, effort)?;
        progress(&outcome);
        found.push(outcome);
    }
    Ok(Verdict::new(subject.name.clone(), found))
}

/// Every place sees the first and the last token.
fn both_sides(subject: &EncoderSubject, effort: Effort) -> Result<Check> {
    let (length, vocab) = (subject.length, subject.exact.config().vocab as u32);
    let tokens = subject.tokens(length, effort.seed);
    let places: Vec<usize> = (0..length).step_by((length / effort.positions).max(1)).collect();
    let before = rows(&subject.exact, &Sequences::of(&[&tokens]), &places)?;
    let mut blind = Worst::default();
    for end in [0, length - 1] {
        let mut changed = tokens.clone();
        changed[end] = (changed[end] + vocab / 2) % vocab;
        let after = rows(&subject.exact, &Sequences::of(&[&changed]), &places)?;
        for ((place, before), after) in places.iter().zip(&before).zip(&after) {
            let sees = difference(before, after) > 0.0;
            blind.see(if sees { 0.0 } else { 1.0 }, || format!("at place {place}, which does not see token {end}"));
        }
    }
    Ok(blind.at_most("both-sides", 0.0, "places that do not see an end of the sequence"))
}

/// A sequence's rows do not depend on the others of its batch.
fn batch_independence(subject: &EncoderSubject, effort: Effort) -> Result<Check> {
    let length = subject.length;
    let sequences: Vec<Vec<u32>> = (0..3).map(|row| subject.tokens(length, effort.seed + row)).collect();
    let together: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    let worst = apart(subject, &Sequences::of(&together), &sequences)?;
    Ok(worst.at_most("batch-independence", EXACT, "difference between a sequence in a batch and alone"))
}

/// Nor on padding, whatever stands there.
fn padding_independence(subject: &EncoderSubject, effort: Effort) -> Result<Check> {
    let length = subject.length;
    let lengths = [length, 1, length / 3 + 1, length, length / 2 + 1];
    let sequences: Vec<Vec<u32>> =
        (0..).zip(lengths).map(|(row, length)| subject.tokens(length, effort.seed + row)).collect();
    let together: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    let mut together = Sequences::of(&together);
    for (row, length) in lengths.into_iter().enumerate() {
        let garbage = subject.tokens(together.rows - length, effort.seed + 77);
        together.tokens[row * together.rows + length..(row + 1) * together.rows].copy_from_slice(&garbage);
    }
    let worst = apart(subject, &together, &sequences)?;
    Ok(worst.at_most("padding-independence", EXACT, "difference made by padding"))
}

/// The rows of sequences in a batch, from those of each alone.
fn apart(subject: &EncoderSubject, together: &Sequences, sequences: &[Vec<u32>]) -> Result<Worst> {
    let mut worst = Worst::default();
    for (row, tokens) in sequences.iter().enumerate() {
        let places: Vec<usize> = (0..tokens.len()).collect();
        let alone = rows(&subject.exact, &Sequences::of(&[tokens]), &places)?;
        let places: Vec<usize> = places.into_iter().map(|at| row * together.rows + at).collect();
        let found = rows(&subject.exact, together, &places)?;
        for (at, (alone, found)) in alone.iter().zip(&found).enumerate() {
            worst.see(difference(alone, found), || format!("at place {at} of sequence {row}"));
        }
    }
    Ok(worst)
}

/// The loss of the rows is that of evaluation, and of training with and without recomputation.
fn loss_agreement(subject: &EncoderSubject, effort: Effort) -> Result<Check> {
    let sequences = [subject.length, subject.length / 2 + 1].map(|length| subject.tokens(length, effort.seed));
    let sequences = Sequences::of(&[&sequences[0], &sequences[1]]);
    let asked = vec![0, subject.length / 2, subject.length, subject.length + subject.length / 2];
    let labels = subject.tokens(asked.len(), effort.seed + 1);
    let by_rows = rows(&subject.exact, &sequences, &asked)?;
    let expected: f64 = by_rows.iter().zip(&labels).map(|(row, label)| -row[*label as usize]).sum();
    let batch = MaskedBatch { sequences, asked, labels };
    let train = |recompute| subject.exact.loss_and_gradients(&batch, Mode::Evaluation, recompute, 1.0);
    let ways = [
        ("evaluation", subject.exact.evaluate(&batch)?.nll),
        ("training", train(Recompute::Keep)?.loss),
        ("training with recomputation", train(Recompute::Blocks)?.loss),
    ];
    let mut worst = Worst::default();
    for (way, loss) in ways {
        worst.see((loss - expected).abs() / batch.labels.len() as f64, || format!("of {way} from the rows"));
    }
    Ok(worst.at_most("loss-agreement", LOSS, "difference of the loss per target"))
}

/// f32 gives what f64 gives, with padding too.
fn single_precision(subject: &EncoderSubject, effort: Effort) -> Result<Check> {
    let mut worst = Worst::default();
    let sequences = [subject.length, subject.length / 2 + 1].map(|length| subject.tokens(length, effort.seed));
    let sequences = Sequences::of(&[&sequences[0], &sequences[1]]);
    let places: Vec<usize> = (0..subject.length + subject.length / 2 + 1).collect();
    let [exact, single] = [&subject.exact, &subject.single].map(|encoder| rows(encoder, &sequences, &places));
    for (at, (exact, single)) in exact?.iter().zip(&single?).enumerate() {
        worst.see(difference(exact, single), || format!("at place {at}"));
    }
    Ok(worst.at_most("single-precision", SINGLE, "difference between f32 and f64"))
}

#[cfg(test)]
mod tests {
    use percept_model::encoder::{LayerKind, NormPlace};

    use super::*;

    fn subject(layer: LayerKind, norm_place: NormPlace, seed: u64) -> EncoderSubject {
        let config = reduced_encoder(&EncoderConfig { layer, norm_place, ..EncoderConfig::default() });
        EncoderSubject::random("one", &config, seed, &Device::flex()).unwrap()
    }

    #[test]
    fn both_kinds_of_layers_keep_their_promises() {
        for (layer, place) in [(LayerKind::Groupbert, NormPlace::Before), (LayerKind::Bert, NormPlace::After)] {
            let verdict = verify_encoder(&subject(layer, place, 1), Effort::THOROUGH, &mut |_| ()).unwrap();
            assert!(verdict.passed, "{:?}", verdict.checks);
            assert_eq!(verdict.checks.len(), 5);
        }
    }

    #[test]
    fn another_result_in_single_precision_is_caught() {
        let [mut one, other] = [1, 2].map(|seed| subject(LayerKind::Groupbert, NormPlace::Before, seed));
        one.single = other.single;
        assert_eq!(verify_encoder(&one, Effort::SAMPLED, &mut |_| ()).unwrap().failures(), ["single-precision"]);
    }

    #[test]
    fn an_encoder_that_does_not_see_the_ends_is_caught() {
        // Without the values of attention, a place sees what two convolutions of five positions reach.
        let mut subject = subject(LayerKind::Groupbert, NormPlace::Before, 1);
        subject.exact = parameters::map(subject.exact, |path, _, tensor| match path.contains("value.weight") {
            true => tensor.zeros_like(),
            false => tensor,
        });
        subject.single = of_type(&subject.exact, &Device::flex(), DType::F32).unwrap();
        assert_eq!(verify_encoder(&subject, Effort::THOROUGH, &mut |_| ()).unwrap().failures(), ["both-sides"]);
    }
}
