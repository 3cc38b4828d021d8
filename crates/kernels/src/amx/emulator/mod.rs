//! AMX for tests on processors without it: an instruction of it ends in SIGILL there, whose handler executes it on tiles in
//! software and goes on behind it. What the processor would refuse ends the process.

mod tile_file;

use std::cell::RefCell;
use std::io::Write;
use std::sync::OnceLock;

use tile_file::Refused;
pub(crate) use tile_file::TileFile;

use super::is_available;
use crate::Precision;

thread_local! {
    static TILES: RefCell<TileFile> = const { RefCell::new(TileFile::RELEASED) };
}

static INSTALLED: OnceLock<()> = OnceLock::new();

/// Whether the handler stands in for the processor.
pub(crate) fn is_installed() -> bool {
    INSTALLED.get().is_some()
}

/// Makes AMX products possible in this test process, on the processor or in software, and says which. Where the packing of their
/// operands is not possible, says that and returns false.
pub(crate) fn is_ready() -> bool {
    let place = match (is_available(), Precision::Bf16.is_supported()) {
        (_, false) => "skipped: this processor has no AVX512-BF16, which packs the operands",
        (true, true) => "on the hardware",
        (false, true) => {
            INSTALLED.get_or_init(install);
            "on the emulator"
        }
    };
    eprintln!("AMX {place}: {}", std::thread::current().name().unwrap_or_default());
    place.starts_with("on")
}

fn install() {
    // SAFETY: `handle` has the signature that SA_SIGINFO asks for, and the rest of the action is zero, which is valid.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGILL, &action, std::ptr::null_mut()), 0);
    }
}

/// An illegal instruction is met on the thread that runs it, between two others: nothing is held that this needs.
extern "C" fn handle(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: what the system hands to such a handler.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let start = registers[libc::REG_RIP as usize];
    let mut code = Code { at: start as *const u8 };
    // SAFETY: the instruction at which the thread stands.
    let Some(instruction) = (unsafe { code.read(registers) }) else {
        // Not ours: it is met again, without us.
        // SAFETY: the default action.
        unsafe { libc::signal(libc::SIGILL, libc::SIG_DFL) };
        return;
    };
    registers[libc::REG_RIP as usize] = code.at as i64;
    // SAFETY: the addresses are those of the instruction.
    if let Err(refused) = TILES.with_borrow_mut(|tiles| unsafe { instruction.execute(tiles) }) {
        // Not by `eprintln`, which tests capture.
        let _ = writeln!(std::io::stderr(), "AMX refused {instruction:?}: {refused}");
        std::process::abort();
    }
}

#[derive(Debug, Clone, Copy)]
enum Instruction {
    Configure(*const [u8; 64]),
    TellConfiguration(*mut [u8; 64]),
    Release,
    Zero(usize),
    Load(usize, *const u8, isize),
    Store(usize, *mut u8, isize),
    Multiply(usize, usize, usize),
}

impl Instruction {
    /// # Safety
    /// The thread that meets the instruction vouches for its addresses.
    unsafe fn execute(self, tiles: &mut TileFile) -> Result<(), Refused> {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::Configure(from) => return tiles.configure(&*from),
                Self::TellConfiguration(to) => *to = tiles.configuration(),
                Self::Release => *tiles = TileFile::RELEASED,
                Self::Zero(tile) => return tiles.zero(tile),
                Self::Load(tile, from, stride) => return tiles.load(tile, from, stride),
                Self::Store(tile, to, stride) => return tiles.store(tile, to, stride),
                Self::Multiply(sum, a, b) => return tiles.multiply(sum, a, b),
            }
        }
        Ok(())
    }
}

/// Where the general registers lie, in the order of their numbers in instructions.
const GENERAL: [libc::c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// Machine code that is read byte by byte.
struct Code {
    at: *const u8,
}

/// Base and displacement, and the index.
struct Memory {
    base: i64,
    index: i64,
}

impl Code {
    /// # Safety
    /// There is code.
    unsafe fn byte(&mut self) -> u8 {
        // SAFETY: the caller's.
        unsafe {
            let byte = *self.at;
            self.at = self.at.add(1);
            byte
        }
    }

    /// The instruction, if it is one of those of [`Instruction`] (SDM, volume 2: three bytes of VEX, opcode, ModRM, and perhaps SIB
    /// and displacement).
    ///
    /// # Safety
    /// There is code.
    unsafe fn read(&mut self, registers: &[libc::greg_t; 23]) -> Option<Instruction> {
        // SAFETY: an instruction that begins like this has that many bytes.
        unsafe {
            if self.byte() != 0xc4 {
                return None;
            }
            let (extension, second) = (self.byte(), self.byte());
            // Opcode map 2, W 0, 128 bits.
            if extension & 0x1f != 2 || second & 0x84 != 0 {
                return None;
            }
            let (prefix, third) = (second & 3, usize::from(!second >> 3 & 15));
            let (opcode, mode) = (self.byte(), self.byte());
            let (reg, rm) = (usize::from(mode >> 3 & 7), usize::from(mode & 7));
            if mode >> 6 == 3 {
                return match (opcode, prefix) {
                    (0x49, 0) if mode == 0xc0 => Some(Instruction::Release),
                    (0x49, 3) if rm == 0 => Some(Instruction::Zero(reg)),
                    (0x5c, 2) if third < 8 => Some(Instruction::Multiply(reg, rm, third)),
                    _ => None,
                };
            }
            let has_index = rm == 4;
            let Memory { base, index } = self.memory(mode, extension, registers)?;
            match (opcode, prefix) {
                (0x49, 0) if reg == 0 => Some(Instruction::Configure((base + index) as *const _)),
                (0x49, 1) if reg == 0 => Some(Instruction::TellConfiguration((base + index) as *mut _)),
                (0x4b, 3) if has_index => Some(Instruction::Load(reg, base as *const u8, index as isize)),
                (0x4b, 2) if has_index => Some(Instruction::Store(reg, base as *mut u8, index as isize)),
                _ => None,
            }
        }
    }

    /// The operand in memory; `None` for forms without a base, which nothing here uses.
    ///
    /// # Safety
    /// There is code.
    unsafe fn memory(&mut self, mode: u8, extension: u8, registers: &[libc::greg_t; 23]) -> Option<Memory> {
        let general = |number: u8, bit: u8| {
            let high = if extension & bit == 0 { 8 } else { 0 };
            (usize::from(number | high), registers[GENERAL[usize::from(number | high)] as usize])
        };
        let (kind, rm) = (mode >> 6, mode & 7);
        // SAFETY: the caller's.
        unsafe {
            let (base, index) = match rm {
                4 => {
                    let sib = self.byte();
                    let (number, index) = general(sib >> 3 & 7, 0x40);
                    (sib & 7, if number == 4 { 0 } else { index << (sib >> 6) })
                }
                _ => (rm, 0),
            };
            if kind == 0 && base == 5 {
                return None;
            }
            let displacement = match kind {
                0 => 0,
                1 => i64::from(self.byte() as i8),
                _ => i64::from(i32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])),
            };
            Some(Memory { base: general(base, 0x20).1 + displacement, index })
        }
    }
}
