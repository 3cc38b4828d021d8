//! The schedule of mixers over the depth: `"llp*5, transformer"`.
//!
//! Grammar: `entry ("," entry)*`, `entry = name ["(" option ("," option)* ")"] ["*" count]`, `option = key "=" value`, the keys
//! being those of the mixer's table. The expanded list is repeated to the depth.
//!
//! ```
//! use percept_model::ModelConfig;
//! let config = ModelConfig { layers: "llp(segment=64)*2, transformer".into(), depth: 7, ..Default::default() };
//! let names: Vec<&str> = config.layer_specs()?.iter().map(|layer| layer.kind.name()).collect();
//! assert_eq!(names, ["llp", "llp", "transformer", "llp", "llp", "transformer", "llp"]);
//!
//! let fault = ModelConfig { layers: "transfomer".into(), ..config }.layer_specs().unwrap_err();
//! assert_eq!(fault.hint_text(), Some("did you mean `transformer`?"));
//! # Ok::<(), percept_fault::Fault>(())
//! ```

use percept_fault::{Fault, Result, nearest};
use serde_json::Value;

use crate::channel::ChannelKind;
use crate::config::ModelConfig;
use crate::mixer::{MixerKind, MixerOptions};
use crate::options::Tables;

/// What one layer is.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSpec {
    /// The mixer.
    pub kind: MixerKind,
    /// The channel sublayer.
    pub channel: ChannelKind,
    /// Index of the block that the layer runs, from 0: its own place, unless layers share blocks.
    pub index: usize,
    /// Its place in the stack, from 0.
    pub place: usize,
    /// The mixers' own keys in this layer.
    pub options: MixerOptions,
    /// True for the first layer of its kind: the one that meets the uncompressed history.
    pub first_of_kind: bool,
}

/// Expands `config.layers` to one [`LayerSpec`] per layer.
pub(super) fn resolve(config: &ModelConfig) -> Result<Vec<LayerSpec>> {
    let mut pattern = Vec::new();
    for entry in split(&config.layers) {
        let (kind, options, count) = parse_entry(entry, config)?;
        // What lies beyond the depth is never reached.
        pattern.extend(std::iter::repeat_n((kind, options), count.min(config.depth)));
    }
    if pattern.is_empty() {
        return Err(bad("", "is empty"));
    }
    let mut layers: Vec<LayerSpec> = Vec::with_capacity(config.depth);
    for (index, (kind, options)) in pattern.into_iter().cycle().take(config.depth).enumerate() {
        let first_of_kind = !layers.iter().any(|layer| layer.kind == kind);
        layers.push(LayerSpec { kind, channel: config.feed_forward, index, place: index, options, first_of_kind });
    }
    share(&mut layers, config)?;
    Ok(layers)
}

/// Gives the layers beyond the blocks that there are the blocks of earlier ones, in turn. A block is the same in every layer, in all
/// that it does.
fn share(layers: &mut [LayerSpec], config: &ModelConfig) -> Result<()> {
    let blocks = config.own_blocks();
    if blocks > config.depth {
        return Err(Fault::usage(format!("model.blocks = {blocks} is more than model.depth = {}", config.depth)).hint(
            "layers take blocks in turn: set model.blocks to at most model.depth, or to 0 for a block per layer",
        ));
    }
    for place in blocks..layers.len() {
        let (block, layer) = (&layers[place % blocks], &layers[place]);
        if (block.kind, &block.options) != (layer.kind, &layer.options) {
            let [block, layer] = [block, layer].map(|layer| entry(layer.kind, &layer.options, &config.mixers));
            return Err(Fault::usage(format!(
                "model.layers: layer {place} is `{layer}`, and shares the block of layer {}, which is `{block}`",
                place % blocks
            ))
            .hint("set model.blocks to a multiple of the length of the schedule"));
        }
        layers[place] = LayerSpec { place, ..block.clone() };
    }
    Ok(())
}

/// The entry of a layer with these options: what differs from `tables` stands in parentheses.
pub fn entry(kind: MixerKind, options: &MixerOptions, tables: &MixerOptions) -> String {
    let values = |options: &MixerOptions| options.tables().into_iter().find(|table| table.name == kind.name());
    let (Some(own), Some(base)) = (values(options), values(tables)) else { return kind.name().to_owned() };
    let differs = |(key, value): &(&String, &Value)| base.values.get(*key) != Some(value);
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let options = own.values.iter().filter(differs).map(|(key, value)| format!("{key}={}", word(value)));
    let options: Vec<_> = options.collect();
    if options.is_empty() { kind.name().to_owned() } else { format!("{}({})", kind.name(), options.join(", ")) }
}

/// The parts between commas that are not inside parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

fn parse_entry(entry: &str, config: &ModelConfig) -> Result<(MixerKind, MixerOptions, usize)> {
    let (body, count) = match entry.rsplit_once('*') {
        Some((body, count)) => {
            let count = count.trim().parse().map_err(|_| bad(entry, "has a repeat that is not a number"))?;
            (body.trim(), count)
        }
        None => (entry, 1),
    };
    let (name, options) = match body.split_once('(') {
        Some((name, options)) => {
            let options = options.strip_suffix(')').ok_or_else(|| bad(entry, "lacks its closing parenthesis"))?;
            (name.trim(), options)
        }
        None => (body, ""),
    };
    let kind = MixerKind::from_name(name).ok_or_else(|| {
        let fault = Fault::usage(format!("model.layers: there is no mixer `{name}`"));
        match nearest(name, MixerKind::all_names()) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault.hint(format!("mixers: {}", MixerKind::all_names().collect::<Vec<_>>().join(", "))),
        }
    })?;
    let options = split(options).into_iter().try_fold(config.mixers.clone(), |options, option| {
        let (key, value) = option.split_once('=').ok_or_else(|| bad(entry, "has an option that is not KEY=VALUE"))?;
        set(entry, kind, options, key.trim(), value.trim())
    })?;
    Ok((kind, options, count))
}

/// Gives an option of a layer's mixer its value.
fn set(entry: &str, kind: MixerKind, options: MixerOptions, key: &str, value: &str) -> Result<MixerOptions> {
    let (tables, name) = (options.tables(), kind.name());
    let own: Vec<&str> = tables
        .iter()
        .filter(|table| table.name == name)
        .flat_map(|table| table.values.keys().map(String::as_str))
        .collect();
    if !own.contains(&key) {
        // Lengths of segments were once taken by every mixer; those without any ignored them, and still do.
        if tables.iter().any(|table| table.flat.iter().any(|flat| flat.name == key && flat.anywhere)) {
            return Ok(options);
        }
        let fault = Fault::usage(format!("model.layers: `{entry}`: {name} has no option `{key}`"));
        return Err(match nearest(key, own.iter().copied()) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None if own.is_empty() => fault.hint(format!("{name} has no options of its own")),
            None => fault.hint(format!("the options of {name} are: {}", own.join(", "))),
        });
    }
    // What is no number, no `true` and no `false` is a word.
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    options.with(&format!("{name}.{key}"), &value).map_err(|why| bad(entry, &format!("has a wrong `{key}`: {why}")))
}

fn bad(entry: &str, what: &str) -> Fault {
    Fault::usage(format!("model.layers: `{entry}` {what}"))
        .hint("write for example \"llp*5, transformer\" or \"llp(segment=64)*2, llp(segment=256)\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(layers: &str, depth: usize) -> Vec<(String, Option<usize>)> {
        let config = ModelConfig { layers: layers.into(), depth, ..ModelConfig::default() };
        let specs = resolve(&config).expect("a valid schedule");
        specs.iter().map(|layer| (layer.kind.name().to_string(), layer.segment())).collect()
    }

    #[test]
    fn a_schedule_repeats_to_the_depth() {
        let layers = names("llp*2, transformer", 5);
        let kinds: Vec<_> = layers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(kinds, ["llp", "llp", "transformer", "llp", "llp"]);
    }

    #[test]
    fn segments_differ_per_layer() {
        assert_eq!(
            names("llp(segment=64), llp(segment=256)*2", 3).iter().map(|l| l.1).collect::<Vec<_>>(),
            [64, 256, 256].map(Some)
        );
    }

    #[test]
    fn layers_take_blocks_in_turn() {
        let config = |layers: &str, blocks: usize| {
            resolve(&ModelConfig { layers: layers.into(), depth: 4, blocks, ..ModelConfig::default() })
        };
        let places = |layers: &str, blocks: usize| -> Vec<(usize, usize, bool)> {
            let layers = config(layers, blocks).unwrap();
            layers.iter().map(|layer| (layer.place, layer.index, layer.first_of_kind)).collect()
        };
        assert_eq!(places("llp", 1), [(0, 0, true), (1, 0, true), (2, 0, true), (3, 0, true)]);
        assert_eq!(places("llp", 3), [(0, 0, true), (1, 1, false), (2, 2, false), (3, 0, true)]);
        assert_eq!(places("llp, conv", 2), [(0, 0, true), (1, 1, true), (2, 0, true), (3, 1, true)]);
        assert_eq!(places("llp", 0), places("llp", 4));
        let fault = config("llp*3, llp(segment=4)", 2).unwrap_err();
        let said = "model.layers: layer 3 is `llp(segment=4)`, and shares the block of layer 1, which is `llp`";
        assert_eq!(fault.to_string(), said);
        assert_eq!(config("llp", 5).unwrap_err().to_string(), "model.blocks = 5 is more than model.depth = 4");
    }

    #[test]
    fn an_alias_names_the_same_mixer() {
        assert_eq!(names("ecp", 1), names("llp", 1));
    }

    #[test]
    fn mistakes_are_named() {
        let fault =
            |layers: &str| resolve(&ModelConfig { layers: layers.into(), ..ModelConfig::default() }).unwrap_err();
        assert_eq!(fault("transfomer").hint_text(), Some("did you mean `transformer`?"));
        assert!(fault("llp*x").to_string().contains("not a number"));
        assert!(fault("llp(segment=8").to_string().contains("closing parenthesis"));
        assert!(fault("").to_string().contains("is empty"));
        assert!(fault("llp(segment)").to_string().contains("not KEY=VALUE"));
        let wrong = fault("llp(segment=x)").to_string();
        assert!(wrong.contains("`llp(segment=x)` has a wrong `segment`: invalid type: string \"x\""), "{wrong}");
        let near = fault("llp*2, llp(segmnt=8)");
        assert_eq!(near.to_string(), "model.layers: `llp(segmnt=8)`: llp has no option `segmnt`");
        assert_eq!(near.hint_text(), Some("did you mean `segment`?"));
        assert_eq!(fault("conv(taps=3)").hint_text(), Some("the options of conv are: width"));
    }

    #[test]
    fn any_option_of_a_mixer_is_set_per_layer() {
        let layers = "llp(segment=8, first_segment_output=true), conv(width=3), conv, \
                      perceiver-v3(compression_residual=first-rows, compressed=9)";
        let config = ModelConfig { layers: layers.into(), depth: 4, ..ModelConfig::default() };
        let own: Vec<MixerOptions> = resolve(&config).unwrap().into_iter().map(|layer| layer.options).collect();
        assert_eq!((own[0].llp.segment, own[0].llp.first_segment_output), (8, true));
        assert_eq!((own[1].conv.width, own[2].conv.width), (3, 7));
        assert_eq!((own[3].perceiver_v3.compressed, own[1].perceiver_v3.compressed), (9, 256));
        let written: Vec<String> =
            resolve(&config).unwrap().iter().map(|layer| entry(layer.kind, &layer.options, &config.mixers)).collect();
        let again = ModelConfig { layers: written.join(", "), ..config.clone() };
        assert_eq!(resolve(&again).unwrap(), resolve(&config).unwrap(), "{written:?}");
    }

    #[test]
    fn a_segment_of_a_mixer_without_segments_is_ignored_as_it_always_was() {
        assert_eq!(names("conv(segment=4)", 1), names("conv", 1));
    }
}
