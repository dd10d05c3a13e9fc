//! The reference and the README name every function and view of the extension, as the extension declares them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use volguard_tests::PrivateServer;

/// A function, a view or a type that the extension's SQL makes.
#[derive(Debug, PartialEq)]
struct Made {
    kind: &'static str,
    name: String,
    /// The text after the kind, up to the end of what a caller sees, with single blanks.
    declared: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder, in order.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).expect("the folder");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn single_blanks(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.replace("( ", "(").replace(" )", ")")
}

fn made(sql: &str) -> Vec<Made> {
    const ENDS: [(&str, &[&str]); 4] = [
        ("FUNCTION", &[" VOLATILE", " STABLE", " IMMUTABLE"]),
        ("PROCEDURE", &[" LANGUAGE"]),
        ("VIEW", &[" AS "]),
        ("TYPE", &[";"]),
    ];
    let sql = single_blanks(sql);
    let mut made = Vec::new();
    for (kind, ends) in ENDS {
        for rest in sql.split(&format!("CREATE {kind} volguard.")).skip(1) {
            let end = ends.iter().filter_map(|end| rest.find(end)).min();
            let declared = &rest[..end.expect("an end of the declaration")];
            let name = declared.split(['(', ' ']).next().expect("a name");
            made.push(Made { kind, name: name.to_owned(), declared: format!("volguard.{declared}") });
        }
    }
    made
}

fn all_made() -> Vec<Made> {
    let all: Vec<Made> = files("sql/schema").iter().flat_map(|file| made(&text_of(file))).collect();
    assert!(all.len() > 30, "only {} are left", all.len());
    all
}

/// The sections of the reference: page, heading, text.
fn sections() -> Vec<(String, String, String)> {
    let mut sections = Vec::new();
    for file in files("docs/reference") {
        let page = format!("docs/reference/{}", file.file_name().expect("a name").display());
        for section in text_of(&file).split("\n## ").skip(1) {
            let (heading, text) = section.split_once('\n').expect("a text below a heading");
            sections.push((page.clone(), heading.to_owned(), text.to_owned()));
        }
    }
    sections
}

#[test]
fn the_reference_has_each_function_as_it_is_declared() {
    let sections = sections();
    for Made { name, declared, .. } in all_made().iter().filter(|made| ["FUNCTION", "PROCEDURE"].contains(&made.kind)) {
        let section = sections.iter().find(|(_, heading, _)| heading == name);
        let (page, _, text) = section.unwrap_or_else(|| panic!("the reference has no {name}"));
        let blocks = text.split("```text\n").skip(1).map(|block| block.split("```").next().unwrap_or_default());
        // One for each function of this name.
        let signatures: Vec<String> = blocks.map(single_blanks).collect();
        assert!(signatures.contains(declared), "{page}: {declared} is not in {signatures:?}");
        assert!(text.contains("```sql\n"), "{page}: {name} has no example");
    }
}

#[test]
fn the_reference_has_each_column_of_an_answer() {
    let server = PrivateServer::start().expect("a private server");
    let sections = sections();
    let columns = server
        .psql(
            "SELECT relname, attname, format_type(atttypid, NULL), relkind FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
             WHERE relnamespace = 'volguard'::regnamespace AND relkind IN ('c', 'v') AND attnum > 0",
        )
        .expect("the columns");
    assert!(columns.lines().count() > 50, "{columns}");
    for line in columns.lines() {
        let [of, column, column_type, kind] = line.split('|').collect::<Vec<_>>()[..] else {
            panic!("four columns: {line}");
        };
        let found = match kind {
            "v" => sections.iter().any(|(_, heading, text)| heading == of && text.contains(&format!("`{column}`"))),
            _ => sections.iter().any(|(_, _, text)| {
                text.contains(&format!("`volguard.{of}`")) && text.contains(&format!("`{column} {column_type}`"))
            }),
        };
        assert!(found, "the reference says nothing about {of}.{column} ({column_type})");
    }
}

#[test]
fn the_reference_has_nothing_that_is_gone() {
    let all = all_made();
    for (page, heading, _) in sections() {
        let made = all.iter().any(|made| made.name == heading && made.kind != "TYPE");
        assert!(made, "{page}: the extension makes no {heading}");
    }
}

#[test]
fn the_readme_links_each_function_and_view_once() {
    let readme = text_of(&root().join("README.md"));
    let index = text_of(&root().join("docs/reference.md"));
    let sections = sections();
    let all = all_made();
    let names: BTreeSet<&str> = all.iter().filter(|made| made.kind != "TYPE").map(|made| made.name.as_str()).collect();
    for name in names {
        let section = sections.iter().find(|(_, heading, _)| heading == name);
        let (page, _, _) = section.unwrap_or_else(|| panic!("the reference has no {name}"));
        let row = format!("\n| [`{name}`]({page}#{name}) | ");
        assert_eq!(readme.matches(&row).count(), 1, "a row of the README's table: {row}");
        let page = page.trim_start_matches("docs/");
        let link = format!("[{name}]({page}#{name})");
        assert!(index.contains(&link), "a link of docs/reference.md: {link}");
    }
}

#[test]
fn declarations_are_read() {
    let sql = "CREATE TABLE volguard.t (x int);\nCREATE FUNCTION volguard.f(a int,\n    b text DEFAULT '')\nRETURNS TABLE (x int)\nVOLATILE AS $$ $$;
        CREATE VIEW volguard.v AS\nSELECT 1;\nCREATE TYPE volguard.r AS (a int);";
    let of = |kind, name: &str, declared: &str| Made { kind, name: name.to_owned(), declared: declared.to_owned() };
    let expected = [
        of("FUNCTION", "f", "volguard.f(a int, b text DEFAULT '') RETURNS TABLE (x int)"),
        of("VIEW", "v", "volguard.v"),
        of("TYPE", "r", "volguard.r AS (a int)"),
    ];
    assert_eq!(made(sql), expected);
}
