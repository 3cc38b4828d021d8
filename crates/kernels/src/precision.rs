//! The format of the operands of large products.

/// The format to which the operands of large matrix products are rounded. Sums, and everything else, are f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// 24 significant bits: as they are.
    #[default]
    F32,
    /// bfloat16: 8 significant bits, the range of f32. Needs AVX512-BF16.
    Bf16,
}

impl Precision {
    /// All formats, the more exact ones first.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// Whether this processor multiplies in this format.
    pub fn is_supported(self) -> bool {
        match self {
            Self::F32 => true,
            #[cfg(target_arch = "x86_64")]
            Self::Bf16 => is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Bf16 => false,
        }
    }
}
