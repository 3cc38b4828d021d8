//! Natural numbers as digits 0 and 1, the lowest first.

use std::cmp::Ordering;

use super::draws::Draws;
use super::solution::digit;

/// A number above 0 of at most `length` digits, written with exactly so many.
pub(super) fn positive(length: usize, draws: &mut Draws) -> Vec<u8> {
    loop {
        let digits = draws.symbols(b"01", length);
        if digits.contains(&b'1') {
            return digits;
        }
    }
}

/// The digits without zeros at the upper end; of 0 one digit.
pub(super) fn trimmed(digits: &[u8]) -> &[u8] {
    let length = digits.iter().rposition(|&digit| digit == b'1').map_or(1, |highest| highest + 1);
    &digits[..length.min(digits.len())]
}

/// The sum of two numbers, with one digit more than the longer; `step` is shown each digit with the carry to the next place.
pub(super) fn sum(first: &[u8], second: &[u8], step: &mut dyn FnMut(u8, u8)) -> Vec<u8> {
    let bit = |digits: &[u8], place: usize| usize::from(digits.get(place) == Some(&b'1'));
    let mut carry = 0;
    let mut digits: Vec<u8> = (0..first.len().max(second.len()))
        .map(|place| {
            let sum = bit(first, place) + bit(second, place) + carry;
            carry = sum / 2;
            step(digit(sum % 2), digit(carry));
            digit(sum % 2)
        })
        .collect();
    digits.push(digit(carry));
    digits
}

/// Takes `second` away from `first`, if it is not above it.
pub(super) fn difference(first: &[u8], second: &[u8]) -> Option<Vec<u8>> {
    if compare(first, second) == Ordering::Less {
        return None;
    }
    // Adding the complement and 1 is subtracting, up to a last carry.
    let complement: Vec<u8> =
        (0..first.len()).map(|place| if second.get(place) == Some(&b'1') { b'0' } else { b'1' }).collect();
    let mut digits = sum(&sum(first, &complement, &mut |_, _| ()), b"1", &mut |_, _| ());
    digits.truncate(first.len());
    Some(digits)
}

fn compare(first: &[u8], second: &[u8]) -> Ordering {
    let (first, second) = (trimmed(first), trimmed(second));
    first.len().cmp(&second.len()).then_with(|| first.iter().rev().cmp(second.iter().rev()))
}
