//! All that an extension has in a database, as text that two databases can be compared by.

use std::fs;

use volguard_tests::PrivateServer;

/// What pg_dump does not write of an extension, and what makes it write the rest: as objects that belong to none. Their
/// privileges are then written whole, and not only what differs from those that the script has given.
const FACTS: &str = "
    SELECT 'relocatable: ' || extrelocatable || ', schema: ' || extnamespace::regnamespace
    FROM pg_extension WHERE extname = 'volguard';
    SELECT 'member: ' || pg_describe_object(classid, objid, objsubid)
    FROM pg_depend WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'volguard')
    ORDER BY 1;
    SELECT 'dumped: ' || config.table_oid::regclass || ' ' || config.condition
    FROM pg_extension, unnest(extconfig, extcondition) AS config (table_oid, condition)
    WHERE extname = 'volguard' ORDER BY 1;
    SET allow_system_table_mods = on;
    DELETE FROM pg_depend
    WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'volguard');
    DELETE FROM pg_init_privs;
";

/// Everything that the extension has in the database, which is of no use afterwards.
pub fn dump(server: &PrivateServer, database: &str) -> anyhow::Result<String> {
    let facts = server.psql_script(database, FACTS)?;
    let file = server.dump(database, &["--format=plain", "--schema-only", "--schema=volguard"])?;
    let objects = fs::read_to_string(file)?;
    // Random words, against what a hostile server may write.
    let lines = objects.lines().filter(|line| !line.contains("restrict "));
    Ok(lines.fold(facts + "\n", |dump, line| dump + line + "\n"))
}

/// The lines that only one of two dumps has, in order: `-` of the first, `+` of the second.
pub fn difference(one: &str, other: &str) -> String {
    let only = |this: &str, that: &str, sign: char| {
        let lines = this.lines().filter(|line| !that.lines().any(|found| found == *line));
        lines.map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    match only(one, other, '-') + &only(other, one, '+') {
        empty if empty.is_empty() && one != other => "the same lines in another order".to_owned(),
        lines => lines,
    }
}
