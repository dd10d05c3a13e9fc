//! The examples of docs/command-line.md do what it says.

use crate::support::Database;
use std::path::Path;
use std::process::Command;

/// The scripts of the manual, and what each prints as it says (`# → line`).
fn examples(manual: &str) -> Vec<(String, String)> {
    let mut examples = Vec::new();
    for block in manual.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        let promised = block.lines().filter_map(|line| line.strip_prefix("# → ")).map(|line| format!("{line}\n"));
        examples.push((block.to_owned(), promised.collect()));
    }
    examples
}

#[tokio::test]
async fn examples_do_what_they_say() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/command-line.md");
    let examples = examples(&std::fs::read_to_string(manual)?);
    assert!(examples.len() >= 5, "the manual has lost its examples: {}", examples.len());
    let program = Path::new(env!("CARGO_BIN_EXE_volguard"));
    let folder = program.parent().expect("a folder").to_str().expect("a name in UTF-8");
    for (script, promised) in examples {
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).env("PATH", format!("{folder}:{}", std::env::var("PATH")?));
        // For volguard and psql alike. The other variables of the caller name another database.
        shell.env("DATABASE_URL", database.url()).env("PGDATABASE", database.name());
        let output = tokio::task::spawn_blocking(move || shell.output()).await??;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), promised, "{script}\n{told}");
    }
    Ok(())
}
