//! Where runs train, and in which number format.

use std::path::Path;

use percept_fault::{Fault, Result};
use percept_train::{DeviceChoice, Environment, PrecisionChoice, RunConfig};
use serde::Deserialize;

use super::lineup::Purpose;
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
/// Environment: no such device. Usage: it lacks the precision, or machines that share the work would each choose their own.
pub(crate) fn settle(config: &mut RunConfig, report: &Path, purpose: Purpose) -> Result<(Environment, Option<String>)> {
    let (device, name) = config.train.device.parse::<DeviceChoice>()?.open()?;
    if config.train.precision == PrecisionChoice::Auto
        && let Some(Earlier { environment }) = read_json(report)?
    {
        config.train.precision = environment.precision;
    }
    if purpose == Purpose::Shared && config.train.precision == PrecisionChoice::Auto {
        return Err(Fault::usage("train.precision is auto: machines that share a comparison may not choose alike")
            .hint("--precision f32, or --precision bf16 where all of them have it"));
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
