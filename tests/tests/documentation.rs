//! Runs the SQL of the documents that people copy from, in order, and compares what they say a statement returns
//! (`-- → value` below it) with what it does return. A document is one session of `psql`, as for its reader.

use std::path::Path;

use volguard_tests::PrivateServer;

/// The documents, and how many statements each has at least.
const DOCUMENTS: [(&str, usize); 21] = [
    ("README.md", 15),
    ("docs/conditional-update.md", 25),
    ("docs/acquire-all.md", 8),
    ("docs/claim-cleanup.md", 24),
    ("docs/crash-recovery.md", 16),
    ("docs/work.md", 15),
    ("docs/work-distribution.md", 30),
    ("docs/write-a-client.md", 15),
    ("docs/event-log.md", 9),
    ("docs/transactions-and-poolers.md", 10),
    ("docs/dump-and-restore.md", 2),
    ("docs/operations.md", 60),
    ("docs/openstack.md", 6),
    ("docs/replication.md", 7),
    ("docs/high-availability.md", 5),
    ("docs/reference/services.md", 12),
    ("docs/reference/locks.md", 22),
    ("docs/reference/updates.md", 13),
    ("docs/reference/work-distribution.md", 8),
    ("docs/reference/cleanup.md", 18),
    ("docs/reference/views.md", 7),
];

/// The text in the output after a statement's rows.
const MARK: &str = "end of statement";

/// A document as a script for `psql`, whose lines have the numbers that
/// they have in the document, and the expected result of each statement.
#[derive(Debug, PartialEq)]
struct Script {
    text: String,
    statements: Vec<Statement>,
}

#[derive(Debug, PartialEq)]
struct Statement {
    /// Where it ends.
    line: usize,
    promised: Option<String>,
}

#[test]
fn documents_do_what_they_say() {
    let server = PrivateServer::start().expect("a private server");
    for (at, (document, at_least)) in DOCUMENTS.into_iter().enumerate() {
        let database = format!("document_{at}");
        server.psql_in("postgres", &format!("CREATE DATABASE {database}")).expect("a database without the extension");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(document);
        let script = script(&std::fs::read_to_string(path).expect(document));
        let count = script.statements.len();
        assert!(count > at_least, "{document} has lost its SQL: {count}");
        let output = server.psql_script(&database, &script.text).unwrap_or_else(|error| panic!("{document}: {error}"));
        let returned: Vec<&str> = output.split(MARK).collect();
        assert_eq!(returned.len(), count + 1, "{document}: {output}");
        for (statement, returned) in script.statements.iter().zip(returned) {
            if let Some(promised) = &statement.promised {
                let line = statement.line;
                assert_eq!(&as_written(returned), promised, "{document}:{line}");
            }
        }
    }
}

/// psql's bare output in the words of the document.
fn as_written(output: &str) -> String {
    match output.trim() {
        "" => "NULL".to_owned(),
        "t" => "true".to_owned(),
        "f" => "false".to_owned(),
        other => other.to_owned(),
    }
}

/// The statements of the ` ```sql ` blocks. Each ends with a line whose last word, except in a comment,
/// is a semicolon or a `\gset`.
fn script(markdown: &str) -> Script {
    let mut text = String::new();
    let mut statements: Vec<Statement> = Vec::new();
    let (mut in_sql, mut open) = (false, false);
    for (at, line) in markdown.lines().enumerate() {
        match line {
            "```sql" => in_sql = true,
            "```" => {
                assert!(!open, "line {}: a statement without its end", at + 1);
                in_sql = false;
            }
            _ if in_sql => {
                if let Some(promised) = line.strip_prefix("-- → ") {
                    let statement = statements.last_mut().expect("a statement above");
                    statement.promised = Some(promised.to_owned());
                } else {
                    let code = line.split("--").next().unwrap_or_default().trim_end();
                    text.push_str(code);
                    open = (open || !code.is_empty()) && !ends(code);
                    if ends(code) {
                        text.push_str(&format!(" \\echo {MARK}"));
                        statements.push(Statement { line: at + 1, promised: None });
                    }
                }
            }
            _ => {}
        }
        text.push('\n');
    }
    Script { text, statements }
}

fn ends(code: &str) -> bool {
    let last_words = code.rsplit_once("\\gset").map(|(_, prefix)| prefix.trim());
    code.ends_with(';') || last_words.is_some_and(|prefix| !prefix.contains(' '))
}

#[test]
fn statements_and_promises_are_told_apart() {
    let markdown =
        "text\n```sql\nSELECT 1,\n  2;  -- note\n-- → 1|2\nSELECT 3 AS x \\gset y_\n```\n```rust\nlet x = 1;\n```\n";
    let statement = |line, promised: Option<&str>| Statement { line, promised: promised.map(str::to_owned) };
    let expected = Script {
        text: format!("\n\nSELECT 1,\n  2; \\echo {MARK}\n\nSELECT 3 AS x \\gset y_ \\echo {MARK}\n\n\n\n\n"),
        statements: vec![statement(4, Some("1|2")), statement(6, None)],
    };
    assert_eq!(script(markdown), expected);
}

#[test]
#[should_panic(expected = "line 4: a statement without its end")]
fn a_statement_without_its_end_is_missed() {
    script("```sql\nSELECT 1;\nSELECT 2\n```\n");
}
