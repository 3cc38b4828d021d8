//! Names of precisions: `f32`, `bf16`, `auto`.

use std::fmt;

use burn::tensor::{Device, FloatDType};
use percept_fault::{Fault, Result};
use percept_model::ops::Precision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The number format of the large products of training. Weights, gradients and moments are f32 in any case.
///
/// ```
/// use percept_model::ops::Precision;
/// use percept_train::{Bf16Support, PrecisionChoice};
/// // On an older processor `auto` takes f32; who demands bf16 is told.
/// let old = Bf16Support::NoInstructions;
/// assert_eq!(PrecisionChoice::Auto.on(old)?, Precision::F32);
/// let fault = PrecisionChoice::Bf16.on(old).unwrap_err();
/// assert!(fault.is_environment() && fault.to_string().contains("AVX512-BF16"));
/// # Ok::<(), percept_fault::Fault>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionChoice {
    /// 24 significant bits.
    #[default]
    F32,
    /// bfloat16: the operands of products are rounded to 8 significant bits, the sums are f32. On a CPU with AVX512-BF16.
    Bf16,
    /// bf16 where there is such a CPU, else f32.
    Auto,
}

/// Whether a device trains in bf16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bf16Support {
    /// It does.
    Present,
    /// It is a CPU without the instructions.
    NoInstructions,
    /// It is another device, and has no bf16 numbers.
    NotOnThisDevice,
}

impl Bf16Support {
    /// What `device` offers.
    pub fn of(device: &Device) -> Self {
        let missing = if device == &Device::flex() { Self::NoInstructions } else { Self::NotOnThisDevice };
        let present = match missing {
            Self::NoInstructions => Precision::Bf16.is_supported(),
            _ => device.supports_dtype(FloatDType::BF16),
        };
        if present { Self::Present } else { missing }
    }
}

impl PrecisionChoice {
    /// The precision that training takes.
    ///
    /// # Errors
    /// An environment fault where bf16 is demanded and not supported: training never goes on in another precision silently.
    pub fn on(self, support: Bf16Support) -> Result<Precision> {
        let missing = match (self, support) {
            (Self::F32, _) => return Ok(Precision::F32),
            (_, Bf16Support::Present) => return Ok(Precision::Bf16),
            (Self::Auto, _) => return Ok(Precision::F32),
            (Self::Bf16, Bf16Support::NoInstructions) => "this processor has no AVX512-BF16",
            (Self::Bf16, Bf16Support::NotOnThisDevice) => "this device has no bf16",
        };
        Err(Fault::environment(format!("train.precision = \"bf16\": {missing}"))
            .hint("use --precision f32, or auto, which takes bf16 where it can"))
    }
}

impl From<Precision> for PrecisionChoice {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

impl fmt::Display for PrecisionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Auto => "auto",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_is_refused_where_it_is_missing_and_auto_takes_f32_there() {
        for support in [Bf16Support::NoInstructions, Bf16Support::NotOnThisDevice] {
            let fault = PrecisionChoice::Bf16.on(support).unwrap_err();
            assert_eq!(fault.exit_code(), 3);
            assert!(fault.to_string().contains("bf16"), "{fault}");
            assert!(fault.hint_text().unwrap().contains("--precision f32"), "{fault}");
            assert_eq!(PrecisionChoice::Auto.on(support).unwrap(), Precision::F32);
        }
        assert!(PrecisionChoice::Bf16.on(Bf16Support::NoInstructions).unwrap_err().to_string().contains("AVX512-BF16"));
        assert_eq!(PrecisionChoice::Auto.on(Bf16Support::Present).unwrap(), Precision::Bf16);
        assert_eq!(PrecisionChoice::Bf16.on(Bf16Support::Present).unwrap(), Precision::Bf16);
        assert_eq!(PrecisionChoice::F32.on(Bf16Support::Present).unwrap(), Precision::F32);
    }

    #[test]
    fn names_are_those_of_the_configuration() {
        for choice in [PrecisionChoice::F32, PrecisionChoice::Bf16, PrecisionChoice::Auto] {
            assert_eq!(serde_json::to_value(choice).unwrap(), choice.to_string());
        }
    }
}
