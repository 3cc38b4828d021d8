//! The page at `/`: what browsers are told of its files. What it does is tried in a browser (tests/browser).

use percept_serve::{Access, Limits, Tokens};

use crate::support::{Answer, Running};

const FILES: [(&str, &str); 4] = [
    ("/", "text/html; charset=utf-8"),
    ("/page/main.js", "text/javascript; charset=utf-8"),
    ("/page/base.css", "text/css; charset=utf-8"),
    ("/page/icon.svg", "image/svg+xml"),
];

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn the_page_needs_no_token_and_what_it_asks_for_does() {
    let tokens = Access::Tokens(Tokens::of_lines("a-token-of-the-tests", "test").unwrap());
    let server = Running::with(Limits::default(), tokens, &["tiny"]);
    for (path, kind) in FILES {
        let answer = server.get(path);
        assert_eq!((answer.status, header(&answer, "content-type")), (200, Some(kind)), "{path}");
        let policy = header(&answer, "content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(header(&answer, "x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(server.get("/v1/models").status, 401);
    assert_eq!(server.get("/page/none.js").status, 401);
    assert_eq!(server.post("/page/main.js", "{}").status, 405);
}

#[test]
fn a_file_that_the_browser_has_is_not_sent_again() {
    let server = Running::start(Limits::default());
    let again = |tags: &str| {
        let request = format!("GET /page/main.js HTTP/1.0\r\nHost: localhost\r\nIf-None-Match: {tags}\r\n\r\n");
        server.open(&request).answer()
    };
    let first = server.get("/page/main.js");
    let tag = header(&first, "etag").unwrap();
    assert_eq!(header(&first, "cache-control"), Some("no-cache"));
    for tags in [tag.to_owned(), format!("W/{tag}"), format!("\"another\", {tag}"), "*".to_owned()] {
        let known = again(&tags);
        assert_eq!((known.status, known.body.as_str(), header(&known, "etag")), (304, "", Some(tag)), "{tags}");
        assert!(header(&known, "content-security-policy").is_some());
    }
    let other = again("\"another\"");
    assert_eq!((other.status, other.body), (200, first.body));
    assert_ne!(header(&server.get("/page/api.js"), "etag"), Some(tag));
}

#[test]
fn the_page_asks_nobody_but_this_server() {
    let server = Running::start(Limits::default());
    let document = server.get("/").body;
    assert!(!document.contains("<style") && !document.contains("style=") && !document.contains("onclick"));
    let names = |text: &str, before: &str, after: char| -> Vec<String> {
        text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).map(str::to_owned).collect()
    };
    // All that the document and its scripts name is there.
    let mut scripts = Vec::new();
    for path in names(&document, "\"page/", '"') {
        let file = server.get(&format!("/page/{path}"));
        assert_eq!(file.status, 200, "{path}");
        if path.ends_with(".js") {
            scripts.push(path);
        }
    }
    let mut at = 0;
    while let Some(path) = scripts.get(at).cloned() {
        let script = server.get(&format!("/page/{path}"));
        assert_eq!(script.status, 200, "{path}");
        assert!(!script.body.contains("http:") && !script.body.contains("https:"), "{path}");
        for named in names(&script.body, "from './", '\'') {
            if !scripts.contains(&named) {
                scripts.push(named);
            }
        }
        at += 1;
    }
    assert!(scripts.len() > 10, "{scripts:?}");
}
