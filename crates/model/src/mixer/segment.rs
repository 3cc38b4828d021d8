//! A length in tokens by which several mixers cut positions.

use percept_fault::{Fault, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::ModelConfig;
use crate::layer::{FlatKey, Options, Scale};

impl FlatKey {
    /// One key of `[model]` for all of these mixers; a schedule could once give it to every mixer.
    pub(super) const SEGMENT: FlatKey = FlatKey { name: "segment", after: "context", anywhere: true, later: false };
}

/// The key of mixers that have no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Segment {
    /// Group length G in tokens; where values are rotated (`key_value = "shared"`), also the tokens between two windows of
    /// a stream past the context.
    pub segment: usize,
}

impl Default for Segment {
    fn default() -> Self {
        Self { segment: 128 }
    }
}

impl Options for Segment {
    const FLAT: &'static [FlatKey] = &[FlatKey::SEGMENT];

    fn segment(&self) -> Option<usize> {
        Some(self.segment)
    }

    fn reduced(&self, scale: &Scale) -> Self {
        Self { segment: scale.segment(self.segment) }
    }

    fn at_context(&self, context: usize) -> Self {
        Self { segment: self.segment.min(context) }
    }
}

/// Refuses segments that a window does not hold; `advice`: which length to take.
pub(super) fn check_segment(config: &ModelConfig, segment: usize, advice: &str) -> Result<()> {
    if segment == 0 {
        return Err(Fault::usage("model.segment is 0").hint(advice));
    }
    if config.context < segment {
        return Err(Fault::usage(format!(
            "model.context = {} is shorter than a segment (model.segment = {segment})",
            config.context
        ))
        .hint(format!("set model.context to at least {segment}, or model.segment lower")));
    }
    Ok(())
}
