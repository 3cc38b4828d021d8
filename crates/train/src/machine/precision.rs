//! Names of precisions: `f32`, `bf16`, `auto`.

use std::fmt;

use burn::tensor::{Device, FloatDType};
use percept_fault::{Fault, Result};
use percept_model::ops::Precision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::speeds::ProductSpeeds;

/// The number format of the large products of training. Weights, gradients and moments are f32 in any case.
///
/// ```
/// use percept_train::{Bf16Support, Precision, PrecisionChoice};
/// // On an older processor `auto` takes f32, and nothing is measured; who demands bf16 is told.
/// let old = Bf16Support::NoInstructions;
/// assert_eq!(PrecisionChoice::Auto.on(old, || unreachable!())?.precision, Precision::F32);
/// let fault = PrecisionChoice::Bf16.on(old, || unreachable!()).unwrap_err();
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
    /// Whichever of the two is faster, as measured once on the machine.
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

/// The precision that training takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// The precision itself.
    pub precision: Precision,
    /// The speeds that it was chosen by, or that a demanded one is held against, where they were measured.
    pub speeds: Option<ProductSpeeds>,
}

impl Taken {
    /// What a user should know who demanded a format in which this machine is slower.
    pub fn note(&self) -> Option<String> {
        self.speeds.as_ref()?.note_on(self.precision)
    }
}

impl PrecisionChoice {
    /// The precision that training takes: the one place that decides.
    ///
    /// `speeds`: asked where there is a choice; `None` where nobody can measure them, and then `auto` takes bf16.
    ///
    /// # Errors
    /// An environment fault where bf16 is demanded and not supported: training never goes on in another precision silently.
    pub fn on(self, support: Bf16Support, speeds: impl FnOnce() -> Option<ProductSpeeds>) -> Result<Taken> {
        let missing = match (self, support) {
            (Self::F32, _) => return Ok(Taken { precision: Precision::F32, speeds: None }),
            (Self::Bf16, Bf16Support::Present) => return Ok(Taken { precision: Precision::Bf16, speeds: speeds() }),
            (Self::Auto, Bf16Support::Present) => {
                let speeds = speeds();
                let precision = speeds.as_ref().map_or(Precision::Bf16, ProductSpeeds::fastest);
                return Ok(Taken { precision, speeds });
            }
            (Self::Auto, _) => return Ok(Taken { precision: Precision::F32, speeds: None }),
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
    use super::super::speeds::tests::speeds;
    use super::*;

    /// The precision on a processor with both formats and these speeds in f32 and bf16, and what is said about it.
    fn taken(choice: PrecisionChoice, f32: f64, bf16: f64) -> (Precision, Option<String>) {
        let taken = choice.on(Bf16Support::Present, || Some(speeds(f32, bf16))).unwrap();
        (taken.precision, taken.note())
    }

    #[test]
    fn auto_takes_what_is_faster_and_says_nothing() {
        assert_eq!(taken(PrecisionChoice::Auto, 200.0, 400.0), (Precision::Bf16, None));
        assert_eq!(taken(PrecisionChoice::Auto, 400.0, 200.0), (Precision::F32, None));
        // A device that is not measured.
        let taken = PrecisionChoice::Auto.on(Bf16Support::Present, || None).unwrap();
        assert_eq!((taken.precision, taken.note()), (Precision::Bf16, None));
    }

    #[test]
    fn what_is_demanded_is_taken_and_a_slow_choice_is_told() {
        assert_eq!(taken(PrecisionChoice::Bf16, 200.0, 400.0), (Precision::Bf16, None));
        let (precision, note) = taken(PrecisionChoice::Bf16, 400.0, 200.0);
        assert_eq!(precision, Precision::Bf16);
        assert!(note.unwrap().starts_with("bf16 is slower than f32 on this processor"));
        // f32 is the default, and its results are those of any machine: nothing is measured.
        let exact = PrecisionChoice::F32.on(Bf16Support::Present, || panic!("measured")).unwrap();
        assert_eq!((exact.precision, exact.note()), (Precision::F32, None));
    }

    #[test]
    fn bf16_is_refused_where_it_is_missing_and_auto_takes_f32_there_unmeasured() {
        for support in [Bf16Support::NoInstructions, Bf16Support::NotOnThisDevice] {
            let fault = PrecisionChoice::Bf16.on(support, || panic!("measured")).unwrap_err();
            assert_eq!(fault.exit_code(), 3);
            assert!(fault.to_string().contains("bf16"), "{fault}");
            assert!(fault.hint_text().unwrap().contains("--precision f32"), "{fault}");
            let taken = PrecisionChoice::Auto.on(support, || panic!("measured")).unwrap();
            assert_eq!((taken.precision, taken.speeds), (Precision::F32, None));
        }
        let fault = PrecisionChoice::Bf16.on(Bf16Support::NoInstructions, || None).unwrap_err();
        assert!(fault.to_string().contains("AVX512-BF16"));
    }

    #[test]
    fn names_are_those_of_the_configuration() {
        for choice in [PrecisionChoice::F32, PrecisionChoice::Bf16, PrecisionChoice::Auto] {
            assert_eq!(serde_json::to_value(choice).unwrap(), choice.to_string());
        }
    }
}
