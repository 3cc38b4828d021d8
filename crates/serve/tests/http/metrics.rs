//! The values of metrics.

use percept_serve::Limits;

use crate::support::Running;

#[test]
fn metrics_count_what_was_done() {
    let server = Running::start(Limits::default());
    server.complete(r#"{"prompt":"abc","max_tokens":5,"seed":1}"#);
    server.complete(r#"{"prompt":["a","b"],"max_tokens":0}"#);
    assert_eq!(server.get("/v1/nothing").status, 404);
    for line in [
        // With a document token each.
        r#"percept_prompt_tokens_total{model="tiny"} 8"#,
        r#"percept_completion_tokens_total{model="tiny"} 5"#,
        r#"percept_texts_ended_total{model="tiny"} 3"#,
        r#"percept_texts_active{model="tiny"} 0"#,
        r#"percept_texts_waiting{model="tiny"} 0"#,
        r#"percept_first_token_seconds_count{model="tiny"} 1"#,
        r#"percept_answers_total{status="4xx"} 1"#,
        r#"percept_answers_total{status="5xx"} 0"#,
    ] {
        server.wait_for(line);
    }
    let text = server.get("/metrics").body;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("{model=\"tiny\"} "));
        line.unwrap_or_else(|| panic!("{name}: {text}")).parse::<f64>().unwrap()
    };
    assert!(value("percept_first_token_seconds_sum") > 0.0);
    assert!(value("percept_round_seconds_count") >= 5.0 && value("percept_round_seconds_sum") > 0.0);
    let mut first = server.posting("/v1/completions", r#"{"max_tokens":60000,"stream":true,"logprobs":20}"#, "");
    assert!(first.event().is_some());
    server.wait_for(r#"percept_texts_active{model="tiny"} 1"#);
}
