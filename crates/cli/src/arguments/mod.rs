//! Arguments that several commands share.

pub(crate) mod config;
pub(crate) mod decoder;
mod global;
pub(crate) mod keys_values;
pub(crate) mod lineup;
pub(crate) mod run;
pub(crate) mod task;
mod weights;

pub(crate) use global::Global;
pub(crate) use keys_values::KeysValuesArgs;
pub(crate) use weights::Weights;
