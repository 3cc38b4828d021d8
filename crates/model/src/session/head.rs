//! What a state file says of itself: checked against a model before its tensors are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::DType;
use percept_fault::{Fault, Result};

use super::Session;
use super::file::{self, damaged};
use super::recent::Recent;
use crate::batch::check_tokens;
use crate::inference_model::InferenceModel;
use crate::layer::{Format, KeyValuePrecision, StateTensor};
use crate::tensor_file::{Dtype, Head, Metadata};

/// The longest head that is read; a model of a hundred layers has a tenth of it.
const LONGEST: usize = 1 << 20;
/// More tokens than a stream can have seen: 34 years of a thousand in a second.
const MOST_TOKENS: usize = 1 << 40;

/// The head of a state file that fits a model: the names, types and shapes of its tensors are those that the model declares for
/// its position. So the size of the file is known, and a file of a stranger can be refused, before there is memory for it.
///
/// ```
/// # use std::sync::Arc;
/// # use percept_model::{InferenceModel, LanguageModel, ModelConfig, Session};
/// use percept_model::session::StateHead;
/// # let layers = "llp(segment=8)".into();
/// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
/// # let model: Arc<InferenceModel> = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
/// # let mut session = Session::new(model.clone());
/// # session.feed(&[256, 72, 105])?;
/// let file = session.to_bytes()?;
/// // The first bytes tell how long the head is ...
/// let length = StateHead::length(file[..StateHead::PREFIX].try_into().unwrap())?;
/// // ... and the head all about the file.
/// let head = StateHead::check(&file[StateHead::PREFIX..][..length], &model)?;
/// assert_eq!((head.position(), head.file_bytes()), (3, file.len()));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone)]
pub struct StateHead {
    position: usize,
    recent: Recent,
    is_decoded: bool,
    file_bytes: usize,
}

impl StateHead {
    /// Bytes at the start of a file that tell the length of its head.
    pub const PREFIX: usize = Head::LENGTH;

    /// Bytes of the head, which follow `prefix`.
    ///
    /// # Errors
    /// Environment: more than any state needs.
    pub fn length(prefix: [u8; Self::PREFIX]) -> Result<usize> {
        match usize::try_from(u64::from_le_bytes(prefix)) {
            Ok(length) if length <= LONGEST => Ok(length),
            _ => Err(damaged()),
        }
    }

    /// Reads a head, and checks it.
    ///
    /// # Errors
    /// Usage: it is no state, or another model's; environment: it is damaged.
    pub fn check(head: &[u8], model: &Arc<InferenceModel>) -> Result<Self> {
        let file = Head::parse(head).map_err(|error| damaged().because(error))?;
        file::check_format(&file.metadata)?;
        if file::field(&file.metadata, file::FINGERPRINT)? != model.fingerprint() {
            return Err(Fault::usage("this state belongs to another model")
                .hint("load it with the run and checkpoint that wrote it"));
        }
        let position = file::number(&file.metadata, file::POSITION)?;
        let here = model.key_value_precision();
        if !fits(&file, &declared(position, model, here)?) {
            for there in KeyValuePrecision::ALL {
                if fits(&file, &declared(position, model, there)?) {
                    return Err(of_other_precision(there, here));
                }
            }
            return Err(damaged());
        }
        Ok(Self {
            position,
            recent: recent(&file.metadata, model)?,
            is_decoded: file.metadata.contains_key(file::DECODED),
            file_bytes: Self::PREFIX + head.len() + bytes(&file).ok_or_else(damaged)?,
        })
    }

    /// Tokens fed.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> usize {
        self.file_bytes
    }

    pub(super) fn recent(&self) -> Recent {
        self.recent
    }

    /// Whether the stream was being decoded token by token.
    pub(super) fn is_decoded(&self) -> bool {
        self.is_decoded
    }
}

/// Bytes of all tensors, by their types and shapes: where the head says that they lie is a stranger's word.
fn bytes(file: &Head) -> Option<usize> {
    file.tensors.values().try_fold(0usize, |sum, (kind, shape)| {
        let elements = shape.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim))?;
        sum.checked_add(elements.checked_mul(kind.bitsize() / 8)?)
    })
}

/// The last tokens. Older files say nothing about them.
fn recent(metadata: &Metadata, model: &InferenceModel) -> Result<Recent> {
    let recent = Recent::of_text(metadata.get(file::RECENT).map_or("", String::as_str)).ok_or_else(damaged)?;
    check_tokens(recent.tokens(), model.config().vocab).map_err(|fault| damaged().because(fault))?;
    Ok(recent)
}

/// Names, shapes and types (one of them) of tensors.
type Declared = BTreeMap<String, (Vec<usize>, &'static [Dtype])>;

/// Whether a file has these tensors, and no others.
fn fits(file: &Head, declared: &Declared) -> bool {
    // Older files leave out what is empty.
    let is_left_out = |name: &String, shape: &[usize]| name == file::TOKENS && *shape == [0];
    let has = |(name, (shape, kinds)): (&String, &(Vec<usize>, &[Dtype]))| match file.tensors.get(name) {
        Some((kind, there)) => there == shape && kinds.contains(kind),
        None => is_left_out(name, shape),
    };
    file.tensors.keys().all(|name| declared.contains_key(name)) && declared.iter().all(has)
}

fn of_other_precision(there: KeyValuePrecision, here: KeyValuePrecision) -> Fault {
    let [there, here] = [there, here].map(KeyValuePrecision::name);
    Fault::usage(format!("this state keeps keys and values in {there}, and here they are kept in {here}"))
        .hint(format!("go on from it with --keys-values {there}"))
}

/// The tensors of a state after `position` tokens where keys and values are kept in this precision.
fn declared(position: usize, model: &Arc<InferenceModel>, precision: KeyValuePrecision) -> Result<Declared> {
    if position > MOST_TOKENS {
        return Err(damaged());
    }
    let mut session = Session::new(model.clone());
    session.position = position;
    let tokens: (_, &[Dtype]) = (vec![session.kept_tokens()], &[Dtype::U32, Dtype::I64]);
    let mut declared = BTreeMap::from([(file::TOKENS.to_owned(), tokens)]);
    if position == 0 {
        return Ok(declared);
    }
    let float: &[Dtype] =
        if model.embedding.weight.val().dtype() == DType::F64 { &[Dtype::F64] } else { &[Dtype::F32] };
    declared.insert(file::LAST.to_owned(), (vec![1, 1, model.config().dim], float));
    let kinds = |tensor: &StateTensor| match tensor.format(precision) {
        Format::Full => float,
        Format::Half => &[Dtype::BF16],
    };
    for (layer, facts) in model.facts(session.rows()).iter().enumerate() {
        for (half, facts) in file::HALVES.into_iter().zip(facts.both()) {
            let name = |tensor: &StateTensor| file::name_of(layer, half, tensor.name);
            declared.extend(facts.state.iter().map(|tensor| (name(tensor), (tensor.dims(), kinds(tensor)))));
        }
    }
    Ok(declared)
}
