//! RWKV-7's channel mix (arXiv 2503.14456): W_v relu(W_k (x + mu (x' - x)))^2, with x' the normalised row before.
//!
//! Shapes: `[B, T, d] -> [B, T, d]`. Cost per token 2 d h. State: the last normalised row, d. Reach: two positions.

use burn::module::{Module, Param};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::config::{LayerSpec, ModelConfig};
use crate::cost::LinearCall;
use crate::layer::{Activations, Carry, Facts, LayerContext, LayerState, NoOptions, Reach, Rows, Sublayer};
use crate::layers::{Bias, Linear};
use crate::rwkv::{shift_state, shifted};

/// The channel mix.
#[derive(Module, Debug)]
pub struct Rwkv7Channel {
    /// Shares of the row before in what the keys are of, `[d]`.
    pub mix_key: Param<Tensor<1>>,
    /// `[d, hidden]`.
    pub key: Linear,
    /// `[hidden, d]`.
    pub value: Linear,
}

impl Sublayer for Rwkv7Channel {
    type Options = NoOptions;

    fn new(config: &ModelConfig, _layer: &LayerSpec, device: &Device) -> Self {
        let (dim, hidden) = (config.dim, config.hidden_dim());
        Self {
            mix_key: Param::from_tensor(Tensor::zeros([dim], device)),
            key: Linear::new(dim, hidden, Bias::Without, device),
            value: Linear::new(hidden, dim, Bias::Without, device),
        }
    }

    fn facts(config: &ModelConfig, _layer: &LayerSpec, rows: Rows) -> Facts {
        let (count, dim, hidden) = (rows.len(), config.dim, config.hidden_dim());
        let call = |input: usize, output: usize| LinearCall { rows: count, input, output }.into();
        Facts {
            parameters: (dim + 2 * dim * hidden) as u64,
            work: vec![call(dim, hidden), call(hidden, dim)],
            activations: Activations {
                kept: (count * (5 * dim + 3 * hidden)) as u64,
                unfused: 0,
                flow: (count * (3 * dim + 2 * hidden)) as u64,
            },
            state: vec![shift_state(dim)],
            reach: Reach::Last(2),
            ..Facts::of(rows)
        }
    }

    fn initial_std(config: &ModelConfig, path: &str, _shape: &[usize]) -> f64 {
        if path == "value.weight" { config.residual_std() } else { config.init_std }
    }

    fn paper_names(parameter: &str) -> &'static [&'static str] {
        match parameter {
            "mix_key" => &["x_k"],
            "key" => &["key"],
            "value" => &["value"],
            _ => &[],
        }
    }

    fn mix(
        &self,
        x: Tensor<3>,
        state: Option<&mut LayerState>,
        _carry: &mut Carry,
        _context: &LayerContext,
    ) -> Tensor<3> {
        let before = shifted(&x, state);
        let mixed = x.clone() + (before - x) * self.mix_key.val().unsqueeze::<3>();
        let hidden = relu(self.key.forward(mixed));
        self.value.forward(hidden.clone() * hidden)
    }
}
