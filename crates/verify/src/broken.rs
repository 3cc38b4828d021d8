//! Deliberately broken mixers: each fault is caught, and by the check that is named after it.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use percept_model::config::LayerSpec;
use percept_model::layer::{Carry, Facts, LayerContext, LayerState, NoOptions, Reach, StateTensor, Sublayer};
use percept_model::ops::{self, Pattern, Rotary, RotaryLayout, Visibility};
use percept_model::{ModelConfig, Rows};

use super::*;

const SOUND: u8 = 0;
/// The first half group of shifted heads sees the last tokens (LongLoRA as published).
const WRAP_AROUND: u8 = 1;
/// A query sees the token after it.
const OFF_BY_ONE: u8 = 2;
/// No query sees the first token.
const SHORT_MASK: u8 = 3;
/// At the first token of a segment the cached keys are used as they are, without its own.
const STALE_CACHE: u8 = 4;
/// New tokens are rotated as if the kept keys were all there ever were.
const ROTARY_OFFSET: u8 = 5;
/// Keys of past segments are never dropped.
const LEAKING_STATE: u8 = 6;

/// Segment-pair attention with one fault.
#[derive(Module, Debug)]
struct Attention<const FAULT: u8> {
    query: Param<Tensor<2>>,
    key: Param<Tensor<2>>,
    value: Param<Tensor<2>>,
    heads: usize,
    segment: usize,
}

fn first_key(position: usize, segment: usize) -> usize {
    (position / segment).saturating_sub(1) * segment
}

impl<const FAULT: u8> Attention<FAULT> {
    fn heads(&self, x: &Tensor<3>, weight: &Param<Tensor<2>>) -> Tensor<4> {
        let [batch, rows, dim] = x.dims();
        x.clone().matmul(weight.val().unsqueeze()).reshape([batch, rows, self.heads, dim / self.heads])
    }

    fn rotate(&self, x: Tensor<4>, start: usize) -> Tensor<4> {
        let channels = x.dims()[3];
        ops::rotary(x, start, &Rotary { base: 100.0, channels, layout: RotaryLayout::HalfSplit })
    }

    fn attend(&self, [q, k, v]: [Tensor<4>; 3], pattern: Pattern, starts: [usize; 2]) -> Tensor<4> {
        let [query_start, key_start] = starts;
        let (q, k, v, shift) = match FAULT {
            WRAP_AROUND if key_start == query_start && q.dims()[1] > self.segment => {
                let roll = |x: Tensor<4>| {
                    let (half, rows) = (self.segment / 2, x.dims()[1]);
                    Tensor::cat(vec![x.clone().narrow(1, half, rows - half), x.narrow(1, 0, half)], 1)
                };
                (roll(q), roll(k), roll(v), self.segment / 2)
            }
            _ => (q, k, v, 0),
        };
        let query_start = if FAULT == OFF_BY_ONE { query_start + 1 } else { query_start };
        let key_start = if FAULT == SHORT_MASK && key_start == 0 { 1 } else { key_start };
        let (k, v) = match FAULT {
            SHORT_MASK if key_start == 1 && k.dims()[1] > 1 => {
                let rows = k.dims()[1] - 1;
                (k.narrow(1, 1, rows), v.narrow(1, 1, rows))
            }
            _ => (k, v),
        };
        let y = ops::attention(q, k, v, &Visibility { pattern, query_start, key_start }, 1.0, None);
        let rows = y.dims()[1];
        match shift {
            0 => y,
            _ => Tensor::cat(vec![y.clone().narrow(1, rows - shift, shift), y.narrow(1, 0, rows - shift)], 1),
        }
    }
}

impl<const FAULT: u8> Sublayer for Attention<FAULT> {
    type Options = NoOptions;

    fn new(config: &ModelConfig, layer: &LayerSpec, device: &Device) -> Self {
        let matrix = || Param::from_tensor(Tensor::zeros([config.dim, config.dim], device));
        Self {
            query: matrix(),
            key: matrix(),
            value: matrix(),
            heads: config.heads,
            segment: layer.options.llp.segment,
        }
    }

    fn facts(config: &ModelConfig, layer: &LayerSpec, rows: Rows) -> Facts {
        let segment = layer.options.llp.segment;
        let (kept, most) = (rows.len() - first_key(rows.len(), segment), 2 * segment);
        let row = [config.heads, config.head_dim()];
        Facts {
            parameters: 3 * (config.dim * config.dim) as u64,
            state: ["key", "value"].map(|name| StateTensor::rows(name, (kept, most), row)).into(),
            reach: Reach::Patterns(vec![Pattern::SegmentPair { length: segment }]),
            ..Facts::of(rows)
        }
    }

    fn mix(
        &self,
        x: Tensor<3>,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        context: &LayerContext,
    ) -> Tensor<3> {
        let (start, [batch, rows, dim]) = (context.rows.start, x.dims());
        let offset = match &state {
            Some(state) if FAULT == ROTARY_OFFSET => state.row_count("key"),
            _ => start,
        };
        let q = self.rotate(self.heads(&x, &self.query), offset);
        let k = self.rotate(self.heads(&x, &self.key), offset);
        let v = self.heads(&x, &self.value);
        let (mut k, mut v, mut key_start) = (k, v, start);
        if let Some(state) = state {
            key_start -= state.row_count("key");
            let old = (state.get::<4>("key"), state.get::<4>("value"));
            let end = start + rows;
            let keep = if FAULT == LEAKING_STATE { usize::MAX } else { end - first_key(end, self.segment) };
            (k, v) = (state.push_rows("key", k, keep), state.push_rows("value", v, keep));
            if let (STALE_CACHE, 0, 1, (Some(key), Some(value))) = (FAULT, start % self.segment, rows, old) {
                (k, v) = (key, value);
            }
        }
        let pattern = Pattern::SegmentPair { length: self.segment };
        self.attend([q, k, v], pattern, [start, key_start]).reshape([batch, rows, dim])
    }
}

fn subject<const FAULT: u8>() -> MixerSubject<Attention<FAULT>> {
    let config = ModelConfig {
        vocab: 31,
        dim: 16,
        heads: 2,
        depth: 2,
        context: 24,
        ..ModelConfig::default().with("segment", 6).unwrap()
    };
    MixerSubject::new("own mixer", &config, 11).unwrap()
}

fn failures(subject: &dyn Subject) -> Vec<&'static str> {
    verify(subject, Effort::THOROUGH, &mut |_| ()).unwrap().failures()
}

#[test]
fn a_sound_mixer_passes() {
    assert_eq!(failures(&subject::<SOUND>()), [""; 0]);
}

#[test]
fn each_fault_is_caught_by_name() {
    let caught = |failures: Vec<&str>, name: &str| assert!(failures.contains(&name), "{name} missed: {failures:?}");
    caught(failures(&subject::<WRAP_AROUND>()), "causality");
    caught(failures(&subject::<OFF_BY_ONE>()), "causality");
    caught(failures(&subject::<STALE_CACHE>()), "forward-extend");
    caught(failures(&subject::<ROTARY_OFFSET>()), "forward-extend");
    caught(failures(&subject::<SHORT_MASK>()), "reach-at");
    assert_eq!(failures(&subject::<LEAKING_STATE>()), ["state-bytes"]);
}

/// A sound mixer whose streams are loaded at a wrong position: cached keys keep their rotation, new ones get another.
struct WrongResume(MixerSubject<Attention<SOUND>>);

impl Subject for WrongResume {
    fn name(&self) -> String {
        self.0.name()
    }
    fn vocab(&self) -> usize {
        self.0.vocab()
    }
    fn window(&self) -> usize {
        self.0.window()
    }
    fn layers(&self) -> usize {
        self.0.layers()
    }
    fn borders(&self, length: usize) -> Vec<usize> {
        self.0.borders(length)
    }
    fn scored_from(&self, length: usize) -> usize {
        self.0.scored_from(length)
    }
    fn forward(&self, windows: &[&[u32]]) -> Result<Vec<Vec<Row>>> {
        self.0.forward(windows)
    }
    fn stream(&self) -> Result<Box<dyn SubjectStream<'_> + '_>> {
        self.0.stream()
    }
    fn load(&self, saved: &[u8]) -> Result<Box<dyn SubjectStream<'_> + '_>> {
        let mut saved: serde_json::Value = serde_json::from_slice(saved).unwrap();
        // A whole segment off: the masks still fit, only the rotation does not.
        saved["position"] = (saved["position"].as_u64().unwrap() + 6).into();
        self.0.load(&serde_json::to_vec(&saved).unwrap())
    }
    fn state_bytes(&self, tokens: usize) -> usize {
        self.0.state_bytes(tokens)
    }
    fn state_limit(&self) -> usize {
        self.0.state_limit()
    }
    fn earliest(&self, position: usize) -> usize {
        self.0.earliest(position)
    }
    fn tolerance(&self) -> f64 {
        self.0.tolerance()
    }
}

#[test]
fn a_wrong_rotary_offset_after_loading_is_caught() {
    // The key start follows the position, so the mask is right and the keys' rotation is stale.
    assert_eq!(failures(&WrongResume(subject::<SOUND>())), ["state-round-trip"]);
}
