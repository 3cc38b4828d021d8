//! The encoder: embeddings, layers, norm, and the head that tells masked tokens.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use percept_fault::Result;

use super::{EncoderConfig, Layer, MaskedBatch, NormPlace, Padding, Sequences, init};
use crate::batch::Loss;
use crate::config::NormKind;
use crate::language_model::number;
use crate::layers::{Bias, Linear, Norm};
use crate::{ops, parameters};

/// What a token begins as: the sum of its vectors, normalised.
#[derive(Module, Debug)]
pub struct Embeddings {
    /// `[V, d]`; the output matrix, too.
    pub word: Param<Tensor<2>>,
    /// `[context, d]`.
    pub position: Param<Tensor<2>>,
    /// `[types, d]`, where there are any.
    pub types: Option<Param<Tensor<2>>>,
    /// Of the sum.
    pub norm: Norm,
}

/// logits = norm(gelu(x W + b)) E^T + c, with the words' vectors E.
#[derive(Module, Debug)]
pub struct Head {
    /// `[d, d]`.
    pub transform: Linear,
    /// After the activation.
    pub norm: Norm,
    /// `[V]`.
    pub bias: Param<Tensor<1>>,
}

/// A bidirectional encoder with a head for masked tokens.
///
/// ```
/// use percept_model::encoder::{Encoder, EncoderConfig, Sequences};
/// # fn main() -> percept_fault::Result<()> {
/// let config = EncoderConfig { vocab: 258, dim: 32, depth: 2, context: 16, ..Default::default() };
/// let encoder = Encoder::new(&config, 7, &Default::default())?;
/// // 257 stands for what is to be told.
/// let sequences = Sequences::of(&[&[104, 257, 108, 108, 111], &[121, 257]]);
/// assert_eq!(encoder.logits_at(&sequences, &[1, 6])?.dims(), [2, 258]);
/// # Ok(()) }
/// ```
#[derive(Module, Debug)]
pub struct Encoder {
    /// Words, positions, types.
    pub embeddings: Embeddings,
    /// L layers.
    pub layers: Vec<Layer>,
    /// After the last layer, where norms stand before the sublayers.
    pub norm: Option<Norm>,
    /// What tells masked tokens.
    pub head: Head,
    #[module(skip)]
    config: Arc<EncoderConfig>,
}

impl Encoder {
    /// A model with freshly initialised weights.
    ///
    /// # Errors
    /// A usage fault where the configuration stands for no model.
    pub fn new(config: &EncoderConfig, seed: u64, device: &Device) -> Result<Self> {
        Ok(init::initialise(Self::zeros(config, device)?, config, seed))
    }

    /// A model with all weights zero (norms at one), to be filled.
    ///
    /// # Errors
    /// As [`Encoder::new`].
    pub fn zeros(config: &EncoderConfig, device: &Device) -> Result<Self> {
        config.validate()?;
        let dim = config.dim;
        let table = |rows: usize| Param::from_tensor(Tensor::zeros([rows, dim], device));
        let norm = || Norm::new(NormKind::Layer, dim, config.norm_eps, device);
        Ok(Self {
            embeddings: Embeddings {
                word: table(config.vocab),
                position: table(config.context),
                types: (config.types > 0).then(|| table(config.types)),
                norm: norm(),
            },
            layers: (0..config.depth).map(|_| Layer::new(config, device)).collect(),
            norm: (config.norm_place == NormPlace::Before).then(norm),
            head: Head {
                transform: Linear::new(dim, dim, Bias::With, device),
                norm: norm(),
                bias: Param::from_tensor(Tensor::zeros([config.vocab], device)),
            },
            config: Arc::new(config.clone()),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The device that holds the weights.
    pub fn device(&self) -> Device {
        self.embeddings.word.val().device()
    }

    /// The same model without autodiff.
    pub fn for_inference(&self) -> Self {
        self.valid()
    }

    /// The same model with weights of another floating-point type; f64 for exact checks.
    pub fn with_dtype(self, dtype: DType) -> Self {
        parameters::map(self, |_, _, tensor| tensor.cast(dtype))
    }

    /// What enters the first layer, `[B, T, d]`.
    pub fn embed(&self, sequences: &Sequences) -> Tensor<3> {
        let Embeddings { word, position, types, norm } = &self.embeddings;
        let (word, rows) = (word.val(), sequences.rows);
        let ids = |tokens: &[u32]| {
            let ids: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
            Tensor::<2, Int>::from_data(TensorData::new(ids, [tokens.len() / rows, rows]), &word.device())
        };
        let mut x = ops::embedding(word.clone(), ids(&sequences.tokens));
        x = x + position.val().narrow(0, 0, rows).unsqueeze();
        if let Some(types) = types {
            let first = vec![0; sequences.tokens.len()];
            let of = if sequences.types.is_empty() { &first } else { &sequences.types };
            x = x + ops::embedding(types.val(), ids(of));
        }
        norm.forward(x)
    }

    /// Which rows of the sequences are tokens.
    pub fn padding(&self, sequences: &Sequences) -> Padding {
        Padding::new(&sequences.lengths, sequences.rows, &self.device().without_autodiff())
    }

    /// Hidden states of all rows, `[B, T, d]`, after the last norm; those of padding are of no use.
    ///
    /// # Errors
    /// Sequences that do not fit the model.
    pub fn hidden(&self, sequences: &Sequences) -> Result<Tensor<3>> {
        sequences.validate(&self.config)?;
        let padding = self.padding(sequences);
        let x = self.layers.iter().fold(self.embed(sequences), |x, layer| layer.forward(x, &padding));
        Ok(self.finished(x))
    }

    /// What leaves the last layer, `[B, T, d]`, after the last norm.
    pub(super) fn finished(&self, x: Tensor<3>) -> Tensor<3> {
        match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }

    /// The rows at some row-major indices, `[1, asked, d]`, as they meet the output matrix; `x`: `[B, T, d]`.
    fn asked_rows(&self, x: Tensor<3>, asked: &[usize]) -> Tensor<3> {
        let [batch, rows, dim] = x.dims();
        let ids: Vec<i32> = asked.iter().map(|&at| at as i32).collect();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [asked.len()]), &x.device());
        let asked = x.reshape([batch * rows, dim]).select(0, ids).unsqueeze();
        self.head.norm.forward(ops::gelu(self.head.transform.forward(asked)))
    }

    /// Logits at some row-major indices of the sequences, `[asked, V]`.
    ///
    /// # Errors
    /// Sequences that do not fit the model.
    pub fn logits_at(&self, sequences: &Sequences, asked: &[usize]) -> Result<Tensor<2>> {
        let rows = self.asked_rows(self.hidden(sequences)?, asked);
        Ok(ops::linear(rows, self.embeddings.word.val().transpose(), Some(self.head.bias.val())).squeeze_dim(0))
    }

    /// Sum of -ln p of the labels at the positions that are asked, of which there is at least one; `x`: `[B, T, d]`, after the last norm.
    pub(super) fn loss_at(&self, x: Tensor<3>, batch: &MaskedBatch) -> Tensor<1> {
        let rows = self.asked_rows(x, &batch.asked).squeeze_dim(0);
        ops::head_cross_entropy(rows, self.embeddings.word.val(), Some(self.head.bias.val()), &batch.labels, 0.0)
    }

    /// The sum of -ln p of what is asked, without gradients.
    ///
    /// # Errors
    /// A batch that does not fit the model.
    pub fn evaluate(&self, batch: &MaskedBatch) -> Result<Loss> {
        batch.validate(&self.config)?;
        if batch.asked.is_empty() {
            return Ok(Loss::default());
        }
        let model = self.for_inference();
        let nll = number(model.loss_at(model.hidden(&batch.sequences)?, batch));
        Ok(Loss { nll, targets: batch.asked.len() })
    }
}
