mod oracle;
mod working;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Every problem but mqar, whose questions and answers alternate.
fn usual() -> Vec<&'static str> {
    Problem::names().filter(|name| *name != "mqar").collect()
}

fn problem(name: &str, options: &str) -> Problem {
    Problem::of_source(&format!("synthetic:{name}?{options}")).unwrap()
}

fn text(worked: &Worked, range: std::ops::Range<usize>) -> &str {
    std::str::from_utf8(&worked.text[range]).unwrap()
}

proptest! {
    #[test]
    fn answers_are_right(name in proptest::sample::select(usual()), seed: u64, index: u64) {
        let worked = problem(name, "length=30").worked(seed, index);
        let (question, answer) = (text(&worked, 0..worked.targets.from - 1), text(&worked, worked.answer_from..worked.text.len()));
        prop_assert_eq!(answer, oracle::answer(name, question), "{}", question);
        prop_assert_eq!((worked.answer_from, worked.targets.every), (worked.targets.from, 1));
        if name != "fuzzy-recall" {
            prop_assert_eq!(question.len() as u64, worked.length, "{}", question);
        }
    }

    #[test]
    fn workings_tell_the_states_and_end_in_the_direct_answer(
        name in proptest::sample::select(usual()), seed: u64, index: u64,
    ) {
        let direct = problem(name, "length=30").worked(seed, index);
        let cot = problem(name, "length=30&mode=cot").worked(seed, index);
        let from = direct.targets.from;
        prop_assert_eq!((cot.targets, &cot.text[..from]), (direct.targets, &direct.text[..from]));
        prop_assert_eq!(cot.text[cot.answer_from - 1], THEREFORE);
        prop_assert_eq!(&cot.text[cot.answer_from..], &direct.text[from..]);
        let (question, working) = (text(&direct, 0..from - 1), text(&cot, from..cot.answer_from - 1));
        prop_assert!(working::is_right(name, question, working), "{} {}", question, working);
        prop_assert!(cot.text.is_ascii());
    }

    #[test]
    fn mqar_asks_for_each_value_once(seed: u64, index: u64, gap in 0_u64..9) {
        let options = format!("length=52&values=3&gap={gap}");
        let direct = problem("mqar", &options).worked(seed, index);
        let pairs = direct.length as usize;
        let (shown, asked) = direct.text.split_at(2 * pairs + gap as usize + 1);
        let (shown, filler) = shown.split_at(2 * pairs);
        prop_assert_eq!(filler.iter().filter(|&&symbol| symbol == b'.').count() as u64, gap);
        prop_assert_eq!(filler.last(), Some(&b'|'));
        let of = |text: &[u8]| text.chunks(2).map(|pair| (pair[0], pair[1])).collect::<BTreeMap<_, _>>();
        prop_assert_eq!((of(shown).len(), of(shown)), (pairs, of(asked)));
        prop_assert!(of(shown).into_iter().all(|(key, value)| key.is_ascii_alphabetic() && (b'0'..b'3').contains(&value)));
        // The values alone are to be told.
        let told: Vec<usize> = (0..direct.text.len()).filter(|&at| direct.targets.contains(at)).collect();
        prop_assert!(told.iter().copied().eq(direct.answer()));
        prop_assert!(told.into_iter().eq((0..pairs).map(|pair| direct.text.len() - 2 * (pairs - pair) + 1)));

        let cot = problem("mqar", &(options + "&mode=cot")).worked(seed, index);
        let keys: String = asked.iter().step_by(2).copied().map(char::from).collect();
        let values: String = asked.iter().skip(1).step_by(2).copied().map(char::from).collect();
        let dots = ".".repeat(gap as usize);
        let [shown, asked] = [shown, asked].map(|text| std::str::from_utf8(text).unwrap());
        prop_assert_eq!(text(&cot, 0..cot.text.len()), format!("{shown}{dots}|{keys}|{asked}>{values}"));
        prop_assert_eq!((cot.targets.from, cot.answer_from), (cot.text.len() - 3 * pairs - 1, cot.text.len() - pairs));
    }

    #[test]
    fn seed_and_index_say_what_an_exercise_is(
        name in proptest::sample::select(Problem::names().collect::<Vec<_>>()), seed: u64, index in 0..u64::MAX,
    ) {
        // The same by whatever way it is come by.
        let made = || problem(name, "length=50");
        prop_assert_eq!(made().worked(seed, index), made().worked(seed, index));
        let texts = |seed: u64| (0..30).map(|at| made().worked(seed, index.wrapping_add(at)).text).collect::<BTreeSet<_>>();
        prop_assert!(texts(seed).len() > 20);
        prop_assert_ne!(texts(seed), texts(seed ^ 1));
    }
}

/// Runs and figures go by these texts.
#[test]
fn texts_stay_what_they_are() {
    let texts: Vec<String> = Problem::names()
        .map(|name| {
            let worked = problem(name, "length=9&mode=cot").worked(1, 2);
            format!("{name} {}", text(&worked, 0..worked.text.len()))
        })
        .collect();
    assert_eq!(texts, GOLDEN);
}

const GOLDEN: [&str; 21] = [
    "even-pairs 001011000|001011000>0",
    "parity 001011000|001101111>1",
    "cycle-navigation 0+-0-++++|010040123>3",
    "modular-arithmetic 1-4+4-1-2|0111241403>3",
    "modular-arithmetic-brackets (-2-(-1))|44>4",
    "reverse dgneojfgg|d,gd,ngd,engd,oengd,joengd,fjoengd,gfjoengd,ggfjoengd>ggfjoengd",
    "stack-manipulation 01a-bbbb-|010,10,110,1110,11110,111110,11110>11110.",
    "solve-equation (x-(1))=1|1041>2",
    "duplicate aababbaaa|aababbaaa>aababbaaaaababbaaa",
    "missing-duplicate 0010001?|0000110?>0",
    "odds-first aababbaaa|1a2a1b2a1b2b1a2a1a>abbaaaaba",
    "binary-addition 01+011000|000101100000>0001.",
    "binary-multiplication 01*011000|0,001,0011,0011,0011,0011>0011.",
    "square-root 001011000|0:0,01:0,010:1,0100:110,01001:111>01001",
    "bucket-sort 124142112|11,21,41,12,42,22,13,14,23>111122244",
    "s3 ssrsrrsss|213123231321213132312132312>312",
    "s5 ssrsrrsss|213451234523451324512451345132541324513254132>54132",
    "mqar b8J2m9F5a3q3p4s9o8|JmbopaqsF|J2m9b8o8p4a3q3s9F5>298843395",
    "fuzzy-recall b295bb860cba78d43c47a048bc27cb65acb492?acb|acb492>492.",
    "selective-copying gnoeggf_j|g,gn,gno,gnoe,gnoeg,gnoegg,gnoeggf,gnoeggfj>gnoeggfj",
    "induction-heads dgneojf*g**g>g",
];

#[test]
fn lengths_are_drawn_evenly() {
    for (name, options, lengths) in [
        ("parity", "length=12", (1..=12).collect::<Vec<u64>>()),
        ("parity", "shortest=7&length=12", (7..=12).collect()),
        ("modular-arithmetic", "length=12", vec![1, 3, 5, 7, 9, 11]),
        ("modular-arithmetic", "shortest=4&length=9", vec![5, 7, 9]),
        ("missing-duplicate", "shortest=3&length=11", vec![4, 6, 8, 10]),
        ("solve-equation", "length=7", vec![3, 4, 5, 6, 7]),
        ("reverse", "length=7", vec![7]),
        ("mqar", "length=5", vec![1, 2, 3, 4, 5]),
    ] {
        const DRAWN: u64 = 6000;
        let problem = problem(name, options);
        let mut counts = BTreeMap::new();
        (0..DRAWN).for_each(|index| *counts.entry(problem.worked(3, index).length).or_insert(0.0) += 1.0);
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), lengths, "{name}?{options}");
        assert_eq!(problem.lengths(), (lengths[0], lengths[lengths.len() - 1]));
        // Five standard deviations of a binomial count.
        let expected = DRAWN as f64 / lengths.len() as f64;
        let off = counts.values().map(|count: &f64| (count - expected).abs()).fold(0.0, f64::max);
        assert!(off < 5.0 * expected.sqrt(), "{name}?{options}: {counts:?}");
    }
}

/// All strings of `length` symbols.
fn strings(length: usize, symbols_at: impl Fn(usize) -> &'static str) -> Vec<String> {
    (0..length).fold(vec![String::new()], |strings, at| {
        let longer =
            |string: &String| symbols_at(at).chars().map(|symbol| format!("{string}{symbol}")).collect::<Vec<_>>();
        strings.iter().flat_map(longer).collect()
    })
}

/// What the best guess by length alone is right in, over all questions.
fn best_guess(answers: &[String]) -> f64 {
    let longest = answers.iter().map(String::len).max().unwrap();
    let (mut right, mut all) = (0, 0);
    for place in 0..longest {
        let mut counts = BTreeMap::new();
        answers
            .iter()
            .filter_map(|answer| answer.chars().nth(place))
            .for_each(|symbol| *counts.entry(symbol).or_insert(0) += 1);
        right += counts.values().max().unwrap();
        all += counts.values().sum::<i32>();
    }
    f64::from(right) / f64::from(all)
}

#[test]
fn chance_is_that_of_all_questions() {
    for (name, options, symbols, others) in [
        ("parity", "", "01", "01"),
        ("even-pairs", "", "01", "01"),
        ("cycle-navigation", "", "0+-", "0+-"),
        ("modular-arithmetic", "", "01234", "+-*"),
        ("reverse", "symbols=3&length=30", "abc", "abc"),
        ("duplicate", "symbols=3", "abc", "abc"),
        ("odds-first", "symbols=3", "abc", "abc"),
        ("bucket-sort", "symbols=3", "012", "012"),
        ("s3", "", "sr", "sr"),
        ("s5", "", "sr", "sr"),
        ("square-root", "", "01", "01"),
    ] {
        let problem = problem(name, options);
        for length in [1, 3, 5].into_iter().filter(|length| *length < 5 || symbols.len() < 5) {
            let questions = strings(length, |at| if at % 2 == 0 { symbols } else { others });
            // Numbers to take a root of are above 0.
            let asked = questions.iter().filter(|question| name != "square-root" || question.contains('1'));
            let answers: Vec<String> = asked.map(|question| oracle::answer(name, question)).collect();
            let (chance, exact) = (problem.chance(length as u64), best_guess(&answers));
            assert!((chance - exact).abs() < 0.035, "{name} of length {length}: {chance} for {exact}");
        }
    }
}

#[test]
fn chance_is_known_where_symbols_are_even() {
    for (name, length, expected) in [
        ("parity", 40, 0.5),
        ("even-pairs", 40, 0.5),
        ("cycle-navigation", 40, 0.2),
        ("solve-equation", 40, 0.2),
        ("modular-arithmetic-brackets", 40, 0.2),
        ("missing-duplicate", 40, 0.5),
        ("s5", 100, 0.2),
        ("mqar", 16, 0.1),
        ("induction-heads", 40, 1.0 / 16.0),
        ("selective-copying", 40, 1.0 / 16.0),
    ] {
        let chance = problem(name, "").chance(length);
        assert!((chance - expected).abs() < 0.03, "{name}: {chance}");
    }
}

#[test]
fn numbers_are_drawn_without_favour() {
    // Of all numbers above 0: 1 to 7.
    let mut counts = BTreeMap::new();
    for index in 0..7000 {
        let worked = problem("square-root", "shortest=3&length=3").worked(5, index);
        *counts.entry(oracle::high_first(text(&worked, 0..3))).or_insert(0) += 1;
    }
    assert!(counts.keys().copied().eq(1..=7) && counts.values().all(|count| (840..1160).contains(count)), "{counts:?}");
}

/// The examples of the documents.
#[test]
fn examples_are_right() {
    for (name, text) in [
        ("even-pairs", "0110|0110>0"),
        ("parity", "0110|0100>0"),
        ("cycle-navigation", "+0-+|1101>1"),
        ("modular-arithmetic", "1+2*3|011211>2"),
        ("modular-arithmetic-brackets", "((2-4)+(-3))|320>0"),
        ("solve-equation", "(3-(x+1))=4|1124>3"),
        ("reverse", "abca|a,ba,cba,acba>acba"),
        ("stack-manipulation", "011b--|1110,110,10>10."),
        ("duplicate", "abb|abb>abbabb"),
        ("missing-duplicate", "0110?110|0?111100>0"),
        ("odds-first", "aabba|1a2a1b2b1a>abaab"),
        ("binary-addition", "101+11|010101>0001."),
        ("binary-multiplication", "11*101|11,11,1111>1111."),
        ("square-root", "100101|1:1,11:0,110:1>110"),
        ("bucket-sort", "31013|31,11,01,12,32>01133"),
        ("s3", "srr|213132321>321"),
        ("fuzzy-recall", "ab31c7da402?c|c7>7."),
        ("selective-copying", "_a__cb_|a,ac,acb>acb"),
    ] {
        let (question, rest) = text.split_once('|').unwrap();
        let row = ROWS.iter().find(|row| row.name == name).unwrap();
        let Solution { working, answer } = (row.solve)(question.as_bytes());
        let solved = [&working[..], b">", &answer].concat();
        assert_eq!(String::from_utf8(solved).unwrap(), rest, "{name}: {question}");
        assert!(
            include_str!("../../../../../docs/data.md").contains(&text.replace('|', "\\|")),
            "{text} is not in docs/data.md"
        );
    }
}
