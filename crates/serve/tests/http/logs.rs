//! What the log shows of what clients write: nothing, unless that was asked for.

use percept_serve::Limits;

use crate::support::Running;

#[test]
fn prompts_are_logged_where_that_was_asked_for_and_as_far() {
    let server = Running::start(Limits { logged: 4, ..Limits::default() });
    server.complete(r#"{"prompt":"Größe zählt","max_tokens":1}"#);
    server.post("/v1/completions", r#"{"prompt":[[97,98],[]],"max_tokens":1,"stream":true}"#);
    assert_eq!(server.post("/v1/completions", r#"{"prompt":"refused","max_tokens":-1}"#).status, 400);
    server.open("BREW /v1/models HTTP/1.0\r\n\r\n").answer();
    // A client's own word.
    assert_eq!(server.logged(4)[3].method, "-");
    let ids: std::collections::BTreeSet<String> = server.logged(4).into_iter().map(|line| line.request).collect();
    assert_eq!(ids.len(), 4);
    let prompts: Vec<Vec<String>> = server.logged(3).into_iter().take(3).map(|line| line.prompts).collect();
    assert_eq!(prompts, [vec!["Größ".to_owned()], vec!["ab".to_owned(), String::new()], vec![]]);
    let quiet = Running::start(Limits::default());
    quiet.complete(r#"{"prompt":"secret","max_tokens":1}"#);
    assert!(!format!("{:?}", quiet.logged(1)).contains("secret"));
}
