//! The largest sizes of a configuration, and the range of its other numbers.
//!
//! Far above what machines can hold; within them the products of the formulas (weights, operations, memory) stay numbers.

use percept_fault::{Fault, Result};

use crate::config::ModelConfig;
use crate::options::{Table, Tables};

/// Most tokens of a vocabulary.
const VOCABULARY: usize = 1 << 24;
/// Most channels.
const WIDTH: usize = 1 << 17;
/// Most channels inside a feed-forward sublayer.
const HIDDEN: usize = 1 << 20;
/// Most layers.
const LAYERS: usize = 1 << 12;
/// Most tokens of a window, and of its parts.
const TOKENS: usize = 1 << 28;

/// Refuses sizes that no machine holds, and numbers that give no numbers; the message names the key.
pub(crate) fn check(config: &ModelConfig) -> Result<()> {
    let sizes = [
        ("vocab", config.vocab, VOCABULARY),
        ("dim", config.dim, WIDTH),
        ("depth", config.depth, LAYERS),
        ("blocks", config.blocks, LAYERS),
        ("feed_forward_dim", config.feed_forward_dim, HIDDEN),
        ("context", config.context, TOKENS),
    ];
    if let Some((key, size, most)) = sizes.into_iter().find(|(_, size, most)| size > most) {
        return Err(too_large(key, size, most));
    }
    check_tables(&config.mixers.tables())?;
    for layer in config.layer_specs().iter().flatten().filter(|layer| layer.options != config.mixers) {
        check_tables(&layer.options.tables())?;
    }
    check_tables(&config.channels.tables())?;
    let single = |value: f64| (value as f32).is_finite();
    let numbers = [
        ("norm_eps", config.norm_eps, config.norm_eps >= 0.0, "at least 0"),
        ("rotary_base", config.rotary_base, config.rotary_base > 0.0, "above 0"),
        ("z_loss", f64::from(config.z_loss), config.z_loss >= 0.0, "at least 0"),
        ("init_std", config.init_std, config.init_std >= 0.0, "at least 0"),
    ];
    match numbers.into_iter().find(|(_, value, fits, _)| !(*fits && single(*value))) {
        Some((key, value, _, range)) => Err(Fault::usage(format!("model.{key} = {value} is out of range"))
            .hint(format!("model.{key} must be {range}, and a number of single precision"))),
        None => Ok(()),
    }
}

/// The whole numbers of sublayers' tables are counts of tokens; what is named so is a dropout.
fn check_tables(tables: &[Table]) -> Result<()> {
    for (table, (key, value)) in tables.iter().flat_map(|table| table.values.iter().map(move |entry| (table, entry))) {
        let flat = table.flat.iter().any(|flat| flat.name == key);
        let name = if flat { key.clone() } else { format!("{}.{key}", table.name) };
        match (value.as_u64(), value.as_f64()) {
            (Some(size), _) if size as usize > TOKENS => return Err(too_large(&name, size as usize, TOKENS)),
            (_, Some(rate)) if key.ends_with("dropout") => check_dropout(&name, rate as f32)?,
            _ => {}
        }
    }
    Ok(())
}

fn too_large(key: &str, size: usize, most: usize) -> Fault {
    Fault::usage(format!("model.{key} = {size} is too large")).hint(format!("model.{key} is at most {most}"))
}

/// Refuses a rate of dropout that is none.
pub(crate) fn check_dropout(key: &str, rate: f32) -> Result<()> {
    if (0.0..1.0).contains(&rate) {
        return Ok(());
    }
    Err(Fault::usage(format!("model.{key} = {rate} is not in [0, 1)"))
        .hint("dropout is the share of values set to zero, e.g. 0.05"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::Properties;

    fn config() -> ModelConfig {
        ModelConfig { vocab: 257, ..ModelConfig::default() }
    }

    #[test]
    fn numbers_that_no_model_has_are_named() {
        let named = [
            (ModelConfig { dim: usize::MAX, ..config() }, "model.dim = 18446744073709551615 is too large"),
            (ModelConfig { depth: 1 << 40, ..config() }, "model.depth = 1099511627776 is too large"),
            (ModelConfig { norm_eps: f64::NAN, ..config() }, "model.norm_eps = NaN is out of range"),
            (ModelConfig { rotary_base: 0.0, ..config() }, "model.rotary_base = 0 is out of range"),
            (ModelConfig { init_std: 1e40, ..config() }, "out of range"),
            (ModelConfig { z_loss: f32::INFINITY, ..config() }, "model.z_loss = inf is out of range"),
            (config().with("segment", 1u64 << 40).unwrap(), "model.segment = 1099511627776 is too large"),
            (config().with("conv.width", 1u64 << 40).unwrap(), "model.conv.width = 1099511627776 is too large"),
            (config().with("cross_attend_dropout", 1.5).unwrap(), "model.cross_attend_dropout = 1.5 is not in [0, 1)"),
        ];
        for (config, message) in named {
            let fault = Properties::of(&config).unwrap_err();
            assert!(fault.is_usage() && fault.to_string().contains(message), "{fault}");
        }
    }

    #[test]
    fn formulas_of_the_largest_sizes_are_numbers() {
        let largest = ModelConfig { vocab: VOCABULARY, dim: WIDTH, heads: 1, feed_forward_dim: HIDDEN, ..config() };
        for layers in crate::mixer::MixerKind::all_names() {
            // The cost of attention is summed over blocks of rows: a long window would take its time.
            for (context, depth) in [(1 << 20, 2), (1 << 10, LAYERS)] {
                let half = context / 2;
                let heads = if layers == "longlora" || layers == "s2" { 2 } else { 1 };
                let mut sizes = ModelConfig { layers: layers.into(), context, depth, heads, ..largest.clone() };
                for key in ["latents", "compressed", "segment"] {
                    sizes = sizes.with(key, half).unwrap();
                }
                let properties = Properties::of(&sizes).unwrap();
                let weights = properties.parameters();
                assert!(weights > (depth * WIDTH * HIDDEN) as u64, "{layers}: {weights}");
                let (one, many) = (properties.forward_cost(context, 1), properties.forward_cost(context, usize::MAX));
                assert!(one.macs > weights / 2 && many.macs == u64::MAX, "{layers}: {one:?} {many:?}");
            }
        }
    }

    #[test]
    fn a_schedule_longer_than_the_model_costs_nothing() {
        let config = ModelConfig { layers: "llp*18446744073709551615, transformer".into(), ..config() };
        assert_eq!(config.layer_specs().unwrap().len(), config.depth);
    }
}
