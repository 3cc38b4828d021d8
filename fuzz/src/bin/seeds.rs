//! Writes the seeds of the corpora: valid files, as small as they get.

use std::fs;
use std::path::Path;

use percept_data::Tokenizer;
use percept_model::Session;

fn seed(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

/// A World vocabulary: the bytes and two more tokens.
fn world() -> String {
    let bytes = (0..=u8::MAX).map(|byte| format!("{} b'\\x{byte:02x}' 1\n", u32::from(byte) + 1));
    bytes.chain(["257 'the' 3\n258 '\\u65e5' 3\n".to_string()]).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut session = Session::new(percept_fuzz::model());
    seed("state", "empty", &session.to_bytes()?)?;
    session.feed(&[256, 1, 2, 3, 4, 5])?;
    seed("state", "six-tokens", &session.to_bytes()?)?;
    // In tensors, and as it is decoded.
    let mut long = Session::new(percept_fuzz::model());
    long.feed(&[7; 40])?;
    seed("upload", "long", &long.to_bytes()?)?;
    seed("upload", "decoded", &session.to_bytes()?)?;
    seed("upload", "empty", &Session::new(percept_fuzz::model()).to_bytes()?)?;
    for (index, path) in percept_fuzz::checkpoint_files().into_iter().enumerate() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        seed("checkpoint", &name, &[vec![u8::try_from(index)?], fs::read(&path)?].concat())?;
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tokenizer.json");
    Tokenizer::bytes().save(&path)?;
    seed("tokenizer", "bytes", &fs::read(&path)?)?;
    Tokenizer::train_bpe(["the cat sat on the mat"; 9].into_iter(), 262)?.save(&path)?;
    seed("tokenizer", "bpe", &fs::read(&path)?)?;
    seed("tokenizer", "world", world().as_bytes())?;
    seed("jsonl", "two", b"{\"text\": \"one\"}\n\n{\"id\": 7, \"text\": \"na\\u00efve\\n\"}\n")?;
    for (name, body) in COMPLETIONS {
        seed("completion", name, body.as_bytes())?;
    }
    for (name, request) in REQUESTS {
        seed("request", name, request.as_bytes())?;
    }
    Ok(())
}

/// Every field that a completion takes, and the other forms of a prompt.
const COMPLETIONS: [(&str, &str); 4] = [
    (
        "all",
        r#"{"model":"small","prompt":"na\u00efve","max_tokens":3,"temperature":0.7,"top_p":0.9,"top_k":20,"min_p":0.01,"seed":7,"stop":["x","yz"],"logprobs":2,"echo":true,"logit_bias":{"97":-1.5},"n":1,"best_of":1,"user":"u"}"#,
    ),
    ("keep", r#"{"prompt":"a","max_tokens":2,"keep_state":true}"#),
    ("ids", r#"{"prompt":[[110,195],[256,97]],"max_tokens":2,"stop":"q"}"#),
    ("stream", r#"{"prompt":["a","b"],"max_tokens":2,"stream":true,"stream_options":{"include_usage":true}}"#),
];

/// Requests with their heads.
const REQUESTS: [(&str, &str); 7] = [
    (
        "make-state",
        "POST /v1/states HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{\"prompt\":\"a\",\"name\":\"n\",\"pinned\":false}",
    ),
    (
        "fork-state",
        "POST /v1/states/state-0000000000000000000000/fork HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"name\":\"m\"}",
    ),
    (
        "delete-state",
        "DELETE /v1/states/state-0000000000000000000000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ),
    ("list-states", "GET /v1/states?limit=2&model=small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    (
        "models",
        "GET /v1/models/small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer abc\r\n\r\n",
    ),
    (
        "tokenize",
        "POST /v1/tokenize HTTP/1.1\r\nHost: 127.0.0.1:80\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 14\r\n\r\n{\"text\":\"n\u{e9}\"}",
    ),
    (
        "chunked",
        "POST /v1/detokenize HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"tokens\":[110]}\r\n0\r\n\r\n",
    ),
];
