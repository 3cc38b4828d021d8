//! A recurrence as a mixer: the contract fits a state that is no ring of keys.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use percept_model::config::LayerSpec;
use percept_model::layer::{Carry, Facts, LayerContext, LayerState, NoOptions, Reach, StateTensor, Sublayer};
use percept_model::{ModelConfig, Rows};

use super::*;

/// Nothing is wrong.
const SOUND: u8 = 0;
/// A stream forgets its sum at every call.
const FORGETFUL: u8 = 1;
/// It declares to look back four positions only.
const SHORT_REACH: u8 = 2;
/// What it leaves behind has faded once more.
const DECAYED_TWICE: u8 = 3;
/// Its scan begins anew at every block of rows.
const DROPPED_CARRY: u8 = 4;
/// Rows of a block.
const BLOCK: usize = 8;

/// s_t = 0.9 s_(t-1) + x_t W, and y_t = s_t: the sum `[1, d]` is its state.
#[derive(Module, Debug)]
struct LeakySum<const FAULT: u8> {
    weight: Param<Tensor<2>>,
}

impl<const FAULT: u8> Sublayer for LeakySum<FAULT> {
    type Options = NoOptions;

    fn new(config: &ModelConfig, _layer: &LayerSpec, device: &Device) -> Self {
        Self { weight: Param::from_tensor(Tensor::zeros([config.dim, config.dim], device)) }
    }

    fn facts(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Facts {
        Facts {
            parameters: (config.dim * config.dim) as u64,
            state: vec![StateTensor::fixed("sum", [config.dim])],
            reach: if FAULT == SHORT_REACH { Reach::Last(5) } else { Reach::Stream },
            ..Facts::of(rows)
        }
    }

    fn mix(
        &self,
        x: Tensor<3>,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        _context: &LayerContext,
    ) -> Tensor<3> {
        let x = x.matmul(self.weight.val().unsqueeze());
        let [batch, rows, dim] = x.dims();
        let kept = state.as_ref().and_then(|state| state.get::<2>("sum")).filter(|_| FAULT != FORGETFUL);
        let mut sum = kept.unwrap_or_else(|| Tensor::zeros([batch, dim], (&x.device(), x.dtype())));
        let mut outputs = Vec::with_capacity(rows);
        for row in 0..rows {
            if FAULT == DROPPED_CARRY && row > 0 && row % BLOCK == 0 {
                sum = sum.zeros_like();
            }
            sum = sum * 0.9 + x.clone().narrow(1, row, 1).reshape([batch, dim]);
            outputs.push(sum.clone().reshape([batch, 1, dim]));
        }
        if let Some(state) = state {
            state.set("sum", if FAULT == DECAYED_TWICE { sum * 0.9 } else { sum });
        }
        Tensor::cat(outputs, 1)
    }
}

fn failures<const FAULT: u8>() -> Vec<&'static str> {
    let config = ModelConfig {
        vocab: 31,
        dim: 16,
        heads: 2,
        depth: 2,
        context: 24,
        ..ModelConfig::default().with("segment", 6).unwrap()
    };
    let subject = MixerSubject::<LeakySum<FAULT>>::new("leaky sum", &config, 11).unwrap();
    verify(&subject, Effort::THOROUGH, &mut |_| ()).unwrap().failures()
}

#[test]
fn a_recurrence_with_a_fixed_state_passes() {
    assert_eq!(failures::<SOUND>(), [""; 0]);
}

#[test]
fn its_faults_are_caught() {
    assert!(failures::<FORGETFUL>().contains(&"forward-extend"));
    assert!(failures::<DECAYED_TWICE>().contains(&"forward-extend"));
    assert!(failures::<DROPPED_CARRY>().contains(&"forward-extend"));
    assert!(failures::<SHORT_REACH>().contains(&"reach-beyond"));
}
