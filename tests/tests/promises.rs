//! The pages that name a test for each promise: the tests exist.

use std::path::{Path, PathBuf};

/// The pages, and how many tests each names at least.
const PAGES: [(&str, usize); 5] = [
    ("docs/guarantees.md", 70),
    ("docs/crash-recovery.md", 25),
    ("docs/high-availability.md", 2),
    ("docs/security.md", 20),
    ("docs/transactions-and-poolers.md", 3),
];

/// A test, or several of one file, as `[name, name](path)`; or a file, as `[anything else](path)`.
#[derive(Debug, PartialEq)]
struct Link {
    tests: Vec<String>,
    path: String,
}

#[test]
fn every_promise_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (page, at_least) in PAGES {
        let page = root.join(page);
        let text = std::fs::read_to_string(&page).expect("the page");
        let mut found = 0;
        for link in links(&text) {
            found += link.tests.len();
            must_hold(&page, &link);
        }
        assert!(found > at_least, "{}: only {found} tests", page.display());
    }
}

fn must_hold(page: &Path, link: &Link) {
    let path: PathBuf = page.with_file_name(&link.path);
    let text =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {}: {error}", page.display(), link.path));
    for test in &link.tests {
        assert!(text.contains(&format!("fn {test}(")), "{}: {} has no test {test}", page.display(), link.path);
    }
}

fn links(markdown: &str) -> Vec<Link> {
    let parts = markdown.split("](").collect::<Vec<_>>();
    let pairs = parts.windows(2).filter_map(|pair| {
        let (_, text) = pair[0].rsplit_once('[')?;
        let (path, _) = pair[1].split_once(')')?;
        let path = path.split('#').next()?.to_owned();
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let names: Vec<_> = text.split(", ").map(str::to_owned).collect();
        let tests = match path.ends_with(".rs") && names.iter().all(|name| is_name(name)) {
            true => names,
            false => Vec::new(),
        };
        Some(Link { tests, path })
    });
    pairs.collect()
}

#[test]
fn links_are_read() {
    let markdown = "| A [first, second](a/b.rs) | and [`make soak`](c.md#part), [x.sql](x.sql) |";
    let link = |tests: &[&str], path: &str| Link {
        tests: tests.iter().map(|&test| test.to_owned()).collect(),
        path: path.to_owned(),
    };
    let expected = [link(&["first", "second"], "a/b.rs"), link(&[], "c.md"), link(&[], "x.sql")];
    assert_eq!(links(markdown), expected);
}

#[test]
#[should_panic(expected = "has no test")]
fn a_test_that_is_gone_is_missed() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page.md");
    let [link] = &links("[no_such_test_anywhere](plans.rs)")[..] else {
        panic!("one link");
    };
    must_hold(&page, link);
}
