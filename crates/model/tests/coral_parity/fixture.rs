//! Files of tensors with their metadata, and how far results may be from them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use percept_model::config::{Objective, Offsets};
use percept_model::order_agnostic::{Asked, Lesson};
use percept_model::{LanguageModel, ModelConfig, parameters};
use safetensors::SafeTensors;

pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) metadata: HashMap<String, String>,
}

pub(crate) fn fixtures(kind: &str) -> Vec<Fixture> {
    let folder = match std::env::var_os("PERCEPT_CORAL_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/coral")),
    };
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: there are no fixtures at {} (set PERCEPT_CORAL_FIXTURES)", folder.display());
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.sort();
    let mut found: Vec<Fixture> = paths.iter().map(|path| Fixture::read(path)).collect();
    found.retain(|fixture| fixture.metadata["kind"] == kind);
    assert!(!found.is_empty(), "{} holds no fixture of kind {kind}", folder.display());
    found
}

impl Fixture {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("a readable fixture");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
        let metadata = header.metadata().clone().expect("metadata");
        Self { name: path.display().to_string(), bytes, metadata }
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, key: &str) -> T {
        self.metadata[key].parse().unwrap_or_else(|_| panic!("{}: {key} is no number", self.name))
    }

    pub(crate) fn floats(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let file = SafeTensors::deserialize(&self.bytes).expect("a safetensors file");
        let view = file.tensor(name).unwrap_or_else(|_| panic!("{}: there is no {name}", self.name));
        let floats = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes")));
        (view.shape().to_vec(), floats.collect())
    }

    pub(crate) fn integers(&self, name: &str) -> (Vec<usize>, Vec<i64>) {
        let file = SafeTensors::deserialize(&self.bytes).expect("a safetensors file");
        let view = file.tensor(name).unwrap_or_else(|_| panic!("{}: there is no {name}", self.name));
        let integers = view.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("8 bytes")));
        (view.shape().to_vec(), integers.collect())
    }

    pub(crate) fn offsets(&self) -> Offsets {
        Offsets { forward: self.number("forward"), backward: self.number("backward") }
    }

    pub(crate) fn config(&self) -> ModelConfig {
        let depth = self.number::<usize>("layers") + usize::from(self.metadata["additional_layer"] == "true");
        ModelConfig {
            layers: "transformer".into(),
            objective: Objective::OrderAgnostic,
            order_agnostic: self.offsets(),
            vocab: self.number("vocab"),
            dim: self.number("dim"),
            depth,
            heads: self.number("heads"),
            kv_heads: self.number("kv_heads"),
            context: self.number("sequence"),
            norm_eps: self.number("rms_norm_eps"),
            feed_forward_dim: self.number("intermediate"),
            rotary_base: self.number("rope_theta"),
            qk_norm: false,
            ..ModelConfig::default()
        }
    }

    /// The authors' name of a weight.
    pub(crate) fn theirs(&self, path: &str) -> String {
        let last = self.metadata["additional_layer"] == "true";
        let Some(rest) = path.strip_prefix("blocks.") else {
            return match path {
                "embedding.weight" => "model.embed_tokens.weight",
                "head.weight" => "lm_head.weight",
                "norm.gamma" => "model.norm.weight",
                other => panic!("no name for {other}"),
            }
            .into();
        };
        let (index, path) = rest.split_once('.').expect("a layer's weight");
        let layer = match last && index == self.metadata["layers"] {
            true => "model.oa_layer".to_owned(),
            false => format!("model.layers.{index}"),
        };
        let name = match path {
            "mixer_norm.gamma" => "input_layernorm",
            "feed_forward_norm.gamma" => "post_attention_layernorm",
            "mixer.projection.query.weight" => "self_attn.q_proj",
            "mixer.projection.key.weight" => "self_attn.k_proj",
            "mixer.projection.value.weight" => "self_attn.v_proj",
            "mixer.projection.output.weight" => "self_attn.o_proj",
            "feed_forward.gate.weight" => "mlp.gate_proj",
            "feed_forward.up.weight" => "mlp.up_proj",
            "feed_forward.down.weight" => "mlp.down_proj",
            other => panic!("no name for {other}"),
        };
        format!("{layer}.{name}.weight")
    }

    /// A weight or its gradient in our layout: the authors' linear maps are transposed.
    pub(crate) fn transposed(&self, path: &str, values: &[f32]) -> Vec<f32> {
        match self.floats(&format!("param.{}", self.theirs(path))).0[..] {
            [_, columns] if path.starts_with("blocks.") => {
                (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
            }
            _ => values.to_vec(),
        }
    }

    pub(crate) fn model(&self, device: &Device) -> LanguageModel {
        let model = LanguageModel::zeros(&self.config(), device).expect("a model");
        parameters::map(model, |path, _, old| {
            let values = self.transposed(path, &self.floats(&format!("param.{}", self.theirs(path))).1);
            let size = values.len();
            Tensor::from_data(TensorData::new(values, [size]), (&old.device(), old.dtype()))
        })
    }

    /// What the labels ask of tokens that are no padding, offset by offset, in one lesson; and where each pair's logits are in the fixture.
    pub(crate) fn lesson(&self) -> (Lesson, Vec<usize>) {
        let (shape, labels) = self.integers("labels");
        let (_, targets) = self.integers("targets_position");
        let (_, mask) = self.integers("attention_mask");
        let (rows, length, window) = (shape[0], shape[1], shape[2]);
        let tokens = self.integers("input_ids").1.into_iter().map(|token| token as u32).collect();
        let mut lesson = Lesson { tokens, rows, length, asked: Vec::new(), labels: Vec::new() };
        let mut places = Vec::new();
        for copy in 0..window {
            let is_scored = |source: &usize| mask[*source] == 1 && labels[source * window + copy] >= 0;
            let scored: Vec<usize> = (0..rows * length).filter(is_scored).collect();
            let offset = |&source: &usize| targets[source * window + copy] as isize - (source % length) as isize;
            let Some(offset) = scored.first().map(offset) else { continue };
            lesson.labels.extend(scored.iter().map(|source| labels[source * window + copy] as u32));
            places.extend(scored.iter().map(|source| source * window + copy));
            lesson.asked.push(Asked { offset, sources: scored });
        }
        (lesson, places)
    }
}

pub(crate) fn relative_l2(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let difference = squares(&mut ours.iter().zip(theirs).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    (difference / squares(&mut theirs.iter().map(|x| f64::from(*x)))).sqrt()
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

pub(crate) fn check(fixture: &Fixture, name: &str, (ours, theirs): (&[f32], &[f32]), limit: f64) {
    let error = relative_l2(ours, theirs);
    assert!(error <= limit, "{}: {name} is off by {error:.2e}", fixture.name);
}
