//! A language model in use: its weights, and what is derived from them.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use burn::tensor::{Tensor, TensorData};
use percept_fault::{Fault, Result};
use percept_kernels::WeightOrder;
use percept_kernels::decode::WeightPrecision;
use sha2::{Digest, Sha256};

use crate::decoder::{Decoder, HEAD_ORDER, is_exact};
use crate::language_model::LanguageModel;
use crate::layer::KeyValuePrecision;
use crate::ops::elements;
use crate::parameters;

/// A [`LanguageModel`] whose weights stay as they are: what sessions share. Packed weights and fingerprint are made when they
/// are first asked for.
///
/// ```
/// use percept_model::{InferenceModel, LanguageModel, ModelConfig};
/// # fn main() -> percept_fault::Result<()> {
/// let config = ModelConfig { vocab: 257, dim: 16, depth: 1, heads: 2, context: 16, ..Default::default() }.with("segment", 4)?;
/// let model = InferenceModel::new(LanguageModel::new(&config, 7, &Default::default())?);
/// assert_eq!(model.config().dim, 16);
/// assert!(model.decoder().is_some() && model.fingerprint().len() == 64);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct InferenceModel {
    model: LanguageModel,
    precision: WeightPrecision,
    key_values: KeyValuePrecision,
    fingerprint: OnceLock<String>,
    decoder: OnceLock<Option<Arc<Decoder>>>,
}

impl InferenceModel {
    /// Takes the weights; autodiff is left behind.
    pub fn new(model: LanguageModel) -> Self {
        let model = if model.device().is_autodiff() { model.for_inference() } else { model };
        Self::with_precision(model, WeightPrecision::F32)
    }

    fn with_precision(model: LanguageModel, precision: WeightPrecision) -> Self {
        let key_values = KeyValuePrecision::F32;
        Self { model, precision, key_values, fingerprint: OnceLock::new(), decoder: OnceLock::new() }
    }

    /// SHA-256 over configuration and weights; two models with the same one compute the same.
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| fingerprint(&self.model))
    }

    /// The precision that the linear maps are rounded to.
    pub fn weight_precision(&self) -> WeightPrecision {
        self.precision
    }

    /// The same model with its linear maps rounded to `precision`, in which a session then packs them. Norms and biases
    /// stay as they are, and so does the embedding, unless the head is tied to it: then it is one weight, rounded as a head.
    ///
    /// # Errors
    /// A usage fault where the model has no packed decoder ([`Decoder::supports`]).
    ///
    /// ```
    /// use percept_model::{InferenceModel, LanguageModel, ModelConfig, WeightPrecision};
    /// # let layers = "llp(segment=8)".into();
    /// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
    /// let exact = InferenceModel::new(LanguageModel::new(&config, 7, &Default::default())?);
    /// let rounded = exact.clone().with_weight_precision(WeightPrecision::Int8)?;
    /// // Another model, whose states do not fit the first one.
    /// assert_ne!(rounded.fingerprint(), exact.fingerprint());
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn with_weight_precision(self, precision: WeightPrecision) -> Result<Self> {
        if precision == self.precision {
            return Ok(self);
        }
        if !Decoder::supports(&self) && precision != WeightPrecision::F32 {
            return Err(Fault::usage(
                "only models whose mixers decode position by position on the CPU have packed weights",
            )
            .hint("use f32 weights"));
        }
        let head = if self.head.weight.is_some() { "head.weight" } else { "embedding.weight" };
        let model = parameters::map(self.model, |path, shape, tensor| match (path, shape) {
            (path, [_, dim]) if path == head => round(tensor, precision, *dim, HEAD_ORDER),
            ("embedding.weight", _) => tensor,
            (_, [inputs, _]) => round(tensor, precision, *inputs, WeightOrder::InputOutput),
            _ => tensor,
        });
        Ok(Self { key_values: self.key_values, ..Self::with_precision(model, precision) })
    }

    /// How keys and values of its streams are kept.
    pub fn key_value_precision(&self) -> KeyValuePrecision {
        self.key_values
    }

    /// The same model, whose streams keep keys and values in this precision. The weights, and so the fingerprint, stay; a state that
    /// was kept in the other one is refused, since its stream would not go on as it was ([`crate::Session::load`]).
    ///
    /// A row is rounded once its run of tokens is over: a longer text that is fed at once sees its own rows as they were computed.
    ///
    /// # Errors
    /// A usage fault where the model has no packed decoder ([`Decoder::supports`]).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use percept_model::{InferenceModel, KeyValuePrecision, LanguageModel, ModelConfig, Session};
    /// # let layers = "llp(segment=8)".into();
    /// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
    /// let exact = InferenceModel::new(LanguageModel::new(&config, 7, &Default::default())?);
    /// let halves = exact.clone().with_key_value_precision(KeyValuePrecision::Bf16)?;
    /// let [mut exact, mut halves] = [exact, halves].map(|model| Session::new(Arc::new(model)));
    /// exact.feed(&[256, 72, 105])?;
    /// halves.feed(&[256, 72, 105])?;
    /// assert_eq!(exact.state_bytes(), 2 * halves.state_bytes());
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn with_key_value_precision(self, precision: KeyValuePrecision) -> Result<Self> {
        if precision == self.key_values {
            return Ok(self);
        }
        if !Decoder::supports(&self) {
            return Err(Fault::usage(
                "only models whose mixers decode position by position on the CPU keep keys and values in bf16",
            )
            .hint("keep them in f32"));
        }
        Ok(Self { key_values: precision, decoder: OnceLock::new(), ..self })
    }

    /// The packed weights, made at the first call; `None` where the model is not supported ([`Decoder::supports`]) or
    /// memory is too short for them.
    pub fn decoder(&self) -> Option<&Arc<Decoder>> {
        self.decoder
            .get_or_init(|| Decoder::new(&self.model, self.precision, self.key_values).ok().flatten().map(Arc::new))
            .as_ref()
    }
}

impl Deref for InferenceModel {
    type Target = LanguageModel;

    fn deref(&self) -> &LanguageModel {
        &self.model
    }
}

impl From<LanguageModel> for InferenceModel {
    fn from(model: LanguageModel) -> Self {
        Self::new(model)
    }
}

impl From<&LanguageModel> for InferenceModel {
    fn from(model: &LanguageModel) -> Self {
        Self::new(model.clone())
    }
}

/// SHA-256 over the configuration and every weight in the order of their paths, in hexadecimal.
fn fingerprint(model: &LanguageModel) -> String {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(model.config()).unwrap_or_default());
    for (path, tensor) in parameters::collect(model) {
        hash.update(path.as_bytes());
        hash.update(tensor.data.into_data().as_bytes());
    }
    percept_files::hex(&hash.finalize())
}

/// Flat weights rounded to what packing keeps of them.
fn round(tensor: Tensor<1>, precision: WeightPrecision, inputs: usize, order: WeightOrder) -> Tensor<1> {
    if is_exact(precision) {
        return tensor;
    }
    let device = tensor.device();
    let mut elements = elements(tensor);
    precision.round(&mut elements, inputs, order);
    let size = elements.len();
    Tensor::from_data(TensorData::new(elements, [size]), &device)
}
