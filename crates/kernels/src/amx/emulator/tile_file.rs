//! Tiles in software, as the Intel SDM (volume 2, chapter 3) defines the instructions.

/// Tiles, and rows of each.
const TILES: usize = 8;
const ROWS: usize = 16;
/// Bytes of a row.
const BYTES: usize = 64;

/// Why an instruction was refused: what the processor would raise, and for what.
pub(crate) type Refused = &'static str;

/// The tiles of a thread.
#[derive(Debug, Clone)]
pub(crate) struct TileFile {
    configured: bool,
    rows: [usize; TILES],
    row_bytes: [usize; TILES],
    tiles: [[[u8; BYTES]; ROWS]; TILES],
}

impl TileFile {
    /// After TILERELEASE.
    pub(crate) const RELEASED: Self =
        Self { configured: false, rows: [0; TILES], row_bytes: [0; TILES], tiles: [[[0; BYTES]; ROWS]; TILES] };

    /// LDTILECFG.
    pub(crate) fn configure(&mut self, bytes: &[u8; 64]) -> Result<(), Refused> {
        let mut new = Self::RELEASED;
        match bytes[0] {
            0 => {
                *self = new;
                return Ok(());
            }
            1 => new.configured = true,
            _ => return Err("#GP: this palette does not exist"),
        }
        if bytes[1] != 0 {
            return Err("a start row is not emulated");
        }
        if bytes[2..16].iter().any(|byte| *byte != 0) {
            return Err("#GP: a reserved byte of the configuration is set");
        }
        for tile in 0..16 {
            let row_bytes = usize::from(u16::from_le_bytes([bytes[16 + 2 * tile], bytes[17 + 2 * tile]]));
            let rows = usize::from(bytes[48 + tile]);
            if row_bytes > BYTES || rows > ROWS || (rows == 0) != (row_bytes == 0) || (tile >= TILES && rows != 0) {
                return Err("#GP: no tile has this size");
            }
            if tile < TILES {
                (new.rows[tile], new.row_bytes[tile]) = (rows, row_bytes);
            }
        }
        *self = new;
        Ok(())
    }

    /// STTILECFG.
    pub(crate) fn configuration(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[0] = u8::from(self.configured);
        for tile in 0..TILES {
            bytes[16 + 2 * tile] = self.row_bytes[tile] as u8;
            bytes[48 + tile] = self.rows[tile] as u8;
        }
        bytes
    }

    /// Rows of a tile and bytes of each.
    pub(crate) fn size(&self, tile: usize) -> Result<(usize, usize), Refused> {
        match (self.configured, self.rows[tile]) {
            (false, _) => Err("#UD: no tiles are configured"),
            (true, 0) => Err("#UD: this tile is not configured"),
            (true, rows) => Ok((rows, self.row_bytes[tile])),
        }
    }

    /// TILEZERO.
    pub(crate) fn zero(&mut self, tile: usize) -> Result<(), Refused> {
        self.size(tile)?;
        self.tiles[tile] = [[0; BYTES]; ROWS];
        Ok(())
    }

    /// TILELOADD.
    ///
    /// # Safety
    /// The rows may be read; where they may not, this faults as the instruction does.
    pub(crate) unsafe fn load(&mut self, tile: usize, from: *const u8, stride: isize) -> Result<(), Refused> {
        let (rows, bytes) = self.size(tile)?;
        self.tiles[tile] = [[0; BYTES]; ROWS];
        for (row, line) in self.tiles[tile][..rows].iter_mut().enumerate() {
            // SAFETY: the caller's.
            unsafe {
                from.wrapping_offset(row as isize * stride).copy_to_nonoverlapping(line.as_mut_ptr(), bytes);
            }
        }
        Ok(())
    }

    /// TILESTORED.
    ///
    /// # Safety
    /// As [`TileFile::load`], for writing.
    pub(crate) unsafe fn store(&self, tile: usize, to: *mut u8, stride: isize) -> Result<(), Refused> {
        let (rows, bytes) = self.size(tile)?;
        for (row, line) in self.tiles[tile][..rows].iter().enumerate() {
            // SAFETY: the caller's.
            unsafe {
                to.wrapping_offset(row as isize * stride).copy_from_nonoverlapping(line.as_ptr(), bytes);
            }
        }
        Ok(())
    }

    /// TDPBF16PS: `sum += a * b`.
    pub(crate) fn multiply(&mut self, sum: usize, a: usize, b: usize) -> Result<(), Refused> {
        let [(rows, bytes), (a_rows, a_bytes), (b_rows, b_bytes)] = [self.size(sum)?, self.size(a)?, self.size(b)?];
        if sum == a || sum == b || a == b {
            return Err("#UD: a tile stands for two operands");
        }
        if [bytes, a_bytes, b_bytes].iter().any(|bytes| bytes % 4 != 0) {
            return Err("#UD: a row ends within an element");
        }
        if rows != a_rows || bytes != b_bytes || a_bytes / 4 != b_rows {
            return Err("#UD: the tiles do not fit each other");
        }
        let mut sums = self.tiles[sum];
        // SAFETY: what packs the operands of these products needs AVX-512, so that whoever comes here has both.
        unsafe { add_products(&mut sums[..rows], &self.tiles[a], &self.tiles[b][..b_rows], bytes / 4) };
        self.tiles[sum] = sums;
        Ok(())
    }
}

type Row = [u8; BYTES];

/// `columns` of the sums; one rounding per operation, to nearest even.
#[target_feature(enable = "avx2,fma")]
fn add_products(sums: &mut [Row], a: &[Row; ROWS], b: &[Row], columns: usize) {
    let b: Vec<_> = b.iter().map(pairs).collect();
    for (sums, a) in sums.iter_mut().zip(a) {
        let (mut even, mut odd) = ([0f32; ROWS], [0f32; ROWS]);
        let a = pairs(a);
        for (pair, b) in b.iter().enumerate() {
            for column in 0..ROWS {
                even[column] = flush(a[0][pair].mul_add(b[0][column], even[column]));
                odd[column] = flush(a[1][pair].mul_add(b[1][column], odd[column]));
            }
        }
        for (column, sum) in sums.chunks_exact_mut(4).enumerate().take(columns) {
            let before = flush(f32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]]));
            sum.copy_from_slice(&flush(before + flush(even[column] + odd[column])).to_le_bytes());
        }
    }
}

/// The even and the odd elements of a row of bfloat16.
#[inline(always)]
fn pairs(row: &Row) -> [[f32; ROWS]; 2] {
    [0, 2].map(|half| {
        std::array::from_fn(|pair| {
            let bytes = [row[4 * pair + half], row[4 * pair + half + 1]];
            flush(f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16))
        })
    })
}

/// Denormal numbers are zero, before an operation and after it.
#[inline(always)]
fn flush(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denormals_are_zeros_with_their_sign() {
        assert_eq!(flush(1e-40), 0.0);
        assert!(flush(-1e-40).is_sign_negative());
        assert_eq!((flush(f32::MIN_POSITIVE), flush(-2.5)), (f32::MIN_POSITIVE, -2.5));
    }
}
