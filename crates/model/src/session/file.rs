//! A session as a safetensors file with the model's fingerprint.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};
use percept_fault::{Fault, IoContext, Result};

use super::recent::Recent;
use super::{Session, running};
use crate::inference_model::InferenceModel;
use crate::tensor_file::{self, Elements, Entry, Metadata, Stored, TensorFile};

const FORMAT: &str = "percept-session-1";
const FINGERPRINT: &str = "model_fingerprint";
const LAST: &str = "last";
const TOKENS: &str = "tokens";
/// Of the names of a layer's tensors: the mixer's stand by themselves.
const HALVES: [&str; 2] = ["", "channel."];
const RECENT: &str = "recent_tokens";

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
            position: number(metadata, "position")?,
            state_bytes: tensors.iter().filter(|(name, _)| *name != LAST).map(|(_, stored)| stored.bytes()).sum(),
            tensors: tensors.iter().map(|(name, stored)| (name.clone(), stored.shape().to_vec())).collect(),
        })
    }

    /// The state as the bytes of a safetensors file.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut entries = Vec::new();
        let running::Tensors { states, last } = self.running.to_tensors(&self.model, self.rows());
        for (layer, state) in states.iter().enumerate() {
            for (half, state) in HALVES.into_iter().zip([&state.mixer, &state.channel]) {
                for (name, dims, flat) in state.tensors() {
                    let name = format!("layers.{layer}.{half}{name}");
                    entries.push(Entry::new(name, dims, Elements::Tensor(flat.clone())));
                }
            }
        }
        if let Some(last) = last {
            entries.push(Entry::new(LAST, last.dims(), Elements::Tensor(last.flatten(0, 2))));
        }
        entries.push(Entry::new(TOKENS, [self.tokens.len()], Elements::Tokens(self.tokens.clone())));
        let metadata = Metadata::from([
            ("format".to_string(), FORMAT.to_string()),
            (FINGERPRINT.to_string(), self.model.fingerprint().to_string()),
            ("position".to_string(), self.position.to_string()),
            (RECENT.to_string(), self.recent.to_text()),
        ]);
        tensor_file::to_bytes(&entries, Some(metadata))
    }

    /// The inverse of [`Session::to_bytes`].
    pub fn from_bytes(bytes: &[u8], model: Arc<InferenceModel>) -> Result<Self> {
        let mut session = Session::new(model);
        let file = parse(bytes)?;
        let (mut tensors, metadata) = (file.all(), file.metadata());
        if field(metadata, FINGERPRINT)? != session.model.fingerprint() {
            return Err(Fault::usage("this state belongs to another model")
                .hint("load it with the run and checkpoint that wrote it"));
        }
        session.position = number(metadata, "position")?;
        // Older files say nothing about them.
        let recent = metadata.get(RECENT).map_or("", String::as_str);
        session.recent = Recent::of_text(recent).ok_or_else(damaged)?;
        let rows = session.rows();
        let (model, device) = (session.model.clone(), session.model.device());
        let running = session.running.tensors(&model, rows);
        session.tokens =
            tensors.remove(TOKENS).map_or(Some(Vec::new()), |stored| stored.tokens()).ok_or_else(damaged)?;
        if session.position > 0 {
            let mut take = |name: &str, dims: &[usize]| match tensors.remove(name) {
                Some(stored) if stored.shape() == dims => tensor(&stored, &device),
                _ => Err(damaged()),
            };
            let dim = model.config().dim;
            running.last = Some(take(LAST, &[1, 1, dim])?.reshape([1, 1, dim]));
            for (layer, (facts, state)) in model.facts(rows).iter().zip(&mut running.states).enumerate() {
                for ((half, facts), state) in
                    HALVES.into_iter().zip(facts.both()).zip([&mut state.mixer, &mut state.channel])
                {
                    for declared in &facts.state {
                        let (name, dims) = (format!("layers.{layer}.{half}{}", declared.name), declared.dims());
                        let flat = take(&name, &dims)?;
                        state.set_flat(declared.name, dims, flat);
                    }
                }
            }
        }
        if tensors.is_empty() { Ok(session) } else { Err(damaged()) }
    }
}

fn parse(bytes: &[u8]) -> Result<TensorFile<'_>> {
    let file = TensorFile::parse(bytes).map_err(|error| damaged().because(error))?;
    match file.metadata().get("format").map(String::as_str) {
        Some(FORMAT) => Ok(file),
        _ => Err(Fault::usage("this is not a state file of Percept").hint("`percept state save` writes one")),
    }
}

/// The elements of a tensor, in order and in their type.
fn tensor(stored: &Stored<'_>, device: &Device) -> Result<Tensor<1>> {
    let size = stored.shape().iter().product::<usize>();
    match (stored.f32s(), stored.f64s()) {
        (Some(values), _) => Ok(Tensor::from_data(TensorData::new(values, [size]), (device, DType::F32))),
        (_, Some(values)) => Ok(Tensor::from_data(TensorData::new(values, [size]), (device, DType::F64))),
        _ => Err(damaged()),
    }
}

fn field<'a>(metadata: &'a Metadata, key: &str) -> Result<&'a str> {
    metadata.get(key).map(String::as_str).ok_or_else(damaged)
}

fn number(metadata: &Metadata, key: &str) -> Result<usize> {
    field(metadata, key)?.parse().map_err(|_| damaged())
}

fn damaged() -> Fault {
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
}
