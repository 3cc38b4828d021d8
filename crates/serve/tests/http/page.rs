//! The page at `/`: what browsers are told of its files. What it does is tried in a browser (tests/clients/page.py).

use std::path::Path;

use percept_serve::{Access, Limits, Tokens};

use crate::support::{Answer, Running};

/// Its files as they lie in the source: address, type, content.
fn files() -> Vec<(String, &'static str, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.map(|path| file(&path)).collect();
    files.sort();
    files
}

fn file(path: &Path) -> (String, &'static str, String) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let kind = match path.extension().unwrap().to_str().unwrap() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        other => panic!("what is {other}?"),
    };
    let address = if name == "index.html" { "/".to_owned() } else { format!("/page/{name}") };
    (address, kind, std::fs::read_to_string(path).unwrap())
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// What each answer says of a file, sent or not.
fn assert_guarded(answer: &Answer, path: &str) {
    let policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";
    for (name, value) in [
        ("content-security-policy", policy),
        ("cache-control", "no-cache"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(header(answer, name), Some(value), "{path}");
    }
}

#[test]
fn every_file_of_the_page_is_served_to_anybody_and_nothing_else_is() {
    let tokens = Access::Tokens(Tokens::of_lines("a-token-of-the-tests", "test").unwrap());
    let server = Running::with(Limits::default(), tokens, &["tiny"]);
    assert!(files().len() > 10);
    for (path, kind, content) in files() {
        let answer = server.get(&path);
        assert_eq!((answer.status, header(&answer, "content-type")), (200, Some(kind)), "{path}");
        assert_eq!(answer.body, content, "{path}");
        assert_guarded(&answer, &path);
        let head = server.open(&format!("HEAD {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")).answer();
        assert_eq!((head.status, head.body.as_str(), header(&head, "content-type")), (200, "", Some(kind)), "{path}");
        assert_eq!(header(&head, "content-length"), Some(content.len().to_string().as_str()), "{path}");
        assert_guarded(&head, &path);
        assert_eq!(server.post(&path, "{}").status, 405, "{path}");
    }
    for path in ["/v1/models", "/page/none.js", "/page", "/metrics"] {
        assert_eq!(server.get(path).status, 401, "{path}");
    }
}

#[test]
fn beside_the_files_of_the_page_there_is_nothing() {
    let server = Running::start(Limits::default());
    for path in [
        "/page",
        "/page/",
        "/index.html",
        "/page/index.html",
        "/page/main.js/",
        "/page/../Cargo.toml",
        "/page/%2e%2e/Cargo.toml",
        "/page//main.js",
        "/main.js",
        "/favicon.ico",
        "/page/MAIN.js",
        "/page/main.js%00",
    ] {
        let answer = server.get(path);
        assert_eq!((answer.status, header(&answer, "content-type")), (404, Some("application/json")), "{path}");
    }
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
    for tags in [tag.to_owned(), format!("W/{tag}"), format!("\"another\", {tag}"), "*".to_owned()] {
        let known = again(&tags);
        assert_eq!((known.status, known.body.as_str(), header(&known, "etag")), (304, "", Some(tag)), "{tags}");
        assert_guarded(&known, "/page/main.js");
    }
    let other = again("\"another\"");
    assert_eq!((other.status, &other.body), (200, &first.body));
    assert_ne!(header(&server.get("/page/api.js"), "etag"), Some(tag));
}

/// What stands between `before` and `after`, each time.
fn between<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
}

#[test]
fn the_page_names_its_own_files_and_nobody_else() {
    let files = files();
    let mut named = Vec::new();
    for (path, kind, content) in &files {
        // A style or script within the document would be against the policy.
        for foreign in ["http:", "https:", "\"//", "'//", "url(", "@import", "<style", " style=", " onclick", "eval("] {
            let is_namespace = foreign == "http:" && *kind == "image/svg+xml";
            assert!(is_namespace || !content.contains(foreign), "{path}: {foreign}");
        }
        named.extend(between(content, "\"page/", '"'));
        named.extend(between(content, "from './", '\''));
    }
    // All that is named is there, and all that is there is named.
    let have: Vec<&str> = files.iter().filter_map(|(path, ..)| path.strip_prefix("/page/")).collect();
    named.sort_unstable();
    named.dedup();
    assert_eq!(named, have);
}
