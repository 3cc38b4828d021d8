//! The instructions by themselves: against the model in software, and what is refused. Where the processor has AMX, these
//! hold the model to the hardware; elsewhere the model runs them.

use std::arch::asm;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::emulator::{TileFile, is_ready};
use super::*;
use crate::WeightOrder::InputOutput;
use crate::testing::random;
use crate::{Linear, Precision, Product};

/// A configuration with these rows and bytes of a row.
fn configuration(palette: u8, sizes: &[(u8, u16)]) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[0] = palette;
    for (tile, (rows, row_bytes)) in sizes.iter().enumerate() {
        bytes[16 + 2 * tile..][..2].copy_from_slice(&row_bytes.to_le_bytes());
        bytes[48 + tile] = *rows;
    }
    bytes
}

/// Configures, loads three tiles of 1 KiB each whose rows are 72 bytes apart, multiplies, stores the first, releases.
fn multiply(configuration: &[u8; 64], tiles: &[[u8; 16 * 72]; 3]) -> [u8; 16 * 72] {
    let mut out = [0xee; 16 * 72];
    // SAFETY: `is_ready` has found AMX; every tile has at most 16 rows of 64 bytes.
    unsafe {
        asm!(
            "ldtilecfg [{configuration}]",
            "tileloadd tmm0, [{first} + {stride} * 8]",
            "tileloadd tmm6, [{second} + {stride} * 8]",
            "tileloadd tmm3, [{third} + {stride} * 8 + 0]",
            "tdpbf16ps tmm0, tmm6, tmm3",
            "tilestored [{out} + {stride} * 8], tmm0",
            "tilerelease",
            configuration = in(reg) configuration, first = in(reg) &tiles[0], second = in(reg) &tiles[1],
            third = in(reg) &tiles[2], stride = in(reg) 9usize, out = in(reg) &mut out,
            out("tmm0") _, out("tmm3") _, out("tmm6") _, options(nostack)
        );
    }
    out
}

/// The same on the model.
fn multiply_by_model(configuration: &[u8; 64], tiles: &[[u8; 16 * 72]; 3]) -> [u8; 16 * 72] {
    let (mut file, mut out) = (TileFile::RELEASED, [0xee; 16 * 72]);
    file.configure(configuration).unwrap();
    for (tile, from) in [0, 6, 3].into_iter().zip(tiles) {
        // SAFETY: as in `multiply`.
        unsafe { file.load(tile, from.as_ptr(), 72).unwrap() };
    }
    file.multiply(0, 6, 3).unwrap();
    // SAFETY: as in `multiply`.
    unsafe { file.store(0, out.as_mut_ptr(), 72).unwrap() };
    out
}

#[test]
fn amx_multiplies_as_defined() {
    if !is_ready() {
        return;
    }
    for (seed, (rows, pairs, columns)) in
        [(16, 16, 16), (1, 1, 1), (3, 5, 7), (16, 1, 9), (7, 16, 2)].into_iter().enumerate()
    {
        let bytes = |count: u8| 4 * u16::from(count);
        let mut sizes = [(0, 0); 8];
        (sizes[0], sizes[6], sizes[3]) = ((rows, bytes(columns)), (rows, bytes(pairs)), (pairs, bytes(columns)));
        let configuration = configuration(1, &sizes);
        let tiles = [0, 1, 2].map(|tile| {
            let numbers = random(2 * 16 * 18, 3 * seed as u64 + tile);
            // Some so small that they or their products are denormal.
            let factors = [1e-39, 1e-20, 1.0, 1.0, 1.0, 1e10, 1.0];
            let numbers = numbers.iter().zip(factors.iter().cycle()).map(|(number, factor)| number * factor);
            let mut bytes = [0; 16 * 72];
            match tile {
                0 => bytes.chunks_exact_mut(4).zip(numbers).for_each(|(to, x)| to.copy_from_slice(&x.to_le_bytes())),
                _ => {
                    bytes.chunks_exact_mut(2).zip(numbers).for_each(|(to, x)| to.copy_from_slice(&x.to_le_bytes()[2..]))
                }
            }
            bytes
        });
        assert_eq!(
            multiply(&configuration, &tiles),
            multiply_by_model(&configuration, &tiles),
            "{rows}, {pairs}, {columns}"
        );
    }
}

#[test]
fn amx_pairs_meet_pairs_and_even_sums_come_first() {
    if !is_ready() {
        return;
    }
    // One row of two pairs by one column: 2^24 and 1 in the even places, 1 and -2^24 in the odd ones, times one each. In the order
    // of the instruction, 2^24 + 1 and 1 - 2^24 round to 2^24 and 1 - 2^24 (that is exact): together 1. Any other order gives 0 or 2.
    let bf16 = |x: f32| (x.to_bits() >> 16) as u16;
    let (large, one) = (bf16(16_777_216.0), bf16(1.0));
    let mut tiles = [[0; 16 * 72]; 3];
    tiles[0][..4].copy_from_slice(&0.5f32.to_le_bytes());
    for (index, value) in [large, one, one, large | 0x8000].into_iter().enumerate() {
        tiles[1][2 * index..][..2].copy_from_slice(&value.to_le_bytes());
        tiles[2][72 * (index / 2) + 2 * (index % 2)..][..2].copy_from_slice(&one.to_le_bytes());
    }
    let mut sizes = [(0, 0); 8];
    (sizes[0], sizes[6], sizes[3]) = ((1, 4), (1, 8), (2, 4));
    let out = multiply(&configuration(1, &sizes), &tiles);
    assert_eq!(f32::from_le_bytes(out[..4].try_into().unwrap()), 1.5);
    assert!(out[4..].iter().all(|byte| *byte == 0xee), "nothing else is written");
}

/// The configuration of this thread, as the processor tells it.
fn told() -> [u8; 64] {
    let mut bytes = [0xee; 64];
    // SAFETY: writes the 64 bytes.
    unsafe { asm!("sttilecfg [{}]", in(reg) &mut bytes, options(nostack)) };
    bytes
}

#[test]
fn amx_tiles_are_released() {
    if !is_ready() {
        return;
    }
    // SAFETY: AMX is there, and this thread has no other tiles.
    let tiles = unsafe { Tiles::configure() };
    assert_eq!(told(), configuration(1, &[(16, 64); 8]));
    drop(tiles);
    assert_eq!(told(), [0; 64]);
    Product::Amx.choose();
    let (rows, input, output) = (200, 70, 40);
    let linear = Linear { rows, input, output, order: InputOutput, precision: Precision::Bf16 };
    linear.forward(&random(rows * input, 1), &random(input * output, 2), None, &mut vec![0.0; rows * output]);
    for bytes in rayon::broadcast(|_| told()) {
        assert_eq!(bytes, [0; 64], "a thread of the pool has kept its tiles");
    }
}

/// What no processor executes, and what the emulator says of it.
const MISUSES: [(&str, &str); 7] = [
    ("released", "no tiles are configured"),
    ("missing", "this tile is not configured"),
    ("depth", "the tiles do not fit each other"),
    ("bytes", "a row ends within an element"),
    ("palette", "this palette does not exist"),
    ("reserved", "a reserved byte"),
    ("size", "no tile has this size"),
];

/// Run by [`amx_misuse_ends_the_process`], in a process of its own.
fn misuse(name: &str) {
    let whole = [(16, 64); 8];
    let mut bytes = match name {
        "missing" => configuration(1, &whole[..6]),
        "depth" => configuration(1, &[(16, 64), (16, 64), (16, 64), (15, 64), (16, 64), (16, 64), (16, 64)]),
        "bytes" => configuration(1, &[(16, 62), (16, 64), (16, 64), (16, 62), (16, 64), (16, 64), (16, 64)]),
        "palette" => configuration(2, &whole),
        "size" => configuration(1, &[(17, 64); 8]),
        _ => configuration(1, &whole),
    };
    match name {
        // SAFETY: the instruction faults.
        "released" => unsafe { asm!("tdpbf16ps tmm0, tmm6, tmm3", out("tmm0") _) },
        _ => {
            bytes[15] = u8::from(name == "reserved");
            multiply(&bytes, &[[0; 16 * 72]; 3]);
        }
    }
}

#[test]
fn amx_misuse_ends_the_process() {
    const MISUSE: &str = "KERNELS_AMX_MISUSE";
    if !is_ready() {
        return;
    }
    if let Ok(name) = std::env::var(MISUSE) {
        return misuse(&name);
    }
    for (name, said) in MISUSES {
        let mut test = Command::new(std::env::current_exe().unwrap());
        test.env(MISUSE, name).args(["amx_misuse_ends_the_process", "--test-threads=1"]);
        let output = test.output().unwrap();
        assert!(output.status.signal().is_some(), "{name}: {:?}", output.status);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(is_available() || error.contains(said), "{name}: {error}");
    }
}
