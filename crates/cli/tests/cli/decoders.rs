//! Several tokens at a time: `percept generate --decoder`.

use crate::support::Work;

/// A run of an order-agnostic model.
fn work() -> Work {
    let work = Work::new();
    let objective = ["--set", "model.objective=order-agnostic", "--set", "model.order_agnostic.backward=4"];
    work.train(&[&["--steps", "30"][..], &objective].concat()).succeeds();
    work
}

const GENERATE: [&str; 7] = ["generate", "run", "--prompt", "The quick", "--tokens", "40", "--json"];

#[test]
fn blocks_and_drafts_are_counted_to_the_token() {
    let work = work();
    let run = |more: &[&str]| work.run(&[&GENERATE[..], more].concat()).succeeds().json();
    for more in [
        &["--decoder", "coral", "--block", "6", "--occurrences", "1"][..],
        &[
            "--decoder",
            "coral",
            "--occurrences",
            "2",
            "--verify",
            "--verify-backward",
            "4",
            "--tree-width",
            "3",
            "--epsilon",
            "0.2",
        ],
    ] {
        let text = run(more);
        let fixed: Vec<u64> = text["fixed"].as_array().unwrap().iter().map(|fixed| fixed.as_u64().unwrap()).collect();
        assert_eq!(text["tokens"], 40);
        assert_eq!((fixed.len() as u64, text["rounds"].as_u64()), (fixed.len() as u64, Some(fixed.len() as u64)));
        assert!(fixed.iter().sum::<u64>() <= 40 && text["drafted"] == 0, "{text}");
        assert_eq!(run(more)["text"], text["text"]);
    }
    let greedy = ["--temperature", "0"];
    let lossless = run(&[&greedy[..], &["--decoder", "lossless"]].concat());
    let plain = run(&greedy);
    assert_eq!(lossless["text"], plain["text"]);
    assert!(plain.get("rounds").is_none(), "{plain}");
    let number = |key: &str| lossless[key].as_u64().unwrap();
    assert_eq!(number("rounds") + number("accepted"), 40);
    assert!(number("drafted") >= number("accepted"));
    let summary =
        work.run(&["generate", "run", "--prompt", "The", "--tokens", "9", "--decoder", "lossless"]).succeeds();
    assert!(summary.stderr.contains(" drafts were accepted"), "{}", summary.stderr);
}

#[test]
fn options_of_another_decoder_are_refused() {
    let work = work();
    let refused = |more: &[&str]| work.run(&[&GENERATE[..], more].concat()).refusal();
    for (more, message) in [
        (&["--block", "4"][..], "--block is an option of --decoder coral"),
        (&["--decoder", "lossless", "--verify"], "--verify is an option of --decoder coral"),
        (&["--decoder", "coral", "--epsilon", "0.2"], "--epsilon is an option of --verify"),
        (&["--decoder", "coral", "--verify"], "verify-backward is 8, the model has learned 4"),
        (&["--decoder", "coral", "--block", "0"], "block is 0"),
        (&["--decoder", "coral", "--streams", "2"], "--streams writes texts token by token"),
    ] {
        let refusal = refused(more);
        assert!(refusal.starts_with("exit 2") && refusal.contains(message), "{refusal}");
    }
    work.train(&["--run", "plain", "--steps", "1"]).succeeds();
    let plain = work.run(&["generate", "plain", "--prompt", "x", "--decoder", "lossless"]).refusal();
    assert!(plain.starts_with("exit 2") && plain.contains("predicts the next token only"), "{plain}");
    let wrong =
        work.train(&["--run", "wrong", "--set", "model.objective=order-agnostic", "--set", "model.layers=conv"]);
    assert!(wrong.refusal().contains("cannot end with `conv`"), "{}", wrong.stderr);
}
