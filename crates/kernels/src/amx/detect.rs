//! Whether AMX is there, and this process may use it.

use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::sync::OnceLock;

/// Whether the processor has tiles of the expected size and products in bfloat16, and the system lets this process use them. The
/// first call asks the system; from then on every thread may.
pub(crate) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| !cfg!(miri) && is_in_processor() && is_permitted())
}

/// `bits` of a register of CPUID, from `low` on.
fn bits(register: u32, low: u32, bits: u32) -> u32 {
    (register >> low) & ((1 << bits) - 1)
}

/// Intel SDM, volume 2, CPUID: leaves 7 (features), 0x1d (palettes of tiles), 0x1e (sizes of products).
fn is_in_processor() -> bool {
    const BF16: u32 = 22;
    const TILE: u32 = 24;
    if __cpuid(0).eax < 0x1e || !is_saved() {
        return false;
    }
    let features = __cpuid_count(7, 0).edx;
    if bits(features, BF16, 1) == 0 || bits(features, TILE, 1) == 0 {
        return false;
    }
    let (palette, product) = (__cpuid_count(0x1d, 1), __cpuid_count(0x1e, 0));
    let tile =
        (bits(palette.eax, 16, 16), bits(palette.ebx, 0, 16), bits(palette.ebx, 16, 16), bits(palette.ecx, 0, 16));
    let (depth, columns) = (bits(product.ebx, 0, 8), bits(product.ebx, 8, 16));
    // Bytes of a tile and of a row, tiles, rows; rows of the second factor, bytes of its rows.
    tile == (1024, 64, 8, 16) && depth >= 16 && columns >= 64
}

/// Whether the system saves the tiles when it switches threads (bits 17 and 18 of XCR0).
fn is_saved() -> bool {
    const TILES: u64 = 0b11 << 17;
    const OSXSAVE: u32 = 27;
    #[target_feature(enable = "xsave")]
    fn saved() -> u64 {
        // SAFETY: the caller has looked that the system has enabled the instruction.
        unsafe { _xgetbv(0) }
    }
    // SAFETY: OSXSAVE says that the processor has XSAVE and the system uses it.
    bits(__cpuid(1).ecx, OSXSAVE, 1) == 1 && unsafe { saved() } & TILES == TILES
}

/// Asks Linux for room for the tiles, which it keeps only for processes that ask (Documentation/arch/x86/xstate.rst).
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the call takes numbers and changes nothing but the permission.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

/// Other systems have not been tried.
#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}
