//! Parameter matching: the feed-forward width that brings a model nearest to a number of parameters.

use percept_fault::{Fault, Result};
use percept_model::ModelConfig;
use percept_model::properties::Properties;

/// Largest relative deviation after matching.
pub const TOLERANCE: f64 = 0.02;

/// Widths are multiples of this: narrower steps buy nothing and cost speed.
const WIDTH_STEP: usize = 8;

/// The configuration with the feed-forward width whose parameter count is nearest to `target`; its own width where that is as near.
///
/// # Errors
/// A usage fault where no width comes within [`TOLERANCE`].
///
/// ```
/// use percept_compare::{TOLERANCE, matched};
/// use percept_model::{ModelConfig, properties::Properties};
/// let llp = ModelConfig { vocab: 257, dim: 64, ..Default::default() };
/// let narrow = ModelConfig { layers: "transformer".into(), dim: 48, ..llp.clone() };
/// let target = Properties::of(&llp)?.parameters();
/// // A wider feed-forward sublayer makes up for fewer channels.
/// let as_large = matched(&narrow, target)?;
/// assert!(as_large.feed_forward_dim > llp.hidden_dim());
/// let off = Properties::of(&as_large)?.parameters() as f64 / target as f64 - 1.0;
/// assert!(off.abs() <= TOLERANCE);
/// # Ok::<(), percept_fault::Fault>(())
/// ```
pub fn matched(config: &ModelConfig, target: u64) -> Result<ModelConfig> {
    let with = |width: usize| ModelConfig { feed_forward_dim: width, ..config.clone() };
    let off = |width: usize| -> Result<f64> {
        Ok((Properties::of(&with(width))?.parameters() as f64 / target as f64 - 1.0).abs())
    };
    // The count is linear in the width.
    let [low, high] = [WIDTH_STEP, 2 * WIDTH_STEP].map(with);
    let (low, high) = (Properties::of(&low)?.parameters(), Properties::of(&high)?.parameters());
    let steps = 1.0 + (target as f64 - low as f64) / (high - low) as f64;
    let nearest = WIDTH_STEP * (steps.round().max(1.0) as usize);
    let own = config.hidden_dim();
    let width = if off(own)? <= off(nearest)? { own } else { nearest };
    match off(width)? {
        off if off <= TOLERANCE => Ok(with(width)),
        off => Err(Fault::usage(format!(
            "`{}` cannot be matched to {target} parameters: the nearest feed-forward width, {width}, is {:.0} % off",
            config.layers,
            100.0 * off
        ))
        .hint("choose another parameter_target, or parameters = \"as-given\"")),
    }
}

#[cfg(test)]
mod tests {
    use percept_model::mixer::MixerKind;

    use super::*;

    fn config(layers: &str) -> ModelConfig {
        ModelConfig {
            layers: layers.into(),
            vocab: 257,
            dim: 64,
            depth: 3,
            heads: 4,
            context: 256,
            ..small().with("segment", 32).unwrap()
        }
    }

    fn small() -> ModelConfig {
        ModelConfig { ..ModelConfig::default().with("latents", 128).unwrap().with("compressed", 64).unwrap() }
    }

    fn parameters(config: &ModelConfig) -> u64 {
        Properties::of(config).unwrap().parameters()
    }

    #[test]
    fn every_mixer_is_matched_within_the_tolerance() {
        // Room for the largest: a recurrent layer has twice the maps.
        let target = 2 * parameters(&config("llp"));
        for kind in MixerKind::ALL {
            let matched = matched(&config(kind.name()), target).unwrap();
            let off = parameters(&matched) as f64 / target as f64 - 1.0;
            assert!(off.abs() <= TOLERANCE, "{}: {off}", kind.name());
        }
    }

    #[test]
    fn the_width_is_what_changes_and_only_where_it_helps() {
        let llp = config("llp");
        let same = matched(&llp, parameters(&llp)).unwrap();
        assert_eq!(same, ModelConfig { feed_forward_dim: llp.hidden_dim(), ..llp.clone() });
        let larger = matched(&llp, 2 * parameters(&llp)).unwrap();
        assert!(larger.feed_forward_dim > llp.hidden_dim());
        assert_eq!(ModelConfig { feed_forward_dim: 0, ..larger }, llp);
    }

    #[test]
    fn what_cannot_be_matched_is_refused() {
        let fault = matched(&config("llp"), 1000).unwrap_err();
        assert!(fault.is_usage() && fault.to_string().contains("cannot be matched to 1000 parameters"), "{fault}");
    }
}
