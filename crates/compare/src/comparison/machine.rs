//! Where runs train, and in which number format.

use std::path::Path;

use percept_fault::Result;
use percept_train::{DeviceChoice, Environment, PrecisionChoice, RunConfig};
use serde::Deserialize;

use super::result::EnvironmentInfo;
use super::task::read_json;

/// What of an earlier report is read again.
#[derive(Deserialize)]
struct Earlier {
    environment: EarlierEnvironment,
}

#[derive(Deserialize)]
struct EarlierEnvironment {
    precision: PrecisionChoice,
}

/// Opens the device of a configuration, and puts the precision that is chosen for it in place of `auto`: the one that the work which goes on was
/// begun in, by its `report`, else whichever is faster here. Gives where that is, and what to tell of it.
///
/// # Errors
/// Environment: no such device. Usage: it lacks the precision.
pub(crate) fn settle(config: &mut RunConfig, report: &Path) -> Result<(Environment, Option<String>)> {
    let (device, name) = config.train.device.parse::<DeviceChoice>()?.open()?;
    if config.train.precision == PrecisionChoice::Auto
        && let Some(Earlier { environment }) = read_json(report)?
    {
        config.train.precision = environment.precision;
    }
    let taken = config.take_precision(&device)?;
    Ok((Environment::current(&name, config.train.precision), taken.note()))
}

/// What a report says of it.
pub(crate) fn described(here: &Environment) -> EnvironmentInfo {
    let here = here.clone();
    EnvironmentInfo {
        version: here.version,
        commit: here.commit,
        system: here.system,
        cpu: here.cpu,
        threads: here.threads,
        device: here.device,
        precision: here.precision.to_string(),
    }
}
