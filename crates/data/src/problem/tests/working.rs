//! What workings say, against the questions.

use super::oracle::{answer, bracketed, high_first, low_first, root, stack, terms, upwards};

/// Whether each state of a working is that of its place in the question.
pub(super) fn is_right(name: &str, question: &str, working: &str) -> bool {
    let ends = 1..=question.len();
    match name {
        "parity" | "even-pairs" | "cycle-navigation" | "s3" | "s5" => {
            working == ends.map(|end| answer(name, &question[..end])).collect::<String>()
        }
        "reverse" => working == ends.map(|end| answer(name, &question[..end])).collect::<Vec<_>>().join(","),
        "selective-copying" => {
            let letters = answer(name, question);
            working == (1..=letters.len()).map(|end| &letters[..end]).collect::<Vec<_>>().join(",")
        }
        "stack-manipulation" => {
            let first = question.find(['a', 'b', '-']).unwrap_or(question.len());
            let states = (first + 1..=question.len()).map(|end| stack(&question[..end]));
            working == states.collect::<Vec<_>>().join(",")
        }
        "duplicate" => working == question,
        "missing-duplicate" => {
            let (first, second) = question.split_at(question.len() / 2);
            working == (0..first.len()).map(|at| first[at..=at].to_owned() + &second[at..=at]).collect::<String>()
        }
        "odds-first" => {
            let marked = question.char_indices().map(|(at, symbol)| format!("{}{symbol}", at % 2 + 1));
            working == marked.collect::<String>()
        }
        "bucket-sort" => {
            let counted = question
                .char_indices()
                .map(|(at, symbol)| format!("{symbol}{}", question[..=at].matches(symbol).count()));
            working == counted.collect::<Vec<_>>().join(",")
        }
        "fuzzy-recall" => {
            let key = question.split_once('?').unwrap().1;
            working == format!("{key}{}", answer(name, question).trim_end_matches('.'))
        }
        "induction-heads" => working == format!("*{}", answer(name, question)),
        other => arithmetic(other, question, working),
    }
}

/// The same for numbers.
fn arithmetic(name: &str, question: &str, working: &str) -> bool {
    match name {
        "modular-arithmetic" => {
            let prefixes = (1..=question.len()).step_by(2).map(|end| &question[..end]);
            let states = working.as_bytes().chunks(2);
            states.len() == question.len().div_ceil(2)
                && prefixes.zip(states).all(|(prefix, state)| {
                    // The term that is not finished, with its sign.
                    let term = &prefix[prefix.rfind(['+', '-']).unwrap_or(0)..];
                    let of_term = terms(term.trim_start_matches('+')).rem_euclid(5);
                    let sum = (terms(prefix) - of_term).rem_euclid(5);
                    state == format!("{sum}{of_term}").as_bytes()
                })
        }
        "modular-arithmetic-brackets" => {
            let values = brackets(question).map(|bracket| bracketed(bracket).rem_euclid(5).to_string());
            working == values.collect::<String>()
        }
        "solve-equation" => {
            let states: Vec<&[u8]> = working.as_bytes().chunks(2).collect();
            states.len() == brackets(question).count()
                && brackets(question).zip(states).all(|(bracket, state)| {
                    let [constant, coefficient] = [state[0], state[1]].map(|digit| i64::from(digit - b'0'));
                    (0..5).all(|x| {
                        let value = bracketed(&bracket.replace('x', &x.to_string()));
                        (constant + coefficient * x - value).rem_euclid(5) == 0
                    })
                })
        }
        "binary-addition" => {
            let (first, second) = question.split_once('+').unwrap();
            let low = |digits: &str, places: usize| low_first(&digits[..places.min(digits.len())]);
            let states = (1..=first.len().max(second.len())).map(|places| {
                let sum = low(first, places) + low(second, places);
                format!("{}{}", sum >> (places - 1) & 1, sum >> places & 1)
            });
            working == states.collect::<String>()
        }
        "binary-multiplication" => {
            let (first, second) = question.split_once('*').unwrap();
            let products = (1..=second.len()).map(|places| upwards(low_first(first) * low_first(&second[..places])));
            working == products.collect::<Vec<_>>().join(",")
        }
        "square-root" => {
            let ends = (2 - question.len() % 2..=question.len()).step_by(2);
            let states = ends.enumerate().map(|(place, end)| {
                let number = high_first(&question[..end]);
                let root = root(number);
                format!("{root:0width$b}:{:b}", number - root * root, width = place + 1)
            });
            working == states.collect::<Vec<_>>().join(",")
        }
        other => panic!("no check for {other}"),
    }
}

/// The brackets of an expression, in the order in which they close.
fn brackets(expression: &str) -> impl Iterator<Item = &str> {
    expression.match_indices(')').map(|(close, _)| {
        let mut open = 0;
        let start = expression[..=close].rfind(|symbol| {
            open += match symbol {
                ')' => 1,
                '(' => -1,
                _ => 0,
            };
            open == 0
        });
        &expression[start.unwrap()..=close]
    })
}
