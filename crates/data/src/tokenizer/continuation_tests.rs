//! Text that goes on: prompt and continuation, joined, are the text of all tokens.

use proptest::prelude::*;

use super::kinds::{all, bert, gpt2, llama, t5};
use super::*;

/// The text of `prompt` as far as it is complete, and what is shown of `rest` after it.
fn shown(tokenizer: &Tokenizer, prompt: &[u32], rest: &[u32]) -> (String, String) {
    let mut reader = tokenizer.detokenizer();
    let before = prompt.iter().map(|&id| reader.push(id)).collect();
    let mut detokenizer = tokenizer.detokenizer_after(prompt);
    let mut after: String = rest.iter().map(|&id| detokenizer.push(id)).collect();
    after += &detokenizer.finish();
    (before, after)
}

#[test]
fn prompt_and_continuation_are_the_text_of_all_tokens() {
    for (name, tokenizer) in all() {
        proptest!(ProptestConfig::with_cases(300), |(
            text in "(the|cat|sat|mat|[a-z]{1,4}|[ ]{1,2}|[.,!#']|é|日本|🙂|e\u{301}|\n){0,12}", at in 0_usize..40,
        )| {
            let tokens = tokenizer.encode(text.as_bytes()).unwrap();
            let (prompt, rest) = tokens.split_at(at.min(tokens.len()));
            let (before, after) = shown(&tokenizer, prompt, rest);
            let whole = String::from_utf8_lossy(&tokenizer.decode(&tokens)).into_owned();
            prop_assert_eq!(format!("{before}{after}"), whole, "{} {:?} + {:?}", name, prompt, rest);
            // All that was shown, however long it is, or its end: the same.
            let recent = &prompt[prompt.len().saturating_sub(16)..];
            prop_assert_eq!(&shown(&tokenizer, recent, rest).1, &after);
            let bytes = [tokenizer.decode_after(&[], prompt), tokenizer.decode_after(prompt, rest)].concat();
            prop_assert_eq!(bytes, tokenizer.decode(&tokens), "{} bytes", name);
        });
    }
}

#[test]
fn the_first_word_keeps_its_blank() {
    for (tokenizer, blank) in [(llama(), " sat"), (t5(), " sat"), (bert(), " sat"), (gpt2(), " sat")] {
        let tokens = tokenizer.encode(b"the cat sat").unwrap();
        let (prompt, rest) = tokens.split_at(tokens.len() - 1);
        assert_eq!(shown(&tokenizer, prompt, rest), ("the cat".into(), blank.into()));
    }
    let bert = bert();
    let tokens = bert.encode(b"the cats").unwrap();
    assert_eq!(shown(&bert, &tokens[..2], &tokens[2..]), ("the cat".into(), "s".into()), "no ## shows");
}

#[test]
fn no_mark_of_a_piece_shows_at_the_start_of_a_text() {
    let bert = bert();
    let cats = bert.encode(b"cats").unwrap();
    let (cat, s, document) = (cats[0], cats[1], bert.document_token());
    for prompt in [vec![], vec![document], vec![cat, document]] {
        assert_eq!(shown(&bert, &prompt, &[s, s, cat, s]).1, "ss cats", "after {prompt:?}");
        assert_eq!(shown(&bert, &prompt, &[document, s]).1, "s");
    }
    assert_eq!((bert.decode(&[document, s, cat]), bert.decode_after(&[], &[s])), (b"s cat".to_vec(), b"s".to_vec()));
    let signs = bert.encode(b"##s").unwrap();
    assert_eq!(shown(&bert, &[], &signs).1, "# # s", "the mark itself is text");
}

#[test]
fn a_token_without_text_is_no_start_of_a_text() {
    for tokenizer in [llama(), t5(), bert()] {
        let [the, cat] = [b"the".as_slice(), b"cat"].map(|word| tokenizer.encode(word).unwrap()[0]);
        // The second token of each is special, and is no document token.
        let id = if tokenizer.document_token() == 1 { 2 } else { 1 };
        for (prompt, rest) in [(vec![the, id, id], vec![cat]), (vec![the], vec![id, cat]), (vec![], vec![the, id, cat])]
        {
            let (before, after) = shown(&tokenizer, &prompt, &rest);
            assert_eq!(format!("{before}{after}"), "the cat");
        }
        // After a document token a new text begins.
        let document = tokenizer.document_token();
        assert_eq!(shown(&tokenizer, &[the, document], &[cat]).1, "cat");
    }
}

#[test]
fn bytes_that_never_become_a_character_take_nothing_with_them() {
    let llama = llama();
    let tokens = llama.encode("the é".as_bytes()).unwrap();
    let (half, cat) = (tokens[tokens.len() - 2], llama.encode(b"cat").unwrap()[0]);
    let all = [&tokens[..], &[half, cat]].concat();
    for at in 0..=all.len() {
        let (before, after) = shown(&llama, &all[..at], &all[at..]);
        assert_eq!(format!("{before}{after}"), "the é\u{fffd} cat", "cut at {at}");
    }
}

#[test]
fn a_character_that_the_prompt_begins_is_shown_whole() {
    for tokenizer in [Tokenizer::bytes(), gpt2(), llama()] {
        let tokens = tokenizer.encode("the 🙂".as_bytes()).unwrap();
        let (prompt, rest) = tokens.split_at(tokens.len() - 2);
        assert_eq!(shown(&tokenizer, prompt, rest), ("the ".into(), "🙂".into()));
    }
}
