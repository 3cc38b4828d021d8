//! The page in headless Chromium, where there is one: no console message, no request, labels that can be read, tables that sort.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use percept_chart::escape;
use percept_compare::report::html;
use serde_json::Value;

use crate::fixture::full;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const PATIENCE: Duration = Duration::from_secs(120);

/// What is measured in the page; the last expression of a probe is its result.
const MEASURE: &str = "
const table = document.querySelector('#summary table');
const column = name => [...table.tHead.rows[0].cells].findIndex(head => head.textContent.startsWith(name));
const names = () => [...table.tBodies[0].rows].map(row => (row.cells[0].querySelector('b, i')).textContent);
const sort = name => { table.tHead.rows[0].cells[column(name)].querySelector('button').click(); return names(); };
const box = text => text.getBoundingClientRect();
const outside = [], covered = [];
for (const chart of document.querySelectorAll('figure .chart')) {
  const frame = box(chart);
  const texts = [...chart.querySelectorAll('text')];
  for (const text of texts) {
    const own = box(text);
    if (own.left < frame.left - 1 || own.right > frame.right + 1 || own.top < frame.top - 1 || own.bottom > frame.bottom + 1) outside.push(text.textContent);
  }
  const ticks = texts.filter(text => text.classList.contains('tick'));
  ticks.forEach((a, i) => ticks.slice(0, i).forEach(b => {
    const [p, q] = [box(a), box(b)];
    if (p.left < q.right && q.left < p.right && p.top + 3 < q.bottom && q.top + 3 < p.bottom) covered.push(a.textContent + ' and ' + b.textContent);
  }));
}
const hits = document.querySelectorAll('figure .hit').length;
const first = document.querySelector('figure .hit');
first.scrollIntoView({ block: 'center', behavior: 'instant' });
const at = box(first);
first.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, clientX: at.left + 2, clientY: at.top + 2 }));
const shown = document.querySelector('#tip').textContent;
const result = {
  before: names(), up: sort('Test'), down: sort('Test'), arrow: table.querySelector('[aria-sort]').getAttribute('aria-sort'), text: sort('Model'),
  speed: sort('Targets/s'), state: sort('State at 1M'), outside, covered, hits, shown, charts: document.querySelectorAll('figure .chart').length,
  paper: getComputedStyle(document.querySelector('section')).backgroundColor, ink: getComputedStyle(document.body).color,
  line: getComputedStyle(document.querySelector('.chart .s0')).color, chartText: getComputedStyle(document.querySelector('figure .title')).fill,
  requests: performance.getEntriesByType('resource').map(entry => entry.name), width: document.documentElement.scrollWidth - innerWidth,
};
";

struct Browser {
    program: &'static str,
}

impl Browser {
    fn find() -> Option<Self> {
        let runs =
            |name: &&&str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
        let found = NAMES.iter().find(runs).map(|program| Self { program });
        if found.is_none() {
            eprintln!(
                "SKIPPED: none of {} is installed, so the report is not looked at in a browser",
                NAMES.join(", ")
            );
        }
        found
    }

    /// The page after its scripts have run, and what the console said.
    fn open(&self, page: &str, flags: &[&str]) -> (String, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("page.html");
        fs::write(&file, page).unwrap();
        let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
        let mut command = Command::new(self.program);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ]);
        command.args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--window-size=1280,900",
        ]);
        command.args(["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--dump-dom", &profile]);
        command.args(flags).arg(format!("file://{}", file.display()));
        let (dom, log) = run(command, folder.path());
        let console = log.lines().filter(|line| line.contains("CONSOLE")).map(String::from).collect();
        (dom, console)
    }

    /// Runs a probe in the page and gives its result.
    fn probe(&self, page: &str, probe: &str, flags: &[&str]) -> (Value, Vec<String>) {
        let script = format!(
            "<script>{{{probe} const out = document.createElement('pre'); out.id = 'probe'; out.textContent = JSON.stringify(result); \
             document.body.append(out);}}</script></body>"
        );
        let (dom, console) = self.open(&page.replace("</body>", &script), flags);
        let json =
            dom.rsplit_once("<pre id=\"probe\">").and_then(|(_, rest)| rest.split_once("</pre>")).map(|(json, _)| json);
        let json = json
            .unwrap_or_else(|| panic!("the probe did not run: {console:?}"))
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        (serde_json::from_str(&json).unwrap(), console)
    }
}

/// Runs a command to its end, with its output in files: a full pipe would block it.
fn run(mut command: Command, folder: &Path) -> (String, String) {
    let (out, log) = (folder.join("out"), folder.join("log"));
    command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&log).unwrap()).stdin(Stdio::null());
    let mut child = command.spawn().unwrap();
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the browser did not end: {}", fs::read_to_string(&log).unwrap_or_default());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let text = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    (text(out), text(log))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn the_page_works_in_light_and_dark() {
    let Some(browser) = Browser::find() else { return };
    let page = html(&full());
    let (light, console) = browser.probe(&page, MEASURE, &["--blink-settings=preferredColorScheme=1"]);
    assert_eq!(console, [""; 0]);
    assert_eq!(
        (texts(&light["requests"]), texts(&light["outside"]), texts(&light["covered"])),
        (vec![], vec![], vec![])
    );
    assert!(light["charts"].as_u64() >= Some(26) && light["hits"].as_u64() > Some(500), "{light}");
    assert_eq!(light["width"], 0, "the page is wider than the window");

    let up = texts(&light["up"]);
    assert_eq!(
        (texts(&light["before"])[0], up[0], up[1], up[9]),
        ("hybrid 5:1", "order-5 bytes", "hybrid 5:1", "v3 (compressed history)")
    );
    assert_eq!((texts(&light["down"])[0], light["arrow"].as_str()), ("v3 (compressed history)", Some("descending")));
    assert_eq!(texts(&light["text"])[..2], ["hybrid 5:1", "llp"]);
    // Without a value a row stays at the end.
    let speed = texts(&light["speed"]);
    assert_eq!((speed[0], &speed[8..]), ("v2", &["order-2 bytes", "order-5 bytes"][..]));
    // Numbers sort as numbers: 1.41 MiB, 2.2 MiB, ..., 97 MiB, 570 MiB.
    assert_eq!(texts(&light["state"])[..2], ["llp", "v3 (compressed history)"]);
    assert!(light["shown"].as_str().unwrap().contains("bits per byte: "), "{light}");

    let (dark, console) = browser.probe(&page, MEASURE, &["--blink-settings=preferredColorScheme=0"]);
    assert_eq!(console, [""; 0]);
    for (theme, paper, ink) in
        [(&light, "rgb(255, 255, 255)", "rgb(26, 28, 32)"), (&dark, "rgb(22, 24, 29)", "rgb(236, 238, 242)")]
    {
        assert_eq!(
            (theme["paper"].as_str(), theme["ink"].as_str(), theme["chartText"].as_str()),
            (Some(paper), Some(ink), Some(ink))
        );
    }
    assert_ne!(light["line"], dark["line"]);
}

#[test]
fn a_phone_scrolls_only_down() {
    let Some(browser) = Browser::find() else { return };
    // A window of a browser has a least width: a frame has none.
    let page = format!(
        "<!doctype html><html><body style=\"margin:0\"><iframe style=\"width:390px;height:800px;border:0\" srcdoc=\"{}\"></iframe></body></html>",
        escape(&html(&full()))
    );
    let probe = "const result = {};
        document.querySelector('iframe').addEventListener('load', event => {
          const page = event.target.contentDocument;
          const wide = [...page.querySelectorAll('figure .chart, p, dl, h1, blockquote, .scroll')].filter(part => part.getBoundingClientRect().right > 390.5);
          const size = parseFloat(getComputedStyle(page.querySelector('figure text')).fontSize) * page.querySelector('figure .chart').getScreenCTM().a;
          document.querySelector('#probe').textContent = JSON.stringify({ width: page.documentElement.scrollWidth, wide: wide.map(part => part.outerHTML.slice(0, 80)), size });
        });";
    let (found, console) = browser.probe(&page, probe, &[]);
    assert_eq!(console, [""; 0]);
    assert_eq!((found["width"].as_u64(), texts(&found["wide"])), (Some(390), vec![]));
    assert!(found["size"].as_f64() > Some(9.5), "labels of {} pixels", found["size"]);
}

#[test]
fn a_request_or_an_error_would_be_seen() {
    let Some(browser) = Browser::find() else { return };
    let page = html(&full()).replace("</main>", "</main><img src=\"http://example.invalid/x.png\">");
    assert!(!browser.open(&page, &[]).1.is_empty());
    let page = html(&full()).replace("</main>", "</main><script>nowhere();</script>");
    assert!(!browser.open(&page, &[]).1.is_empty());
}
