//! `--weights`: how exactly the weights of a model are kept.

use clap::ValueEnum;
use percept::model::WeightPrecision;

/// Precisions of weights, as the user writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Weights {
    /// As they were trained
    F32,
    /// 16 bits each
    Bf16,
    /// 8 bits each and a scale per output channel
    Int8,
}

impl Weights {
    /// As the user writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}

impl From<Weights> for WeightPrecision {
    fn from(weights: Weights) -> Self {
        match weights {
            Weights::F32 => Self::F32,
            Weights::Bf16 => Self::Bf16,
            Weights::Int8 => Self::Int8,
        }
    }
}
