//! What the machine offers: devices, number formats and their speeds, memory.

pub(crate) mod device;
mod kept_speeds;
pub(crate) mod memory;
pub(crate) mod precision;
pub(crate) mod processor;
pub(crate) mod speeds;
