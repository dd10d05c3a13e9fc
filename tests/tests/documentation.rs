//! Runs the SQL of the documents that people copy from, in order, and compares what they say a statement returns
//! (`-- → value` below it) with what it does return.

use std::path::Path;

use volguard_tests::PrivateServer;

/// One statement and the value that the document promises.
#[derive(Debug, PartialEq)]
struct Example {
    sql: String,
    promised: Option<String>,
}

/// The documents, and how many statements each has at least.
const DOCUMENTS: [(&str, usize); 8] = [
    ("README.md", 10),
    ("docs/conditional-update.md", 25),
    ("docs/acquire-all.md", 8),
    ("docs/claim-cleanup.md", 24),
    ("docs/crash-recovery.md", 16),
    ("docs/work.md", 15),
    ("docs/event-log.md", 9),
    ("docs/dump-and-restore.md", 2),
];

#[test]
fn documents_do_what_they_say() {
    let server = PrivateServer::start().expect("a private server");
    for (at, (document, at_least)) in DOCUMENTS.into_iter().enumerate() {
        let database = format!("document_{at}");
        server
            .psql_in("postgres", &format!("CREATE DATABASE {database}"))
            .expect("a database without the extension");
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(document);
        let examples = examples(&std::fs::read_to_string(path).expect(document));
        assert!(
            examples.len() > at_least,
            "{document} has lost its SQL: {}",
            examples.len()
        );
        for example in examples {
            let returned = server
                .psql_in(&database, &example.sql)
                .unwrap_or_else(|error| panic!("{document}: {}\n{error}", example.sql));
            if let Some(promised) = example.promised {
                assert_eq!(
                    as_written(&returned),
                    promised,
                    "{document}: {}",
                    example.sql
                );
            }
        }
    }
}

/// psql's bare output in the words of the document.
fn as_written(output: &str) -> String {
    match output.trim_end() {
        "" => "NULL".to_owned(),
        "t" => "true".to_owned(),
        "f" => "false".to_owned(),
        other => other.to_owned(),
    }
}

/// The statements of the ` ```sql ` blocks; each ends with a line whose last character, but for a comment, is a semicolon.
fn examples(markdown: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut in_sql = false;
    let mut statement = String::new();
    for line in markdown.lines() {
        match line {
            "```sql" => in_sql = true,
            "```" => in_sql = false,
            _ if !in_sql => {}
            _ => {
                if let Some(promised) = line.strip_prefix("-- → ") {
                    examples.last_mut().expect("a statement above").promised =
                        Some(promised.to_owned());
                    continue;
                }
                statement.push_str(line);
                statement.push('\n');
                let code = line.split("--").next().unwrap_or_default().trim_end();
                if code.ends_with(';') {
                    examples.push(Example {
                        sql: std::mem::take(&mut statement),
                        promised: None,
                    });
                }
            }
        }
    }
    assert!(
        statement.trim().is_empty(),
        "a statement without its end: {statement}"
    );
    examples
}

#[test]
fn statements_and_promises_are_told_apart() {
    let markdown = "text\n```sql\nSELECT 1,\n  2;  -- note\n-- → 1|2\nSELECT 3;\n```\n```rust\nlet x = 1;\n```\n";
    let expected = [
        Example {
            sql: "SELECT 1,\n  2;  -- note\n".to_owned(),
            promised: Some("1|2".to_owned()),
        },
        Example {
            sql: "SELECT 3;\n".to_owned(),
            promised: None,
        },
    ];
    assert_eq!(examples(markdown), expected);
}
