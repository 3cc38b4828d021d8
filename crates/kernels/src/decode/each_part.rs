//! Rounds whose tiles change a part each of several slices.

use super::Crew;
use crate::matmul::Shared;

impl Crew<'_> {
    /// Cuts each slice into `tiles` parts of one size and runs `work` once for the parts of each tile, on all threads.
    ///
    /// # Panics
    /// If the length of a slice is no multiple of `tiles`, or `work` panics.
    ///
    /// ```
    /// use percept_kernels::decode::Team;
    /// // Two heads, of width 1 and with a state of 2 x 2.
    /// let (mut y, mut state) = ([1.0, 10.0], [0.0; 8]);
    /// Team::global().crew().each_part(2, [&mut y, &mut state], |head, [y, state]| {
    ///     state.fill(y[0]);
    ///     y[0] += head as f32;
    /// });
    /// assert_eq!(y, [1.0, 11.0]);
    /// assert_eq!(state, [1.0, 1.0, 1.0, 1.0, 10.0, 10.0, 10.0, 10.0]);
    /// ```
    pub fn each_part<const N: usize>(
        &mut self,
        tiles: usize,
        slices: [&mut [f32]; N],
        work: impl Fn(usize, [&mut [f32]; N]) + Sync,
    ) {
        let slices = slices.map(|slice| {
            assert!(slice.len().is_multiple_of(tiles.max(1)), "{} elements in {tiles} parts", slice.len());
            (slice.len() / tiles.max(1), Shared::new(slice))
        });
        self.each(tiles, |tile| {
            // SAFETY: each tile has its own part of each slice, and all of them lie inside.
            let part =
                |(size, slice): (usize, Shared)| unsafe { std::slice::from_raw_parts_mut(slice.at(tile * size), size) };
            work(tile, slices.map(part));
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::decode::Team;

    #[test]
    fn every_part_is_changed_once_by_its_tile() {
        let team = Team::new(2);
        let (mut a, mut b, mut none) = (vec![1f32; 60], vec![0f32; 120], []);
        for round in 1..=20 {
            team.crew().each_part(20, [&mut a, &mut b, &mut none], |tile, [a, b, none]| {
                assert!((a.len(), b.len(), none.len()) == (3, 6, 0));
                a.iter_mut().for_each(|a| *a *= -1.0);
                b.iter_mut().for_each(|b| *b += tile as f32);
            });
            let sign = if round % 2 == 0 { 1.0 } else { -1.0 };
            assert!(a.iter().all(|a| *a == sign));
            assert!(b.iter().enumerate().all(|(at, b)| *b == (round * (at / 6)) as f32));
        }
    }

    #[test]
    fn no_tile_is_no_work() {
        Team::new(1).crew().each_part(0, [&mut []], |_, _| unreachable!("there is no part"));
    }

    #[test]
    #[should_panic(expected = "7 elements in 2 parts")]
    fn parts_are_of_one_size() {
        Team::new(1).crew().each_part(2, [&mut [0.0; 7]], |_, _| ());
    }
}
