//! The keys of `[model.order_agnostic]`, and what they need of the rest.

use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LayerSpec, ModelConfig, Objective};

/// Furthest offset.
const FURTHEST: usize = 64;

/// The positions around its own that a row of an order-agnostic model can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Offsets {
    /// Positions f after its own.
    pub forward: usize,
    /// Positions b before its own, which is one of them too: they are predicted again, from a text that may be wrong there.
    pub backward: usize,
}

impl Default for Offsets {
    fn default() -> Self {
        Self { forward: 4, backward: 8 }
    }
}

impl Offsets {
    /// -b ..= f.
    pub fn all(&self) -> impl Iterator<Item = isize> + use<> {
        -(self.backward as isize)..=self.forward as isize
    }
}

/// What the last layer must be for queries that ask for other positions.
pub(super) fn check(config: &ModelConfig, layers: &[LayerSpec]) -> Result<()> {
    let Offsets { forward, backward } = config.order_agnostic;
    if config.objective == Objective::NextToken {
        return match config.order_agnostic == Offsets::default() {
            true => Ok(()),
            false => Err(Fault::usage("model.order_agnostic is set, but the model is asked for the next token only")
                .hint("set model.objective = \"order-agnostic\" too")),
        };
    }
    for (key, offset, least) in [("forward", forward, 1), ("backward", backward, 0)] {
        if !(least..=FURTHEST).contains(&offset) {
            return Err(Fault::usage(format!("model.order_agnostic.{key} = {offset} is out of range"))
                .hint(format!("model.order_agnostic.{key} is at least {least} and at most {FURTHEST}")));
        }
    }
    let Some(last) = layers.last() else { return Ok(()) };
    if !(last.kind.contract().asks)(config, last) {
        return Err(Fault::usage(format!("an order-agnostic model cannot end with `{}` as it is", last.kind.name()))
            .hint("its last layer must be transformer, llp or longlora with model.rotary = \"all\": \"rwkv7*3, transformer\""));
    }
    if !last.has_channel_by_rows(config) {
        return Err(Fault::usage(format!(
            "an order-agnostic model cannot have model.feed_forward = \"{}\"",
            last.channel.name()
        ))
        .hint("its rows are asked one by one: take swiglu, gelu or grouped, which look at no other row"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(layers: &str, change: impl FnOnce(&mut ModelConfig)) -> Fault {
        let objective = Objective::OrderAgnostic;
        let mut config = ModelConfig { layers: layers.into(), vocab: 9, objective, ..ModelConfig::default() };
        change(&mut config);
        config.validate().expect_err("a fault")
    }

    #[test]
    fn the_last_layer_is_rotary_attention_over_any_mixers() {
        let config = |layers: &str| ModelConfig {
            layers: layers.into(),
            vocab: 9,
            objective: Objective::OrderAgnostic,
            ..ModelConfig::default()
        };
        for layers in ["llp", "transformer", "longlora", "rwkv7*3, llp", "conv, tost, rwkv4, transformer"] {
            config(layers).validate().expect(layers);
        }
        let message = fault("llp*3, conv", |_| ()).to_string();
        assert_eq!(message, "an order-agnostic model cannot end with `conv` as it is");
        let unrotated = fault("llp", |config| config.rotary = super::super::RotaryLayers::First);
        assert_eq!(unrotated.to_string(), "an order-agnostic model cannot end with `llp` as it is");
        let shifting = fault("llp", |config| config.feed_forward = crate::channel::ChannelKind::Rwkv7);
        assert!(shifting.to_string().contains("model.feed_forward = \"rwkv7-channel\""), "{shifting}");
    }

    #[test]
    fn offsets_are_in_range_and_not_without_the_objective() {
        assert!(fault("llp", |config| config.order_agnostic.forward = 0).to_string().contains("forward = 0"));
        assert!(fault("llp", |config| config.order_agnostic.backward = 65).to_string().contains("backward = 65"));
        let unused = fault("llp", |config| {
            config.objective = Objective::NextToken;
            config.order_agnostic.forward = 2;
        });
        assert_eq!(unused.hint_text(), Some("set model.objective = \"order-agnostic\" too"));
    }

    #[test]
    fn what_is_not_order_agnostic_is_written_as_it_always_was() {
        let plain = serde_json::to_string(&ModelConfig::default()).expect("JSON");
        assert!(!plain.contains("objective") && !plain.contains("order_agnostic"), "{plain}");
        let order_agnostic = Offsets { forward: 2, backward: 3 };
        let config = ModelConfig { objective: Objective::OrderAgnostic, order_agnostic, ..ModelConfig::default() };
        let text = serde_json::to_string(&config).expect("JSON");
        let end = r#""objective":"order-agnostic","order_agnostic":{"forward":2,"backward":3}}"#;
        assert!(text.ends_with(end), "{text}");
        assert_eq!(serde_json::from_str::<ModelConfig>(&text).expect("a configuration"), config);
    }
}
