//! How fast this machine takes the products of training in each format: what `auto` goes by.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Device;
use percept_data::DataConfig;
use percept_kernels::bench::{ProductRate, product_rates};
use percept_model::ops::Precision;
use serde::{Deserialize, Serialize};

use super::kept_speeds::{Key, keep, kept};

/// Formats within this share of the fastest are as fast: the rest of a training step is the same in all of them.
const NEAR: f64 = 0.97;

/// The speed of one machine's products of one width, in every format that it has.
///
/// ```
/// use percept_train::{FormatSpeed, Precision, ProductSpeeds};
/// let format = |precision, gflop_per_s| FormatSpeed { precision, instructions: "some".into(), gflop_per_s };
/// let speeds = |bf16| ProductSpeeds {
///     width: 256,
///     threads: 2,
///     formats: vec![format(Precision::F32, 600.0), format(Precision::Bf16, bf16)],
/// };
/// assert_eq!(speeds(300.0).fastest(), Precision::F32);
/// assert_eq!(speeds(900.0).fastest(), Precision::Bf16);
/// // Where nothing is gained, nothing is rounded.
/// assert_eq!(speeds(610.0).fastest(), Precision::F32);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProductSpeeds {
    /// Channels in and out.
    pub width: usize,
    /// Threads that took them together.
    pub threads: usize,
    /// Every format that the processor has, the more exact ones first.
    pub formats: Vec<FormatSpeed>,
}

/// The speed of products in one format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FormatSpeed {
    /// The format.
    #[serde(with = "Name")]
    pub precision: Precision,
    /// The instructions that multiply in it, e.g. `avx512bf16`.
    pub instructions: String,
    /// Billions of operations per second, a multiply-add counted as two.
    pub gflop_per_s: f64,
}

/// How a format is written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Precision", rename_all = "lowercase")]
enum Name {
    F32,
    Bf16,
}

impl ProductSpeeds {
    /// Those of `device` at a width, as this process knows them, else as they are kept in the cache, else measured and kept there. `None` for other
    /// devices than the CPU, which are not measured.
    pub fn of(device: &Device, data: &DataConfig, width: usize) -> Option<Self> {
        if device != &Device::flex() {
            return None;
        }
        let asked = (width, rayon::current_num_threads());
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(speeds) = known().get(&asked) {
            return Some(speeds.clone());
        }
        let speeds = kept(data, &Key::here(width)).unwrap_or_else(|| Self::measured(data, width));
        // Who comes first counts, so that all parts of a program decide alike.
        Some(known().entry(asked).or_insert(speeds).clone())
    }

    /// Measures the CPU's speeds at a width, in a third of a second at most, and keeps them in the cache, where it can be written.
    pub fn measured(data: &DataConfig, width: usize) -> Self {
        let formats = product_rates(width).into_iter().map(FormatSpeed::from).collect();
        let speeds = Self { width, threads: rayon::current_num_threads(), formats };
        keep(data, &Key::here(width), &speeds);
        speeds
    }

    /// The format in which they are fastest; the more exact of two that are about as fast.
    pub fn fastest(&self) -> Precision {
        let first = self.formats.iter().find(|format| !self.is_slow(format));
        first.map_or(Precision::F32, |format| format.precision)
    }

    /// What a user should know who chose this format though another one is faster.
    pub(crate) fn note_on(&self, precision: Precision) -> Option<String> {
        let of = |precision| self.formats.iter().find(|format| format.precision == precision);
        let (chosen, fastest) = (of(precision)?, of(self.fastest())?);
        self.is_slow(chosen).then(|| {
            let (name, other) = (chosen.name(), fastest.name());
            let (slow, fast, width) = (chosen.gflop_per_s, fastest.gflop_per_s, self.width);
            format!(
                "{name} is slower than {other} on this processor ({slow:.0} against {fast:.0} GFLOP/s at width {width}); \
                 --precision auto takes the faster one"
            )
        })
    }

    fn is_slow(&self, format: &FormatSpeed) -> bool {
        let most = self.formats.iter().map(|format| format.gflop_per_s).fold(0.0, f64::max);
        format.gflop_per_s < NEAR * most
    }
}

/// What this process knows, by width and threads.
static KNOWN: Mutex<BTreeMap<(usize, usize), ProductSpeeds>> = Mutex::new(BTreeMap::new());

impl FormatSpeed {
    /// The format's name, as it stands in configurations.
    pub fn name(&self) -> String {
        super::precision::PrecisionChoice::from(self.precision).to_string()
    }
}

impl From<ProductRate> for FormatSpeed {
    fn from(rate: ProductRate) -> Self {
        let ProductRate { precision, instructions, flops_per_second } = rate;
        Self { precision, instructions: instructions.to_owned(), gflop_per_s: flops_per_second / 1e9 }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A machine with these figures.
    pub(crate) fn speeds(f32: f64, bf16: f64) -> ProductSpeeds {
        let format = |precision, instructions: &str, gflop_per_s| FormatSpeed {
            precision,
            instructions: instructions.to_owned(),
            gflop_per_s,
        };
        let formats = vec![format(Precision::F32, "avx512f", f32), format(Precision::Bf16, "avx512bf16", bf16)];
        ProductSpeeds { width: 256, threads: 2, formats }
    }

    #[test]
    fn the_fastest_format_is_taken_and_the_exact_one_where_nothing_is_gained() {
        assert_eq!(speeds(200.0, 400.0).fastest(), Precision::Bf16);
        assert_eq!(speeds(400.0, 200.0).fastest(), Precision::F32);
        assert_eq!(speeds(400.0, 410.0).fastest(), Precision::F32);
        assert_eq!(speeds(400.0, 415.0).fastest(), Precision::Bf16);
        let nothing = ProductSpeeds { formats: Vec::new(), ..speeds(1.0, 1.0) };
        assert_eq!(nothing.fastest(), Precision::F32);
    }

    #[test]
    fn who_takes_a_slower_format_is_told_and_nobody_else() {
        assert_eq!(
            speeds(624.4, 310.2).note_on(Precision::Bf16).unwrap(),
            "bf16 is slower than f32 on this processor (310 against 624 GFLOP/s at width 256); --precision auto takes the faster one"
        );
        // As fast within what is measured.
        assert_eq!(speeds(400.0, 395.0).note_on(Precision::Bf16), None);
        assert_eq!(speeds(200.0, 400.0).note_on(Precision::Bf16), None);
    }

    #[test]
    fn formats_are_written_by_the_names_of_the_configuration() {
        let written = serde_json::to_value(speeds(1.0, 2.0)).unwrap();
        assert_eq!(
            (&written["formats"][0]["precision"], &written["formats"][1]["precision"]),
            (&"f32".into(), &"bf16".into())
        );
        assert_eq!(serde_json::from_value::<ProductSpeeds>(written).unwrap(), speeds(1.0, 2.0));
    }
}
