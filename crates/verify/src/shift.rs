//! A shift by one token, as a mixer by itself: what it gets wrong, the checks name.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use percept_model::config::LayerSpec;
use percept_model::layer::{Carry, Facts, LayerContext, LayerState, NoOptions, Reach, StateTensor, Sublayer};
use percept_model::{ModelConfig, Rows};

use super::*;

/// Nothing is wrong.
const SOUND: u8 = 0;
/// It reads the present token in place of the one before.
const PRESENT: u8 = 1;
/// In a stream, the row that it keeps is the present one already when it is read.
const KEPT_TOO_EARLY: u8 = 2;
/// It reads the token after the present one.
const AHEAD: u8 = 3;

/// y_t = x_(t-1) W; the last row is its state.
#[derive(Module, Debug)]
struct Shift<const FAULT: u8> {
    weight: Param<Tensor<2>>,
}

impl<const FAULT: u8> Sublayer for Shift<FAULT> {
    type Options = NoOptions;

    fn new(config: &ModelConfig, _layer: &LayerSpec, device: &Device) -> Self {
        Self { weight: Param::from_tensor(Tensor::zeros([config.dim, config.dim], device)) }
    }

    fn facts(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Facts {
        Facts {
            parameters: (config.dim * config.dim) as u64,
            state: vec![StateTensor::fixed("shift", [config.dim])],
            reach: Reach::Last(2),
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
        let [batch, rows, dim] = x.dims();
        let none = || Tensor::zeros([batch, 1, dim], (&x.device(), x.dtype()));
        let kept = |state: &LayerState| state.get::<2>("shift").map_or_else(none, |row| row.reshape([batch, 1, dim]));
        let mut before = none();
        if let Some(state) = state {
            before = kept(state);
            state.set("shift", x.clone().narrow(1, rows - 1, 1).reshape([batch, dim]));
            if FAULT == KEPT_TOO_EARLY {
                before = kept(state);
            }
        }
        let shifted = match FAULT {
            PRESENT => x.clone(),
            AHEAD => Tensor::cat(vec![x.clone(), none()], 1).narrow(1, 1, rows),
            _ => Tensor::cat(vec![before, x.clone()], 1).narrow(1, 0, rows),
        };
        shifted.matmul(self.weight.val().unsqueeze())
    }
}

fn failures<const FAULT: u8>() -> Vec<&'static str> {
    let config = ModelConfig {
        vocab: 31,
        dim: 16,
        heads: 2,
        depth: 2,
        context: 24,
        layers: "conv".into(),
        ..Default::default()
    };
    let subject = MixerSubject::<Shift<FAULT>>::new("shift", &config, 5).unwrap();
    verify(&subject, Effort::THOROUGH, &mut |_| ()).unwrap().failures()
}

#[test]
fn a_shift_passes_and_its_faults_are_caught_by_name() {
    assert_eq!(failures::<SOUND>(), [""; 0]);
    assert_eq!(failures::<PRESENT>(), ["reach-at"]);
    assert!(failures::<KEPT_TOO_EARLY>().contains(&"forward-extend"));
    assert!(failures::<AHEAD>().contains(&"causality"));
}
