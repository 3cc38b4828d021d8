//! Names of devices: `auto`, `cpu`, `cuda:0`, `vulkan`, `metal`.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use percept_fault::{Fault, Result, nearest};

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// The processor (Burn's Flex backend and our kernels); always compiled in.
    Cpu,
    /// NVIDIA through CUDA.
    Cuda,
    /// Any GPU through Vulkan.
    Vulkan,
    /// Apple's GPUs.
    Metal,
}

impl DeviceKind {
    /// Every kind, GPUs in the order in which `auto` tries them.
    pub const ALL: [DeviceKind; 4] = [DeviceKind::Cuda, DeviceKind::Metal, DeviceKind::Vulkan, DeviceKind::Cpu];

    /// Its name on the command line, which is also the Cargo feature that compiles it in.
    pub fn name(self) -> &'static str {
        match self {
            DeviceKind::Cpu => "cpu",
            DeviceKind::Cuda => "cuda",
            DeviceKind::Vulkan => "vulkan",
            DeviceKind::Metal => "metal",
        }
    }

    /// Whether this build can drive it.
    pub fn is_compiled_in(self) -> bool {
        match self {
            DeviceKind::Cpu => true,
            DeviceKind::Cuda => cfg!(feature = "cuda"),
            DeviceKind::Vulkan => cfg!(feature = "vulkan"),
            DeviceKind::Metal => cfg!(feature = "metal"),
        }
    }

    /// The devices of this kind that are present on this machine; none where it is not compiled in.
    pub fn devices(self) -> Vec<Device> {
        match self {
            DeviceKind::Cpu => vec![Device::flex()],
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda => Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec(),
            #[cfg(feature = "vulkan")]
            DeviceKind::Vulkan => Device::enumerate(burn::tensor::DeviceType::Vulkan).into_vec(),
            #[cfg(feature = "metal")]
            DeviceKind::Metal => Device::enumerate(burn::tensor::DeviceType::Metal).into_vec(),
            #[allow(unreachable_patterns, reason = "which kinds remain depends on the features")]
            _ => Vec::new(),
        }
    }
}

/// Which device to use, as the user wrote it.
///
/// ```
/// use percept_train::DeviceChoice;
/// # fn main() -> percept_fault::Result<()> {
/// let (_device, name) = "cpu".parse::<DeviceChoice>()?.open()?;
/// assert_eq!(name, "cpu");
/// assert!("tpu".parse::<DeviceChoice>().is_err());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU where one is compiled in and present, else the CPU.
    Auto,
    /// The device of this kind with this index.
    Exactly(DeviceKind, usize),
}

impl FromStr for DeviceChoice {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let (name, index) = text.split_once(':').unwrap_or((text, "0"));
        let kind = DeviceKind::ALL.into_iter().find(|kind| kind.name() == name);
        match (kind, index.parse()) {
            (Some(kind), Ok(index)) => Ok(Self::Exactly(kind, index)),
            (Some(_), Err(_)) => Err(Fault::usage(format!("device `{text}`: `{index}` is not an index"))
                .hint(format!("for example `{name}:0`"))),
            (None, _) => {
                let names = DeviceKind::ALL.map(DeviceKind::name);
                let hint = match nearest(name, names.into_iter().chain(["auto"])) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "use auto, cpu, cuda:0, vulkan or metal".to_owned(),
                };
                Err(Fault::usage(format!("unknown device `{text}`")).hint(hint))
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Exactly(DeviceKind::Cpu, 0) => f.write_str("cpu"),
            Self::Exactly(kind, index) => write!(f, "{}:{index}", kind.name()),
        }
    }
}

impl DeviceChoice {
    /// The device and its resolved name, e.g. `cuda:0`.
    ///
    /// # Errors
    /// An environment fault where the device is not compiled in or not present.
    pub fn open(self) -> Result<(Device, String)> {
        let (kind, index) = match self {
            Self::Exactly(kind, index) => (kind, index),
            Self::Auto => automatic(),
        };
        if !kind.is_compiled_in() {
            return Err(Fault::environment(format!("this build has no {} support", kind.name()))
                .hint(format!("build with `cargo build --release --features {}`, or use --device cpu", kind.name())));
        }
        let devices = kind.devices();
        let count = devices.len();
        let chosen = Self::Exactly(kind, index);
        match devices.into_iter().nth(index) {
            // Without VK_KHR_workgroup_memory_explicit_layout cubecl-spirv 0.11.3 writes invalid shaders, which crash the driver.
            // Drivers of cards commonly have that extension, Mesa's rasterizer has not.
            Some(device) if kind == DeviceKind::Vulkan && !is_card(&device) => {
                Err(Fault::environment(format!("{chosen} is a software rasterizer, which cannot run these shaders"))
                    .hint("use --device cpu, which is also faster"))
            }
            Some(device) => Ok((device, chosen.to_string())),
            None => Err(Fault::environment(format!("no device {chosen}: {count} of that kind present"))
                .hint("`percept doctor` lists the devices; --device cpu always works")),
        }
    }
}

/// The first GPU, else the CPU.
fn automatic() -> (DeviceKind, usize) {
    let gpus = DeviceKind::ALL.into_iter().filter(|kind| *kind != DeviceKind::Cpu);
    gpus.filter_map(|kind| Some((kind, kind.devices().iter().position(is_card)?)))
        .next()
        .unwrap_or((DeviceKind::Cpu, 0))
}

/// Whether a device is a card: Vulkan also lists software rasterizers, which are slower than our CPU kernels.
#[cfg(any(feature = "cuda", feature = "vulkan", feature = "metal"))]
fn is_card(device: &Device) -> bool {
    device.identity().is_some_and(|identity| identity.physical.is_some())
}

#[cfg(not(any(feature = "cuda", feature = "vulkan", feature = "metal")))]
fn is_card(_: &Device) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_printed() {
        for (text, printed) in [("auto", "auto"), ("cpu", "cpu"), ("cuda:1", "cuda:1"), ("vulkan", "vulkan:0")] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn unknown_names_get_a_suggestion() {
        let fault = "vulcan".parse::<DeviceChoice>().unwrap_err();
        assert_eq!((fault.exit_code(), fault.hint_text()), (2, Some("did you mean `vulkan`?")));
        assert!("cuda:x".parse::<DeviceChoice>().unwrap_err().is_usage());
    }

    #[test]
    fn the_cpu_is_always_there_and_has_one_index() {
        let (device, name) = "cpu".parse::<DeviceChoice>().unwrap().open().unwrap();
        assert_eq!((device, name.as_str()), (Device::flex(), "cpu"));
        assert!("cpu:1".parse::<DeviceChoice>().unwrap().open().unwrap_err().is_environment());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn what_is_not_compiled_in_is_refused_with_the_feature_to_build() {
        let fault = "cuda:0".parse::<DeviceChoice>().unwrap().open().unwrap_err();
        assert_eq!(fault.exit_code(), 3);
        assert!(fault.hint_text().unwrap().contains("--features cuda"), "{fault}");
    }
}
