//! A session as a safetensors file with the model's fingerprint.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};
use percept_fault::{Fault, IoContext, Result};

use super::{Session, StateHead, running};
use crate::batch::check_tokens;
use crate::inference_model::InferenceModel;
use crate::tensor_file::{self, Elements, Entry, Metadata, Stored, TensorFile};

const FORMAT: &str = "percept-session-1";
pub(super) const FINGERPRINT: &str = "model_fingerprint";
pub(super) const POSITION: &str = "position";
pub(super) const RECENT: &str = "recent_tokens";
/// There where the stream was being decoded token by token: restored, it goes on so, with the same bits.
pub(super) const DECODED: &str = "decoded";
pub(super) const LAST: &str = "last";
pub(super) const TOKENS: &str = "tokens";
/// Of the names of a layer's tensors: the mixer's stand by themselves.
pub(super) const HALVES: [&str; 2] = ["", "channel."];

/// What a state file says about itself.
#[derive(Debug, Clone, serde::Serialize)]
pub struct StateSummary {
    /// Fingerprint of the model that it belongs to.
    pub model_fingerprint: String,
    /// Tokens fed.
    pub position: usize,
    /// Bytes of keys, values and kept tokens.
    pub state_bytes: usize,
    /// Names and shapes of the tensors.
    pub tensors: Vec<(String, Vec<usize>)>,
    /// The format of each, as safetensors names it: keys and values may be in BF16.
    pub formats: Vec<String>,
}

impl Session {
    /// Writes the state to `path`, replacing what is there: under a temporary name, synced and renamed.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use percept_model::{InferenceModel, LanguageModel, ModelConfig, Session};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let layers = "llp(segment=8)".into();
    /// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
    /// # let model: Arc<InferenceModel> = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
    /// let path = folder.path().join("chat.state");
    /// let mut session = Session::new(model.clone());
    /// session.feed(&[256, 72])?;
    /// session.save(&path)?;
    /// // Later, in another process:
    /// let mut loaded = Session::load(&path, model)?;
    /// assert_eq!(loaded.feed(&[105])?, session.feed(&[105])?);
    /// // Another model refuses it.
    /// let other = LanguageModel::new(&config, 8, &Default::default())?;
    /// assert!(Session::load(&path, Arc::new(other.into())).unwrap_err().is_usage());
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn save(&self, path: &Path) -> Result<()> {
        percept_files::write_file(path, &self.to_bytes()?)
    }

    /// Reads a state; it must belong to `model`.
    pub fn load(path: &Path, model: Arc<InferenceModel>) -> Result<Self> {
        let bytes = std::fs::read(path).at("read", path)?;
        Self::from_bytes(&bytes, model).map_err(|fault| {
            let hint = fault.hint_text().map(str::to_string);
            let named = Fault::new(fault.kind(), format!("{}: {fault}", path.display()));
            match hint {
                Some(hint) => named.hint(hint),
                None => named,
            }
        })
    }

    /// What the state file at `path` holds, without a model.
    pub fn inspect(path: &Path) -> Result<StateSummary> {
        let bytes = std::fs::read(path).at("read", path)?;
        let file = parse(&bytes)?;
        let (tensors, metadata) = (file.all(), file.metadata());
        Ok(StateSummary {
            model_fingerprint: field(metadata, FINGERPRINT)?.to_string(),
            position: number(metadata, POSITION)?,
            state_bytes: tensors.iter().filter(|(name, _)| *name != LAST).map(|(_, stored)| stored.bytes()).sum(),
            tensors: tensors.iter().map(|(name, stored)| (name.clone(), stored.shape().to_vec())).collect(),
            formats: tensors.values().map(|stored| stored.dtype().to_string()).collect(),
        })
    }

    /// The state as the bytes of a safetensors file.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut entries = Vec::new();
        let running::Tensors { states, last } = self.running.to_tensors(&self.model, self.rows());
        for (layer, state) in states.iter().enumerate() {
            for (half, state) in HALVES.into_iter().zip([&state.mixer, &state.channel]) {
                for (name, dims, flat) in state.tensors() {
                    entries.push(Entry::new(name_of(layer, half, name), dims, Elements::Tensor(flat.clone())));
                }
            }
        }
        if let Some(last) = last {
            entries.push(Entry::new(LAST, last.dims(), Elements::Tensor(last.flatten(0, 2))));
        }
        entries.push(Entry::new(TOKENS, [self.tokens.len()], Elements::Tokens(self.tokens.clone())));
        let mut metadata = Metadata::from([
            ("format".to_string(), FORMAT.to_string()),
            (FINGERPRINT.to_string(), self.model.fingerprint().to_string()),
            (POSITION.to_string(), self.position.to_string()),
            (RECENT.to_string(), self.recent.to_text()),
        ]);
        if self.running.hidden().is_some() {
            metadata.insert(DECODED.to_string(), "true".to_string());
        }
        tensor_file::to_bytes(&entries, Some(metadata))
    }

    /// The state in the bytes of a file, in tensors: after a stream that was decoded token by token the first distribution may
    /// differ in its last bits from the stream's own, as it always did ([`Session::restore`]). What does not fit the model is refused
    /// before there is memory for it ([`StateHead`]).
    ///
    /// # Errors
    /// Usage: it is no state, or another model's; environment: it is damaged.
    pub fn from_bytes(bytes: &[u8], model: Arc<InferenceModel>) -> Result<Self> {
        Self::parse(bytes, model).map(|(session, _)| session)
    }

    /// The inverse of [`Session::to_bytes`]: the session goes on with the bits of the one that was written. An older
    /// file does not tell whether its stream was being decoded, and is read as by [`Session::from_bytes`].
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use percept_model::{InferenceModel, LanguageModel, ModelConfig, Session};
    /// # let layers = "llp(segment=8)".into();
    /// # let config = ModelConfig { layers, vocab: 257, dim: 16, depth: 1, heads: 2, context: 32, ..Default::default() };
    /// # let model: Arc<InferenceModel> = Arc::new(LanguageModel::new(&config, 7, &Default::default())?.into());
    /// let mut session = Session::new(model.clone());
    /// session.feed(&[256])?;
    /// let restored = Session::restore(&session.to_bytes()?, model)?;
    /// assert_eq!(restored.log_probabilities()?, session.log_probabilities()?);
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    ///
    /// # Errors
    /// As [`Session::from_bytes`].
    pub fn restore(bytes: &[u8], model: Arc<InferenceModel>) -> Result<Self> {
        let (mut session, head) = Self::parse(bytes, model)?;
        if head.is_decoded()
            && let Some(decoder) = session.model.decoder().cloned()
        {
            let position = session.window_position();
            session.running.stream(&decoder, position);
        }
        Ok(session)
    }

    fn parse(bytes: &[u8], model: Arc<InferenceModel>) -> Result<(Self, StateHead)> {
        let file = parse(bytes)?;
        let (prefix, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
        let head = StateHead::check(rest.get(..StateHead::length(*prefix)?).ok_or_else(damaged)?, &model)?;
        let mut session = Session::new(model);
        (session.position, session.recent) = (head.position(), head.recent());
        let get = |name: &str| file.get(name).ok_or_else(damaged);
        session.tokens = file.get(TOKENS).map_or(Some(Vec::new()), |stored| stored.tokens()).ok_or_else(damaged)?;
        let (model, rows) = (session.model.clone(), session.rows());
        check_tokens(&session.tokens, model.config().vocab).map_err(|fault| damaged().because(fault))?;
        if session.position == 0 {
            return Ok((session, head));
        }
        let (device, dim) = (model.device(), model.config().dim);
        let running = session.running.tensors(&model, rows);
        running.last = Some(tensor(&get(LAST)?, &device)?.reshape([1, 1, dim]));
        for (layer, (facts, state)) in model.facts(rows).iter().zip(&mut running.states).enumerate() {
            let states = [&mut state.mixer, &mut state.channel];
            for ((half, facts), state) in HALVES.into_iter().zip(facts.both()).zip(states) {
                for declared in &facts.state {
                    let flat = tensor(&get(&name_of(layer, half, declared.name))?, &device)?;
                    state.set_flat(declared.name, declared.dims(), flat);
                }
            }
        }
        Ok((session, head))
    }
}

/// The name of a layer's tensor.
pub(super) fn name_of(layer: usize, half: &str, tensor: &str) -> String {
    format!("layers.{layer}.{half}{tensor}")
}

fn parse(bytes: &[u8]) -> Result<TensorFile<'_>> {
    let file = TensorFile::parse(bytes).map_err(|error| damaged().because(error))?;
    check_format(file.metadata())?;
    Ok(file)
}

pub(super) fn check_format(metadata: &Metadata) -> Result<()> {
    match metadata.get("format").map(String::as_str) {
        Some(FORMAT) => Ok(()),
        _ => Err(Fault::usage("this is not a state file of Percept").hint("`percept state save` writes one")),
    }
}

/// The elements of a tensor, in order and in their type.
fn tensor(stored: &Stored<'_>, device: &Device) -> Result<Tensor<1>> {
    let size = stored.shape().iter().product::<usize>();
    let (data, kind) = match (stored.f32s(), stored.f64s(), stored.bf16s()) {
        (Some(values), ..) => (TensorData::new(values, [size]), DType::F32),
        (_, Some(values), _) => (TensorData::new(values, [size]), DType::F64),
        (.., Some(values)) => (TensorData::new(values, [size]), DType::BF16),
        _ => return Err(damaged()),
    };
    Ok(Tensor::from_data(data, (device, kind)))
}

pub(super) fn field<'a>(metadata: &'a Metadata, key: &str) -> Result<&'a str> {
    metadata.get(key).map(String::as_str).ok_or_else(damaged)
}

pub(super) fn number(metadata: &Metadata, key: &str) -> Result<usize> {
    field(metadata, key)?.parse().map_err(|_| damaged())
}

pub(super) fn damaged() -> Fault {
    Fault::environment("the state file is damaged").hint("save the state again with `percept state save`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LanguageModel, ModelConfig};

    #[test]
    fn a_state_tells_the_last_tokens_and_an_older_one_still_loads() {
        let config = ModelConfig {
            vocab: 40,
            dim: 8,
            depth: 1,
            heads: 2,
            context: 16,
            ..ModelConfig::default().with("segment", 4).unwrap()
        };
        let model = Arc::new(InferenceModel::new(LanguageModel::new(&config, 7, &Default::default()).unwrap()));
        let mut session = Session::new(model.clone());
        session.feed(&(0..30).collect::<Vec<_>>()).unwrap();
        session.feed(&[31]).unwrap();
        let bytes = session.to_bytes().unwrap();
        let read = Session::from_bytes(&bytes, model.clone()).unwrap();
        assert_eq!(read.recent_tokens(), [&(15..30).collect::<Vec<_>>()[..], &[31]].concat());
        let mut metadata = parse(&bytes).unwrap().metadata().clone();
        metadata.insert(RECENT.into(), "3 x".into());
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let with = |metadata| safetensors::serialize(tensors.tensors(), Some(metadata)).unwrap();
        assert!(Session::from_bytes(&with(metadata.clone()), model.clone()).unwrap_err().is_environment());
        metadata.remove(RECENT);
        let old = Session::from_bytes(&with(metadata), model).unwrap();
        assert_eq!((old.position(), old.recent_tokens()), (31, &[][..]));
        assert_eq!(old.log_probabilities().unwrap(), read.log_probabilities().unwrap());
    }

    #[test]
    fn a_decoded_stream_is_read_as_before_and_restored_with_its_bits() {
        let config = ModelConfig { vocab: 300, dim: 48, depth: 2, heads: 4, context: 64, ..Default::default() };
        let config = ModelConfig { layers: "llp(segment=16)".into(), ..config };
        let model = Arc::new(InferenceModel::new(LanguageModel::new(&config, 7, &Default::default()).unwrap()));
        let mut session = Session::new(model.clone());
        (0..100).for_each(|token| drop(session.feed(&[token]).unwrap()));
        let bytes = session.to_bytes().unwrap();
        // As programs wrote it that said nothing of decoding.
        let old = forged(&bytes, |metadata, _| assert!(metadata.remove(DECODED).is_some()));
        let first = |session: percept_fault::Result<Session>| session.unwrap().log_probabilities().unwrap();
        let stream = session.log_probabilities().unwrap();
        let read = first(Session::from_bytes(&bytes, model.clone()));
        assert!(
            read == first(Session::from_bytes(&old, model.clone()))
                && read == first(Session::restore(&old, model.clone()))
        );
        assert!(
            first(Session::restore(&bytes, model)) == stream && read != stream,
            "the paths round in their own ways"
        );
    }

    #[test]
    fn a_stream_that_is_restored_before_its_window_is_run_again_keeps_its_rows() {
        let config = ModelConfig { vocab: 40, dim: 8, depth: 2, heads: 2, context: 10, ..Default::default() };
        // Keys that are values too are rotated: they know the positions of a window only.
        let config = ModelConfig { key_value: crate::config::KeyValue::Shared, ..config };
        let config = ModelConfig { layers: "llp(segment=2), transformer".into(), ..config };
        let model = Arc::new(InferenceModel::new(LanguageModel::new(&config, 7, &Default::default()).unwrap()));
        assert!(crate::WindowSchedule::of(model.config(), model.layers()).is_some());
        let mut session = Session::new(model.clone());
        for token in 0..30 {
            session.feed(&[token]).unwrap();
            let restored = Session::restore(&session.to_bytes().unwrap(), model.clone()).unwrap();
            let [restored, session] = [&restored, &session].map(|one| one.to_bytes().unwrap());
            let [restored, session] = [&restored, &session].map(|bytes| parse(bytes).unwrap());
            for (name, stored) in session.all() {
                let again = restored.get(&name).unwrap();
                assert_eq!((again.floats(), again.shape()), (stored.floats(), stored.shape()), "{name} after {token}");
            }
        }
    }

    /// A file with other metadata and tensors.
    fn forged(
        bytes: &[u8],
        change: impl Fn(&mut Metadata, &mut Vec<(String, Vec<usize>, safetensors::Dtype, Vec<u8>)>),
    ) -> Vec<u8> {
        let mut metadata = parse(bytes).unwrap().metadata().clone();
        let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let mut tensors = file
            .tensors()
            .into_iter()
            .map(|(name, view)| (name, view.shape().to_vec(), view.dtype(), view.data().to_vec()))
            .collect();
        change(&mut metadata, &mut tensors);
        let views = tensors.iter().map(|(name, shape, kind, data)| {
            (name, safetensors::tensor::TensorView::new(*kind, shape.clone(), data).unwrap())
        });
        safetensors::serialize(views, Some(metadata)).unwrap()
    }

    #[test]
    fn what_does_not_fit_the_model_is_refused_and_breaks_nothing() {
        let config = ModelConfig { vocab: 40, dim: 8, depth: 1, heads: 2, context: 16, ..Default::default() };
        // One that keeps tokens, and one that does not.
        for layers in ["perceiver-ar(latents=4)", "llp(segment=4)"] {
            let config = ModelConfig { layers: layers.into(), ..config.clone() };
            let model = Arc::new(InferenceModel::new(LanguageModel::new(&config, 7, &Default::default()).unwrap()));
            let mut session = Session::new(model.clone());
            session.feed(&(0..30).collect::<Vec<_>>()).unwrap();
            let bytes = session.to_bytes().unwrap();
            let refused = |bytes: &[u8]| Session::from_bytes(bytes, model.clone()).is_err();
            assert!(!refused(&forged(&bytes, |_, _| ())));
            for position in ["29", "31", "0", "-1", "1099511627777", "18446744073709551615", "x"] {
                let forged = forged(&bytes, |metadata, _| drop(metadata.insert(POSITION.into(), position.into())));
                assert!(refused(&forged), "{layers} {position}");
            }
            for recent in ["40", "4294967296", "a"] {
                assert!(refused(&forged(&bytes, |metadata, _| drop(metadata.insert(RECENT.into(), recent.into())))));
            }
            let tensors = parse(&bytes).unwrap().all().len();
            for at in 0..tensors {
                // Missing (older files leave out tokens where there are none), of another shape, of another type.
                let without = forged(&bytes, |_, tensors| drop(tensors.remove(at)));
                let is_empty = parse(&bytes).unwrap().get(TOKENS).is_some_and(|tokens| tokens.bytes() == 0);
                assert!(refused(&without) || is_empty && !parse(&without).unwrap().all().contains_key(TOKENS));
                assert!(refused(&forged(&bytes, |_, tensors| tensors[at].1.push(1))));
                assert!(refused(&forged(&bytes, |_, tensors| {
                    let (_, _, kind, data) = &mut tensors[at];
                    *kind = safetensors::Dtype::F64;
                    data.extend(data.clone());
                })));
            }
            assert!(refused(&forged(&bytes, |_, tensors| tensors.push((
                "more".into(),
                vec![0],
                safetensors::Dtype::F32,
                vec![]
            )))));
            for end in [0, 7, 8, 50, bytes.len() - 1] {
                assert!(refused(&bytes[..end]));
            }
            assert!(refused(&[&bytes[..], &[0]].concat()));
        }
    }
}
