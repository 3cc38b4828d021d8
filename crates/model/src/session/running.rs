//! Where a session's state is: in tensors after whole windows, in rings while it is decoded token by token.

use burn::tensor::{Tensor, TensorData};

use crate::decoder::{Decoder, Stream};
use crate::language_model::LanguageModel;
use crate::mixer::Projection;
use crate::rows::Rows;
use crate::state::{MixerState, numbers};

/// A state as tensors.
#[derive(Debug, Clone)]
pub(super) struct Tensors {
    /// One per layer.
    pub(super) states: Vec<MixerState>,
    /// Hidden state of the last row after the last norm, `[1, 1, d]`; none before the first token.
    pub(super) last: Option<Tensor<3>>,
}

/// A state, where it was used last; it moves when it is used in the other way.
#[derive(Debug, Clone)]
pub(super) enum Running {
    Tensors(Box<Tensors>),
    Rings(Stream),
}

impl Running {
    /// Before the first token.
    pub(super) fn fresh(model: &LanguageModel) -> Self {
        Self::Tensors(Box::new(Tensors { states: vec![MixerState::default(); model.blocks.len()], last: None }))
    }

    /// True before the first token.
    pub(super) fn is_fresh(&self) -> bool {
        matches!(self, Self::Tensors(tensors) if tensors.last.is_none())
    }

    /// The state as tensors, moved there.
    pub(super) fn tensors(&mut self, model: &LanguageModel) -> &mut Tensors {
        if let Self::Rings(stream) = self {
            *self = Self::Tensors(Box::new(exported(stream, model)));
        }
        match self {
            Self::Tensors(tensors) => tensors,
            Self::Rings(_) => unreachable!("the state was just moved"),
        }
    }

    /// The state as rings, moved there; the next token has `position`.
    pub(super) fn stream(&mut self, decoder: &Decoder, position: usize) -> &mut Stream {
        if let Self::Tensors(tensors) = self {
            *self = Self::Rings(imported(tensors, decoder, position));
        }
        match self {
            Self::Rings(stream) => stream,
            Self::Tensors(_) => unreachable!("the state was just moved"),
        }
    }

    /// A copy of the state as tensors.
    pub(super) fn to_tensors(&self, model: &LanguageModel) -> Tensors {
        match self {
            Self::Tensors(tensors) => (**tensors).clone(),
            Self::Rings(stream) => exported(stream, model),
        }
    }

    /// The hidden state of the last token, where the state is in tensors and there was a token.
    pub(super) fn last(&self) -> Option<Tensor<3>> {
        match self {
            Self::Rings(_) => None,
            Self::Tensors(tensors) => tensors.last.clone(),
        }
    }

    /// The hidden state of the last token, where the state is in rings.
    pub(super) fn hidden(&self) -> Option<&[f32]> {
        match self {
            Self::Rings(stream) => Some(stream.hidden()),
            Self::Tensors(_) => None,
        }
    }

    /// Bytes of keys and values.
    pub(super) fn bytes(&self, model: &LanguageModel) -> usize {
        match self {
            Self::Tensors(tensors) => tensors.states.iter().map(MixerState::bytes).sum(),
            Self::Rings(stream) => {
                let rows = (0..stream.rings().len()).map(|layer| kept_rows(model, layer, stream.position()));
                rows.sum::<usize>() * Projection::state_row(model.config()) * size_of::<f32>()
            }
        }
    }
}

/// Rows of keys and values that a layer keeps after `end` positions, by its own formula.
fn kept_rows(model: &LanguageModel, layer: usize, end: usize) -> usize {
    let (config, spec) = (model.config(), &model.layers()[layer]);
    spec.kind.state_elements(config, spec, Rows::plain(end, 0)) / Projection::state_row(config)
}

fn exported(stream: &Stream, model: &LanguageModel) -> Tensors {
    let device = model.device();
    let states = stream.rings().iter().enumerate().map(|(layer, ring)| {
        let rows = kept_rows(model, layer, stream.position());
        let [groups, width] = ring.heads();
        let (keys, values) = ring.last(stream.position(), rows);
        let mut state = MixerState::default();
        for (name, data) in [("key", keys), ("value", values)] {
            state.set(name, Tensor::from_data(TensorData::new(data, [1, rows, groups, width]), &device));
        }
        state
    });
    let hidden = TensorData::new(stream.hidden().to_vec(), [1, 1, stream.hidden().len()]);
    Tensors { states: states.collect(), last: Some(Tensor::from_data(hidden, &device)) }
}

fn imported(tensors: &Tensors, decoder: &Decoder, position: usize) -> Stream {
    let mut stream = decoder.stream();
    let Some(last) = &tensors.last else { return stream };
    stream.resume(position, &numbers(last.clone()), |(layer, ring)| {
        let state = &tensors.states[layer];
        if let (Some(keys), Some(values)) = (state.get("key"), state.get("value")) {
            ring.load(position, &numbers(keys.clone()), &numbers(values.clone()));
        }
    });
    stream
}
