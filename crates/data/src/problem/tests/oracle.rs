//! Answers by another way than the problems take.

/// What a question is answered with; not for mqar, whose questions and answers alternate.
pub(super) fn answer(name: &str, question: &str) -> String {
    let count = |symbol: char| question.chars().filter(|&other| other == symbol).count() as i64;
    match name {
        "parity" => (count('1') % 2).to_string(),
        "even-pairs" => u8::from(question.chars().next() != question.chars().last()).to_string(),
        "cycle-navigation" => (count('+') - count('-')).rem_euclid(5).to_string(),
        "modular-arithmetic" => terms(question).rem_euclid(5).to_string(),
        "modular-arithmetic-brackets" => bracketed(question).rem_euclid(5).to_string(),
        "solve-equation" => solution(question),
        "reverse" => question.chars().rev().collect(),
        "stack-manipulation" => stack(question) + ".",
        "duplicate" => format!("{question}{question}"),
        "missing-duplicate" => missing(question),
        "odds-first" => {
            let (odd, even): (Vec<_>, Vec<_>) = question.char_indices().partition(|(at, _)| at % 2 == 0);
            odd.into_iter().chain(even).map(|(_, symbol)| symbol).collect()
        }
        "binary-addition" => {
            let (first, second) = question.split_once('+').unwrap();
            upwards(low_first(first) + low_first(second)) + "."
        }
        "binary-multiplication" => {
            let (first, second) = question.split_once('*').unwrap();
            upwards(low_first(first) * low_first(second)) + "."
        }
        "square-root" => {
            format!("{:0width$b}", root(high_first(question)), width = question.len().div_ceil(2))
        }
        "bucket-sort" => {
            let mut symbols: Vec<char> = question.chars().collect();
            symbols.sort_unstable();
            symbols.into_iter().collect()
        }
        "s3" => arrangement(question, 3),
        "s5" => arrangement(question, 5),
        "fuzzy-recall" => recalled(question) + ".",
        "selective-copying" => question.replace('_', ""),
        "induction-heads" => question.split('*').nth(1).unwrap()[..1].into(),
        other => panic!("no oracle for {other}"),
    }
}

/// An expression without brackets: a sum of products.
pub(super) fn terms(expression: &str) -> i64 {
    let sum = expression.replace('-', "+-");
    sum.split('+')
        .filter(|term| !term.is_empty())
        .map(|term| term.split('*').map(|factor| factor.parse::<i64>().unwrap()).product::<i64>())
        .sum()
}

/// An expression with brackets, over the integers.
pub(super) fn bracketed(expression: &str) -> i64 {
    fn sum(rest: &mut &str) -> i64 {
        let mut sum = operand(rest);
        while let Some(sign @ ('+' | '-')) = rest.chars().next() {
            *rest = &rest[1..];
            let next = operand(rest);
            sum += if sign == '+' { next } else { -next };
        }
        sum
    }
    fn operand(rest: &mut &str) -> i64 {
        let symbol = rest.chars().next().unwrap();
        *rest = &rest[1..];
        match symbol {
            '-' => -operand(rest),
            '(' => {
                let value = sum(rest);
                assert!(rest.starts_with(')'));
                *rest = &rest[1..];
                value
            }
            digit => i64::from(digit.to_digit(5).unwrap()),
        }
    }
    let mut rest = expression;
    let value = sum(&mut rest);
    assert_eq!(rest, "");
    value
}

/// The only number that makes an equation true.
fn solution(equation: &str) -> String {
    let (left, right) = equation.split_once('=').unwrap();
    let holds = |x: &i64| (bracketed(&left.replace('x', &x.to_string())) - bracketed(right)).rem_euclid(5) == 0;
    let found: Vec<i64> = (0..5).filter(holds).collect();
    assert_eq!((found.len(), left.matches('x').count()), (1, 1), "{equation}");
    found[0].to_string()
}

/// A stack from its top.
pub(super) fn stack(question: &str) -> String {
    let stack = question.chars().fold(String::new(), |mut stack, symbol| {
        match symbol {
            '-' => drop(stack.pop()),
            'a' => stack.push('0'),
            'b' => stack.push('1'),
            held => stack.push(held),
        }
        stack
    });
    stack.chars().rev().collect()
}

fn missing(question: &str) -> String {
    let halves_agree = |filled: &String| filled[..filled.len() / 2] == filled[filled.len() / 2..];
    let fits: Vec<&str> =
        ["0", "1"].into_iter().filter(|symbol| halves_agree(&question.replace('?', symbol))).collect();
    assert_eq!(fits.len(), 1, "{question}");
    fits[0].into()
}

/// How things lie after moves, by asking backwards where each came from.
fn arrangement(moves: &str, things: usize) -> String {
    let came_from = |place: usize| {
        moves.chars().rev().fold(place, |place, step| match (step, place) {
            ('s', 0) => 1,
            ('s', 1) => 0,
            ('s', other) => other,
            (_, place) => (place + 1) % things,
        })
    };
    (0..things).map(|place| (came_from(place) + 1).to_string()).collect()
}

/// The digits after a key that stands alone.
fn recalled(question: &str) -> String {
    let (pairs, key) = question.split_once('?').unwrap();
    let letter = |at: Option<usize>| at.and_then(|at| pairs.chars().nth(at)).is_some_and(char::is_alphabetic);
    let places = pairs.match_indices(key).map(|(at, _)| at);
    let alone: Vec<usize> = places.filter(|&at| !letter(at.checked_sub(1)) && !letter(Some(at + key.len()))).collect();
    assert_eq!(alone.len(), 1, "{question}");
    pairs[alone[0] + key.len()..].chars().take_while(char::is_ascii_digit).collect()
}

/// A number from its lowest digit on.
pub(super) fn low_first(digits: &str) -> u128 {
    high_first(&digits.chars().rev().collect::<String>())
}

pub(super) fn high_first(digits: &str) -> u128 {
    u128::from_str_radix(digits, 2).unwrap()
}

/// The digits of a number from the lowest on, without zeros at the end.
pub(super) fn upwards(number: u128) -> String {
    format!("{number:b}").chars().rev().collect()
}

/// The root of a number below 2^64, rounded down.
pub(super) fn root(number: u128) -> u128 {
    (0..64).rev().fold(0, |root, bit| {
        let higher = root | 1 << bit;
        if higher * higher <= number { higher } else { root }
    })
}
