//! Check digits and shapes of numbers.
//!
//! They raise a suspicion and never clear one: a number with a cue before it is masked whatever its
//! check digit says, for typing errors and test data are as secret as the rest.

use smallvec::SmallVec;

/// The Luhn check of payment cards.
#[must_use]
pub fn luhn(digits: &[u8]) -> bool {
    let sum = digits.iter().rev().enumerate().fold(0_u32, |sum, (place, digit)| {
        let value = u32::from(*digit);
        sum + match place % 2 {
            0 => value,
            _ if value > 4 => value * 2 - 9,
            _ => value * 2,
        }
    });
    sum % 10 == 0 && digits.iter().any(|digit| *digit != 0)
}

/// A National Provider Identifier: ten digits, Luhn after `80840`.
#[must_use]
pub fn npi(digits: &[u8]) -> bool {
    let prefixed: Vec<u8> = [8, 0, 8, 4, 0].iter().chain(digits).copied().collect();
    digits.len() == 10 && matches!(digits.first(), Some(1 | 2)) && luhn(&prefixed)
}

/// A number of the Drug Enforcement Administration: two letters and seven digits.
#[must_use]
pub fn dea(digits: &[u8]) -> bool {
    let [a, b, c, d, e, f, check] = digits else { return false };
    let sum = |values: [&u8; 3]| values.into_iter().map(|value| u32::from(*value)).sum::<u32>();
    (sum([a, c, e]) + 2 * sum([b, d, f])) % 10 == u32::from(*check)
}

/// An International Bank Account Number: modulo 97.
#[must_use]
pub fn iban(text: &str) -> bool {
    let compact: Vec<u8> = text.bytes().filter(u8::is_ascii_alphanumeric).collect();
    if !(15..=34).contains(&compact.len()) {
        return false;
    }
    let (head, tail) = compact.split_at(4);
    let rest = tail.iter().chain(head).fold(0_u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        letter => (rest * 100 + u32::from(letter.to_ascii_uppercase() - b'A') + 10) % 97,
    });
    rest == 1
}

/// A vehicle identification number of North America: the ninth sign checks the others.
#[must_use]
pub fn vin(text: &str) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let value = |byte: u8| match byte.to_ascii_uppercase() {
        digit @ b'0'..=b'9' => u32::from(digit - b'0'),
        letter @ b'A'..=b'H' => u32::from(letter - b'A') + 1,
        letter @ b'J'..=b'R' => u32::from(letter - b'J') + 1,
        letter @ b'S'..=b'Z' => u32::from(letter - b'S') + 2,
        _ => 0,
    };
    let sum: u32 = text.bytes().zip(WEIGHTS).map(|(byte, weight)| value(byte) * weight).sum();
    let check = match sum % 11 {
        10 => b'X',
        digit => b'0' + u8::try_from(digit).unwrap_or(0),
    };
    text.len() == 17 && text.as_bytes()[8].to_ascii_uppercase() == check
}

/// A day and a month, in either order.
#[must_use]
pub fn day_and_month(one: u32, other: u32) -> bool {
    let is = |month: u32, day: u32| (1..=12).contains(&month) && (1..=31).contains(&day);
    is(one, other) || is(other, one)
}

/// A number of the North American plan: neither area nor exchange begins with 0 or 1.
#[must_use]
pub fn nanp(digits: &[u8]) -> bool {
    let digits = match digits {
        [1, rest @ ..] if rest.len() == 10 => rest,
        all => all,
    };
    digits.len() == 10 && digits[0] > 1 && digits[3] > 1
}

/// The digits of a text as numbers.
#[must_use]
pub fn digits(text: &str) -> SmallVec<[u8; 24]> {
    text.bytes().filter(u8::is_ascii_digit).map(|byte| byte - b'0').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_examples_pass_and_their_neighbours_do_not() {
        assert!(luhn(&digits("4111 1111 1111 1111")) && !luhn(&digits("4111 1111 1111 1112")));
        assert!(npi(&digits("1234567893")) && !npi(&digits("1234567890")));
        assert!(dea(&digits("1234563")) && !dea(&digits("1234567")));
        assert!(iban("GB82 WEST 1234 5698 7654 32") && !iban("GB82 WEST 1234 5698 7654 33"));
        assert!(vin("1M8GDM9AXKP042788") && !vin("1M8GDM9A1KP042788"));
        assert!(nanp(&digits("1 919 555 0121")) && !nanp(&digits("119 555 0121")));
        assert!(day_and_month(31, 12) && day_and_month(2, 27) && !day_and_month(14, 14));
    }
}
