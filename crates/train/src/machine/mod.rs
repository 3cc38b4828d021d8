//! What the machine offers: devices, number formats, memory.

pub(crate) mod device;
pub(crate) mod memory;
pub(crate) mod precision;
