//! A user's own mixer as a subject of the checks: a stack of it between an embedding and a head.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use percept_fault::{Fault, Result};
use percept_model::config::LayerSpec;
use percept_model::config::NormKind;
use percept_model::layer::{Carry, Direction, Facts, LayerContext, LayerState, Sublayer, Windowing};
use percept_model::layers::Norm;
use percept_model::{Mode, ModelConfig, Rows, ops};
use serde::{Deserialize, Serialize};

use super::{Row, Subject, SubjectStream};

/// L layers of one mixer, with its norm and residual, in f64, with random weights. The mixer must score every row
/// (no history) and may have windows of any length.
///
/// ```
/// # use burn::module::{Module, Param};
/// # use burn::tensor::{Device, Tensor};
/// # use percept_model::layer::{Carry, Facts, LayerContext, LayerState, NoOptions, Reach, StateTensor, Sublayer};
/// # use percept_model::config::LayerSpec;
/// # use percept_model::{ModelConfig, Rows};
/// use percept_verify::{Effort, MixerSubject, verify};
///
/// /// y_t = scale * x_(t - 1): the example of `Sublayer`, which here forgets to leave its last row behind.
/// #[derive(Module, Debug)]
/// struct Forgetful {
///     scale: Param<Tensor<1>>,
/// }
/// # impl Sublayer for Forgetful {
/// #     type Options = NoOptions;
/// #     fn new(config: &ModelConfig, _layer: &LayerSpec, device: &Device) -> Self {
/// #         Self { scale: Param::from_tensor(Tensor::ones([config.dim], (device, burn::tensor::DType::F64))) }
/// #     }
/// #     fn facts(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Facts {
/// #         Facts {
/// #             parameters: config.dim as u64,
/// #             state: vec![StateTensor::rows("row", (rows.len().min(1), 1), [config.dim])],
/// #             reach: Reach::Last(2),
/// #             ..Facts::of(rows)
/// #         }
/// #     }
/// #     fn mix(&self, x: Tensor<3>, _: Option<&mut LayerState>, _: &mut Carry, _: &LayerContext) -> Tensor<3> {
/// #         let [batch, rows, dim] = x.dims();
/// #         let before = Tensor::zeros([batch, 1, dim], (&x.device(), x.dtype()));
/// #         Tensor::cat(vec![before, x], 1).narrow(1, 0, rows) * self.scale.val().unsqueeze()
/// #     }
/// # }
///
/// let config = ModelConfig { vocab: 31, dim: 16, heads: 2, depth: 2, context: 24, ..ModelConfig::default() };
/// let subject = MixerSubject::<Forgetful>::new("forgetful", &config, 1)?;
/// let failures = verify(&subject, Effort::SAMPLED, &mut |_| ())?.failures();
/// assert!(failures.contains(&"forward-extend") && failures.contains(&"state-bytes"), "{failures:?}");
/// // Whole windows are right: what comes later changes nothing before.
/// assert!(!failures.contains(&"causality"), "{failures:?}");
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub struct MixerSubject<M> {
    name: String,
    config: ModelConfig,
    layers: Vec<(LayerSpec, M)>,
    norm: Norm,
    /// `[V, d]`, embedding and head.
    embedding: Tensor<2>,
    device: Device,
}

/// Replaces matrices by random ones that keep the size of what they act on; vectors (norms, biases) stay.
struct Randomise {
    state: u64,
}

impl Randomise {
    fn values(&mut self, length: usize, scale: f64) -> Vec<f64> {
        let mut next = || {
            self.state = self.state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (self.state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        // Uniform on +-0.5 has the variance 1/12.
        (0..length).map(|_| next() * 12f64.sqrt() * scale).collect()
    }
}

impl ModuleMapper for Randomise {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let (shape, device) = (tensor.dims(), tensor.device());
        let tensor = if D == 1 {
            tensor.cast(DType::F64)
        } else {
            let values = self.values(shape.iter().product(), (shape[0] as f64).powf(-0.5));
            Tensor::from_data(TensorData::new(values, shape), (&device, DType::F64))
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

impl<M: Sublayer + Module> MixerSubject<M> {
    /// A stack of `config.depth` layers. The schedule of the configuration only gives the options of the layers.
    ///
    /// # Errors
    /// A configuration that the mixer refuses, or a mixer with a history.
    pub fn new(name: impl Into<String>, config: &ModelConfig, seed: u64) -> Result<Self> {
        let device = Device::flex();
        let mut random = Randomise { state: seed };
        let build = |layer: LayerSpec| {
            M::validate(config, &layer)?;
            if M::windowing(config, &layer) != Windowing::Carried {
                return Err(Fault::usage("a mixer with a history cannot be checked by itself")
                    .hint("register it, and check a configuration that uses it"));
            }
            if M::facts(config, &layer, Rows::plain(1, 0)).direction == Direction::Bidirectional {
                return Err(Fault::usage("a mixer that reads what comes after has no stream to check"));
            }
            let mixer = M::new(config, &layer, &device).map(&mut random);
            Ok((layer, mixer))
        };
        let layers = config.layer_specs()?.into_iter().map(build).collect::<Result<_>>()?;
        let shape = [config.vocab, config.dim];
        let values = random.values(config.vocab * config.dim, 1.0);
        let embedding = Tensor::from_data(TensorData::new(values, shape), (&device, DType::F64));
        let norm = Norm::new(NormKind::Rms, config.dim, 1e-6, &device).map(&mut random);
        Ok(Self { name: name.into(), config: config.clone(), layers, norm, embedding, device })
    }

    /// `[B, T]` tokens after what `states` have seen, to ln p `[B, T, V]`.
    fn run(&self, tokens: &[u32], batch: usize, start: usize, mut states: Option<&mut [LayerState]>) -> Tensor<3> {
        let length = tokens.len() / batch;
        let ids: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [tokens.len()]), &self.device);
        let mut x = self.embedding.clone().select(0, ids).reshape([batch, length, self.config.dim]);
        let ones = Tensor::<1>::ones([self.config.dim], (&self.device, DType::F64));
        let (rows, mut carry) = (Rows::plain(length, start), Carry::default());
        for (index, (_, mixer)) in self.layers.iter().enumerate() {
            let context = LayerContext { mode: Mode::Evaluation, layer: index, rows };
            let state = states.as_deref_mut().map(|states| &mut states[index]);
            x = mixer.forward(x, &self.norm, state, &mut carry, &context);
        }
        let head = self.embedding.clone().transpose().unsqueeze();
        log_softmax(ops::rms_norm(x, ones, 1e-6).matmul(head) * (self.config.dim as f64).powf(-0.5), 2)
    }

    fn stream_from(&self, states: Vec<LayerState>, position: usize) -> MixerStream<'_, M> {
        MixerStream { subject: self, states, position }
    }

    fn bytes(&self, rows: Rows, of: impl Fn(&Facts) -> usize) -> usize {
        let facts = self.layers.iter().map(|(layer, _)| M::facts(&self.config, layer, rows));
        facts.map(|facts| of(&facts)).sum::<usize>() * size_of::<f64>()
    }
}

impl<M: Sublayer + Module> Subject for MixerSubject<M> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn vocab(&self) -> usize {
        self.config.vocab
    }

    fn window(&self) -> usize {
        self.config.context
    }

    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn borders(&self, length: usize) -> Vec<usize> {
        let segments = self.layers.iter().filter_map(|(layer, _)| layer.segment());
        segments.flat_map(|segment| (segment..length).step_by(segment)).collect()
    }

    fn scored_from(&self, _length: usize) -> usize {
        0
    }

    fn forward(&self, windows: &[&[u32]]) -> Result<Vec<Vec<Row>>> {
        Ok(windows_of(self.run(&windows.concat(), windows.len(), 0, None)))
    }

    fn movable(&self) -> Option<usize> {
        let rows = Rows::plain(self.config.context, 0);
        let all = self.layers.iter().map(|(layer, _)| M::facts(&self.config, layer, rows).movable);
        all.collect::<Option<Vec<usize>>>()?.into_iter().max()
    }

    fn forward_from(&self, window: &[u32], start: usize) -> Result<Vec<Row>> {
        Ok(windows_of(self.run(window, 1, start, None)).pop().unwrap_or_default())
    }

    fn stream(&self) -> Result<Box<dyn SubjectStream<'_> + '_>> {
        Ok(Box::new(self.stream_from(vec![LayerState::default(); self.layers.len()], 0)))
    }

    fn load(&self, saved: &[u8]) -> Result<Box<dyn SubjectStream<'_> + '_>> {
        let saved: Saved =
            serde_json::from_slice(saved).map_err(|error| Fault::internal("not a saved stream").because(error))?;
        let restore = |tensors: SavedState| {
            let mut state = LayerState::default();
            for (name, (shape, bits)) in tensors {
                let values: Vec<f64> = bits.into_iter().map(f64::from_bits).collect();
                let data = TensorData::new(values, [shape.iter().product::<usize>()]);
                state.set_flat(&name, shape, Tensor::from_data(data, (&self.device, DType::F64)));
            }
            state
        };
        Ok(Box::new(self.stream_from(saved.layers.into_iter().map(restore).collect(), saved.position)))
    }

    fn state_bytes(&self, tokens: usize) -> usize {
        self.bytes(Rows::plain(tokens, 0), Facts::state_elements)
    }

    fn state_limit(&self) -> usize {
        self.bytes(Rows::plain(self.config.context, 0), Facts::state_limit)
    }

    fn earliest(&self, position: usize) -> usize {
        let rows = Rows::plain(self.config.context, 0);
        let facts = self.layers.iter().rev().map(|(layer, _)| M::facts(&self.config, layer, rows));
        facts.fold(position, |at, facts| facts.reach.earliest(at))
    }

    fn tolerance(&self) -> f64 {
        1e-9
    }
}

/// Rows `[windows, rows, V]`.
fn windows_of(output: Tensor<3>) -> Vec<Vec<Row>> {
    let [_, length, vocab] = output.dims();
    let values: Vec<f64> = output.into_data().iter::<f64>().collect();
    values.chunks(length * vocab).map(|window| window.chunks(vocab).map(<[f64]>::to_vec).collect()).collect()
}

struct MixerStream<'a, M> {
    subject: &'a MixerSubject<M>,
    states: Vec<LayerState>,
    position: usize,
}

/// Tensors of one layer's state, with their shapes; elements as their bits, so that none is rounded.
type SavedState = BTreeMap<String, (Vec<usize>, Vec<u64>)>;

/// A stream as JSON.
#[derive(Serialize, Deserialize)]
struct Saved {
    position: usize,
    layers: Vec<SavedState>,
}

impl<'a, M: Sublayer + Module> SubjectStream<'a> for MixerStream<'a, M> {
    fn feed(&mut self, tokens: &[u32]) -> Result<Row> {
        let output = self.subject.run(tokens, 1, self.position, Some(&mut self.states));
        self.position += tokens.len();
        Ok(output.narrow(1, tokens.len() - 1, 1).into_data().iter::<f64>().collect())
    }

    fn fork(&self) -> Box<dyn SubjectStream<'a> + 'a> {
        Box::new(self.subject.stream_from(self.states.clone(), self.position))
    }

    fn save(&self) -> Result<Vec<u8>> {
        let bits = |flat: &Tensor<1>| flat.clone().into_data().iter::<f64>().map(f64::to_bits).collect();
        let layer = |state: &LayerState| {
            state.tensors().map(|(name, dims, flat)| (name.to_string(), (dims.to_vec(), bits(flat)))).collect()
        };
        let saved = Saved { position: self.position, layers: self.states.iter().map(layer).collect() };
        serde_json::to_vec(&saved).map_err(|error| Fault::internal("cannot save a stream").because(error))
    }

    fn state_bytes(&self) -> usize {
        self.states.iter().map(LayerState::bytes).sum()
    }
}
