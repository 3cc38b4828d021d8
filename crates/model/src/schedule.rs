//! The schedule of mixers over the depth: `"llp*5, transformer"`.
//!
//! Grammar: `entry ("," entry)*`, `entry = name ["(" "segment=" number ")"] ["*" count]`. The
//! expanded list is repeated to the depth.

use percept_fault::{Fault, Result, nearest};

use crate::channel::ChannelKind;
use crate::config::ModelConfig;
use crate::mixer::MixerKind;

/// What one layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSpec {
    /// The mixer.
    pub kind: MixerKind,
    /// The channel sublayer.
    pub channel: ChannelKind,
    /// Layer index, from 0.
    pub index: usize,
    /// Segment length m of this layer, in tokens.
    pub segment: usize,
    /// True for the first layer of its kind: the one that meets the uncompressed history.
    pub first_of_kind: bool,
}

/// Expands `config.layers` to one [`LayerSpec`] per layer.
pub fn resolve(config: &ModelConfig) -> Result<Vec<LayerSpec>> {
    let mut pattern = Vec::new();
    for entry in split_entries(&config.layers) {
        let (kind, segment, count) = parse_entry(entry, config)?;
        // What lies beyond the depth is never reached.
        pattern.extend(std::iter::repeat_n((kind, segment), count.min(config.depth)));
    }
    if pattern.is_empty() {
        return Err(bad("", "is empty"));
    }
    let mut layers: Vec<LayerSpec> = Vec::with_capacity(config.depth);
    for (index, (kind, segment)) in pattern.into_iter().cycle().take(config.depth).enumerate() {
        let first_of_kind = !layers.iter().any(|layer| layer.kind == kind);
        layers.push(LayerSpec { kind, channel: config.feed_forward, index, segment, first_of_kind });
    }
    Ok(layers)
}

/// Entries between commas that are not inside parentheses.
fn split_entries(text: &str) -> Vec<&str> {
    let (mut entries, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                entries.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    entries.push(text[start..].trim());
    entries.retain(|entry| !entry.is_empty());
    entries
}

fn parse_entry(entry: &str, config: &ModelConfig) -> Result<(MixerKind, usize, usize)> {
    let (body, count) = match entry.rsplit_once('*') {
        Some((body, count)) => {
            let count = count.trim().parse().map_err(|_| bad(entry, "has a repeat that is not a number"))?;
            (body.trim(), count)
        }
        None => (entry, 1),
    };
    let (name, segment) = match body.split_once('(') {
        Some((name, options)) => {
            let options = options.strip_suffix(')').ok_or_else(|| bad(entry, "lacks its closing parenthesis"))?;
            let value = match options.split_once('=') {
                Some((key, value)) if key.trim() == "segment" => value.trim(),
                _ => return Err(bad(entry, "has an unknown option")),
            };
            (name.trim(), value.parse().map_err(|_| bad(entry, "has a segment that is not a number"))?)
        }
        None => (body, config.segment),
    };
    let kind = MixerKind::from_name(name).ok_or_else(|| {
        let fault = Fault::usage(format!("model.layers: there is no mixer `{name}`"));
        match nearest(name, MixerKind::all_names()) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault.hint(format!("mixers: {}", MixerKind::all_names().collect::<Vec<_>>().join(", "))),
        }
    })?;
    Ok((kind, segment, count))
}

fn bad(entry: &str, what: &str) -> Fault {
    Fault::usage(format!("model.layers: `{entry}` {what}"))
        .hint("write for example \"llp*5, transformer\" or \"llp(segment=64)*2, llp(segment=256)\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(layers: &str, depth: usize) -> Vec<(String, usize)> {
        let config = ModelConfig { layers: layers.into(), depth, ..ModelConfig::default() };
        let specs = resolve(&config).expect("a valid schedule");
        specs.iter().map(|layer| (layer.kind.name().to_string(), layer.segment)).collect()
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
            [64, 256, 256]
        );
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
    }
}
