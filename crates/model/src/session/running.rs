//! Where a session's state is: in tensors after whole windows, in plain memory while it is decoded token by token.

use burn::tensor::{Tensor, TensorData};

use crate::decoder::{Decoder, Stream};
use crate::inference_model::InferenceModel;
use crate::layer::{BlockFacts, BlockState, KeyValuePrecision, Rows};
use crate::ops::elements;

/// A state as tensors.
#[derive(Debug, Clone)]
pub(super) struct Tensors {
    /// One per layer.
    pub(super) states: Vec<BlockState>,
    /// Hidden state of the last row after the last norm, `[1, 1, d]`; none before the first token.
    pub(super) last: Option<Tensor<3>>,
}

/// A state, where it was used last; it moves when it is used in the other way.
#[derive(Debug, Clone)]
pub(super) enum Running {
    Tensors(Box<Tensors>),
    Decoding(Box<Stream>),
}

impl Running {
    /// Before the first token.
    pub(super) fn fresh(model: &InferenceModel) -> Self {
        let states = match model.key_value_precision() {
            KeyValuePrecision::F32 => vec![BlockState::default(); model.layers().len()],
            precision => model.facts(Rows::plain(1, 0)).iter().map(|facts| facts.fresh(precision)).collect(),
        };
        Self::Tensors(Box::new(Tensors { states, last: None }))
    }

    /// True before the first token.
    pub(super) fn is_fresh(&self) -> bool {
        matches!(self, Self::Tensors(tensors) if tensors.last.is_none())
    }

    /// The state as tensors, moved there; `rows` are those that it holds.
    pub(super) fn tensors(&mut self, model: &InferenceModel, rows: Rows) -> &mut Tensors {
        if let Self::Decoding(stream) = self {
            *self = Self::Tensors(Box::new(exported(stream, model, rows)));
        }
        match self {
            Self::Tensors(tensors) => tensors,
            Self::Decoding(_) => unreachable!("the state was just moved"),
        }
    }

    /// The state in plain memory, moved there; the next token has `position`.
    pub(super) fn stream(&mut self, decoder: &Decoder, position: usize) -> &mut Stream {
        if let Self::Tensors(tensors) = self {
            let states = std::mem::take(&mut tensors.states);
            let stream = match &tensors.last {
                Some(last) => decoder.resume(states, position, &elements(last.clone())),
                None => decoder.stream(),
            };
            *self = Self::Decoding(Box::new(stream));
        }
        match self {
            Self::Decoding(stream) => stream,
            Self::Tensors(_) => unreachable!("the state was just moved"),
        }
    }

    /// A copy of the state as tensors; `rows` are those that it holds.
    pub(super) fn to_tensors(&self, model: &InferenceModel, rows: Rows) -> Tensors {
        match self {
            Self::Tensors(tensors) => (**tensors).clone(),
            Self::Decoding(stream) => exported(stream, model, rows),
        }
    }

    /// The hidden state of the last token, where the state is in tensors and there was a token.
    pub(super) fn last(&self) -> Option<Tensor<3>> {
        match self {
            Self::Decoding(_) => None,
            Self::Tensors(tensors) => tensors.last.clone(),
        }
    }

    /// The hidden state of the last token, where the state is in plain memory.
    pub(super) fn hidden(&self) -> Option<&[f32]> {
        match self {
            Self::Decoding(stream) => Some(stream.hidden()),
            Self::Tensors(_) => None,
        }
    }

    /// Bytes of the layers' states; `rows` are those that they hold.
    pub(super) fn bytes(&self, model: &InferenceModel, rows: Rows) -> usize {
        match self {
            Self::Tensors(tensors) => tensors.states.iter().map(BlockState::bytes).sum(),
            Self::Decoding(_) => {
                let (facts, each) = (model.facts(rows), model.key_value_precision().into());
                facts.iter().flat_map(BlockFacts::both).map(|facts| facts.state_bytes(each)).sum()
            }
        }
    }
}

fn exported(stream: &Stream, model: &InferenceModel, rows: Rows) -> Tensors {
    let device = model.device();
    let hidden = TensorData::new(stream.hidden().to_vec(), [1, 1, stream.hidden().len()]);
    let states = match model.decoder() {
        Some(decoder) => decoder.export(stream, &model.facts(rows), &device),
        None => Vec::new(),
    };
    Tensors { states, last: Some(Tensor::from_data(hidden, &device)) }
}
