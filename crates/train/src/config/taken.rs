//! The precision of a run in place of `auto`.

use burn::tensor::Device;
use percept_data::DataConfig;
use percept_fault::Result;
use percept_model::ops::Precision;

use super::{RunConfig, TrainConfig};
use crate::machine::precision::{Bf16Support, PrecisionChoice, Taken};
use crate::machine::speeds::ProductSpeeds;

impl RunConfig {
    /// Puts the precision that training takes on `device` in the place of `auto`, so that a run says what was used and keeps it.
    ///
    /// Where `auto` or bf16 is asked for, the CPU's products are measured at the model's width, once per machine: which format is faster
    /// depends on both.
    ///
    /// # Errors
    /// An environment fault where bf16 is demanded and not supported.
    ///
    /// ```
    /// use percept_train::{Device, PrecisionChoice, resolve_preset};
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut config = resolve_preset("llp-tiny")?;
    /// # config.data.cache = Some(folder.path().to_owned());
    /// config.train.precision = PrecisionChoice::Auto;
    /// let taken = config.take_precision(&Device::flex())?;
    /// assert_eq!(config.train.precision, taken.precision.into());
    /// # Ok::<(), percept_fault::Fault>(())
    /// ```
    pub fn take_precision(&mut self, device: &Device) -> Result<Taken> {
        let Self { train, data, model, .. } = self;
        let taken = train.precision.on(Bf16Support::of(device), || ProductSpeeds::of(device, data, model.dim))?;
        train.precision = taken.precision.into();
        Ok(taken)
    }
}

impl TrainConfig {
    /// The precision that training takes on `device`, whatever the model, whose widths nobody knows.
    ///
    /// # Errors
    /// As [`RunConfig::take_precision`].
    pub(crate) fn precision_on(&self, device: &Device) -> Result<Precision> {
        /// Between those of the models that a CPU trains.
        const WIDTH: usize = 512;
        let is_open = self.precision == PrecisionChoice::Auto;
        let speeds = || is_open.then(|| ProductSpeeds::of(device, &DataConfig::default(), WIDTH)).flatten();
        Ok(self.precision.on(Bf16Support::of(device), speeds)?.precision)
    }
}
