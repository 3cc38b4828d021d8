//! The presets: configuration files that ship with the program.
//!
//! A preset is data. To add one, put a TOML file into `presets/` and a line into [`PRESETS`].

use percept_fault::{Fault, Result, nearest};

/// A named configuration.
///
/// ```
/// use percept_train::{preset, presets, resolve_preset};
/// // The names that a mixer's smallest presets have, and what they say about themselves.
/// let tiny = presets().iter().filter(|preset| preset.name.ends_with("-tiny"));
/// assert!(tiny.clone().all(|preset| !preset.description().is_empty()) && tiny.count() > 5);
/// assert_eq!(resolve_preset("transformer-tiny")?.model.layers, "transformer");
/// assert_eq!(preset("transfomer-tiny").unwrap_err().hint_text(), Some("did you mean `transformer-tiny`?"));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Its name, e.g. `llp-small`.
    pub name: &'static str,
    /// Its TOML text.
    pub text: &'static str,
}

impl Preset {
    /// What the first line of the file says about it.
    pub fn description(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches('#').trim()
    }
}

macro_rules! presets {
    ($($name:literal),* $(,)?) => {
        &[$(Preset { name: $name, text: include_str!(concat!("../../presets/", $name, ".toml")) }),*]
    };
}

/// The preset that is used where none is named.
pub const DEFAULT_PRESET: &str = "llp-small";

/// The preset that is used where none is named and the task is `masked`.
pub const DEFAULT_ENCODER: &str = "groupbert-small";

/// Stands for no preset: every key has the default that the reference documents.
pub const NO_PRESET: &str = "none";

const PRESETS: &[Preset] = presets![
    "llp-tiny",
    "llp-small",
    "llp-base",
    "llp-paper",
    "transformer-tiny",
    "transformer-small",
    "transformer-base",
    "transformer-paper",
    "perceiver-ar-tiny",
    "perceiver-ar-small",
    "perceiver-ar-base",
    "perceiver-ar-paper",
    "perceiver-v1-tiny",
    "perceiver-v1-small",
    "perceiver-v1-base",
    "perceiver-v1-paper",
    "perceiver-v2-tiny",
    "perceiver-v2-small",
    "perceiver-v2-base",
    "perceiver-v2-paper",
    "perceiver-v3-tiny",
    "perceiver-v3-small",
    "perceiver-v3-base",
    "perceiver-v3-paper",
    "longlora-tiny",
    "longlora-small",
    "longlora-base",
    "conv-tiny",
    "tost-tiny",
    "tost-small",
    "tost-base",
    "group-conv-tiny",
    "group-conv-small",
    "group-conv-base",
    "rwkv4-tiny",
    "rwkv4-small",
    "rwkv4-base",
    "combiner-fixed-tiny",
    "combiner-fixed-small",
    "combiner-fixed-base",
    "combiner-logsparse-tiny",
    "combiner-logsparse-small",
    "combiner-logsparse-base",
    "combiner-axial-vertical-tiny",
    "combiner-axial-vertical-small",
    "combiner-axial-vertical-base",
    "combiner-axial-horizontal-tiny",
    "combiner-axial-horizontal-small",
    "combiner-axial-horizontal-base",
    "combiner-axial-mixture-tiny",
    "combiner-axial-mixture-small",
    "combiner-axial-mixture-base",
    "combiner-axial-rowmajor-tiny",
    "combiner-axial-rowmajor-small",
    "combiner-axial-rowmajor-base",
    "rwkv7-tiny",
    "rwkv7-small",
    "rwkv7-base",
    "recurrent-tiny",
    "recurrent-small",
    "recurrent-base",
    "hybrid-tiny",
    "hybrid-small",
    "hybrid-base",
    "groupbert-tiny",
    "groupbert-small",
    "groupbert-base",
    "bert-tiny",
    "bert-small",
    "bert-base",
];

/// All presets, in the order in which they should be listed.
pub fn presets() -> &'static [Preset] {
    PRESETS
}

/// The preset of this name.
///
/// # Errors
/// A usage fault with the nearest name where there is none.
pub fn preset(name: &str) -> Result<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| {
        let hint = match nearest(name, PRESETS.iter().map(|preset| preset.name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`percept presets` lists them".to_owned(),
        };
        Fault::usage(format!("unknown preset `{name}`")).hint(hint)
    })
}
