//! From a model's tensors to a [`Decoder`].

use std::sync::Arc;

use burn::backend::DispatchDevice;
use burn::tensor::DType;
use percept_fault::Result;
use percept_kernels::decode::WeightPrecision;

use super::packer::{Packer, RowNorm, elements};
use super::step::{BuildStep, Step};
use super::tensor_step::{Half, TensorStep};
use super::{Decoder, HEAD_ORDER, Slot};
use crate::language_model::LanguageModel;
use crate::layer::{Block, BlockFacts, Facts, KeyValuePrecision, Rows};
use crate::layers::Norm;

impl Decoder {
    /// Whether a model can be decoded here: in f32, on the CPU, and at least one of its mixers brings its step.
    pub fn supports(model: &LanguageModel) -> bool {
        let weight = model.embedding.weight.val();
        weight.dtype() == DType::F32
            && matches!(weight.device().inner().as_dispatch(), DispatchDevice::Flex(_))
            && model.blocks.iter().any(|block| block.mixer.step(&block.mixer_norm).is_some())
    }

    /// Packs the weights of a model without autodiff; `None` where it is not supported. `key_values`: how its streams keep those.
    ///
    /// # Errors
    /// The system has no memory for them.
    pub fn new(
        model: &LanguageModel,
        precision: WeightPrecision,
        key_values: KeyValuePrecision,
    ) -> Result<Option<Self>> {
        if !Self::supports(model) {
            return Ok(None);
        }
        let parts = |block: &Block| [block.mixer.packed_parts(), block.feed_forward.packed_parts()].concat();
        let parts = model.blocks.iter().flat_map(parts).map(Vec::from);
        let mut packer = Packer::new(crate::parameters::shapes(model).into_iter().chain(parts), precision)?;
        let slots = slots(model, &mut packer);
        let bias = model.head.bias.as_ref().map(elements);
        let embedding = elements(&model.embedding.weight);
        let head = match &model.head.weight {
            Some(weight) => packer.pack(&[(&elements(weight), HEAD_ORDER)], bias, model.config().dim),
            None => packer.pack(&[(&embedding, HEAD_ORDER)], bias, model.config().dim),
        };
        Ok(Some(Self {
            pages: packer.pages,
            embedding,
            key_values,
            scratch: slots.iter().map(|slot| slot.step.scratch()).max().unwrap_or(0),
            slots,
            norm: RowNorm::of(&model.norm),
            head,
            workspaces: Default::default(),
        }))
    }
}

/// A step for each sublayer, in order.
fn slots(model: &LanguageModel, packer: &mut Packer) -> Vec<Slot> {
    let mut slots: Vec<Slot> = Vec::with_capacity(2 * model.layers().len());
    let mut rows = Rows::plain(1, 0);
    for layer in model.layers() {
        let facts = layer.facts(model.config(), rows);
        let steps = match slots.get(2 * layer.index..2 * layer.index + 2) {
            Some([mixer, channel]) => [mixer.step.clone(), channel.step.clone()],
            _ => steps(&model.blocks[layer.index], &facts, model, packer),
        };
        let shifts = [rows.start, facts.mixer.rows_after.start];
        for ((step, facts), shift) in steps.into_iter().zip(facts.both()).zip(shifts) {
            slots.push(Slot { step, state: facts.state.clone(), shift });
        }
        rows = facts.rows_after();
    }
    slots
}

/// The steps of the two sublayers of a block.
fn steps(block: &Block, facts: &BlockFacts, model: &LanguageModel, packer: &mut Packer) -> [Arc<dyn Step>; 2] {
    let mut step = |step: Option<BuildStep<'_>>, half: &dyn Fn() -> Half, norm: &Norm, facts: &Facts| {
        let step: Arc<dyn Step> = match step {
            Some(build) => build(packer, &facts.state).into(),
            None => Arc::new(TensorStep {
                half: half(),
                norm: norm.clone(),
                bytes: facts.parameters as usize * size_of::<f32>(),
                device: model.device(),
            }),
        };
        step
    };
    let (norm, channel_norm) = (&block.mixer_norm, &block.feed_forward_norm);
    let mixer = || Half::Mixer(Box::new(block.mixer.clone()));
    let channel = || Half::Channel(Box::new(block.feed_forward.clone()));
    [
        step(block.mixer.step(norm), &mixer, norm, &facts.mixer),
        step(block.feed_forward.step(channel_norm), &channel, channel_norm, &facts.channel),
    ]
}
