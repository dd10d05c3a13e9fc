//! An upgraded database has what a fresh one has: two dumps of the schema are the same.

use volguard_tests::PrivateServer;

use crate::CURRENT;
use crate::dump::{difference, dump};
use crate::shelf::{lay, made, released};

/// A version that comes after this one, as the script of a fresh installation: what is replaced in this one's.
const NEXT: [(&str, &str); 3] = [
    (
        "    created_at      timestamptz      NOT NULL DEFAULT pg_catalog.clock_timestamp()\n);\nCOMMENT ON TABLE volguard.clusters",
        "    created_at      timestamptz      NOT NULL DEFAULT pg_catalog.clock_timestamp(),\n    \
             note            text COLLATE \"C\" DEFAULT '' CONSTRAINT clusters_note_check CHECK (note <> 'x')\n);\n\
         COMMENT ON COLUMN volguard.clusters.note IS 'What people note.';\nCOMMENT ON TABLE volguard.clusters",
    ),
    (
        "CREATE FUNCTION volguard.grant_usage(role name)",
        "CREATE TABLE volguard.notes (note text PRIMARY KEY);\n\
         CREATE INDEX notes_upper_idx ON volguard.notes (pg_catalog.upper(note));\n\
         SELECT pg_catalog.pg_extension_config_dump('volguard.notes', 'WHERE note <> ''''');\n\
         CREATE VIEW volguard.noted AS SELECT name, note FROM volguard.clusters;\n\
         CREATE FUNCTION volguard.renounce(token bigint DEFAULT 1) RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_release';\n\
         CREATE FUNCTION volguard.grant_usage(role name)",
    ),
    ("COMMENT ON FUNCTION volguard.grant_monitoring IS '", "COMMENT ON FUNCTION volguard.grant_monitoring IS 'New: "),
];

/// The edge that leads to it, by statements: each is needed.
const EDGE: [&str; 11] = [
    "ALTER TABLE volguard.clusters ADD COLUMN note text COLLATE \"C\" DEFAULT '';",
    "ALTER TABLE volguard.clusters ADD CONSTRAINT clusters_note_check CHECK (note <> 'x');",
    "COMMENT ON COLUMN volguard.clusters.note IS 'What people note.';",
    "CREATE TABLE volguard.notes (note text PRIMARY KEY);",
    "CREATE INDEX notes_upper_idx ON volguard.notes (pg_catalog.upper(note));",
    "SELECT pg_catalog.pg_extension_config_dump('volguard.notes', 'WHERE note <> ''''');",
    "CREATE VIEW volguard.noted AS SELECT name, note FROM volguard.clusters;",
    "CREATE FUNCTION volguard.renounce(token bigint DEFAULT 1) RETURNS boolean LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_release';
     REVOKE ALL ON FUNCTION volguard.renounce FROM PUBLIC;",
    "DO $$ BEGIN EXECUTE pg_catalog.replace('COMMENT ON FUNCTION volguard.grant_monitoring IS %L', '%L',
         pg_catalog.quote_literal('New: ' || pg_catalog.obj_description('volguard.grant_monitoring'::regproc, 'pg_proc'))); END $$;",
    "DO $$ DECLARE change text; BEGIN
         FOR change IN SELECT pg_catalog.format('ALTER %s OWNER TO %s', thing, extowner::regrole)
         FROM pg_catalog.pg_extension, (SELECT 'TABLE ' || to_regclass('volguard.notes') UNION ALL
             SELECT 'VIEW ' || to_regclass('volguard.noted') UNION ALL
             SELECT 'FUNCTION ' || to_regproc('volguard.renounce')) AS new (thing)
         WHERE extname = 'volguard' AND thing IS NOT NULL LOOP EXECUTE change; END LOOP; END $$;",
    "DO $$ DECLARE change text; BEGIN
         FOR change IN SELECT pg_catalog.format('REVOKE ALL ON %s FROM %I', thing, rolname) FROM (
             SELECT 'TABLE ' || oid::regclass, relacl FROM pg_class
             WHERE oid IN (to_regclass('volguard.notes'), to_regclass('volguard.noted')) UNION ALL
             SELECT 'FUNCTION ' || oid::regproc, proacl FROM pg_proc WHERE oid = to_regproc('volguard.renounce')
         ) AS new (thing, acl), pg_catalog.aclexplode(acl) JOIN pg_catalog.pg_roles ON pg_roles.oid = grantee
         WHERE grantee <> grantor LOOP EXECUTE change; END LOOP; END $$;",
];

/// What the role that creates the extension has said about its objects, and the one that updates it about others.
const DEFAULT_PRIVILEGES: &str = "
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO pg_monitor;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO pg_monitor;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON ROUTINES TO pg_monitor;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO pg_monitor;";

fn server() -> anyhow::Result<PrivateServer> {
    let server = PrivateServer::builder().durable(false).start()?;
    server.psql_in("postgres", "CREATE ROLE founder SUPERUSER")?;
    Ok(server)
}

/// The schema after these statements in a database of its own: some of a role that creates the extension, some of
/// another one.
fn schema(server: &PrivateServer, database: &str, creates: &str, updates: &str) -> anyhow::Result<String> {
    server.psql_in("postgres", &format!("CREATE DATABASE {database}"))?;
    let founder = format!("SET ROLE founder; {DEFAULT_PRIVILEGES} {creates}; RESET ROLE;");
    server.psql_script(database, &format!("{founder} {DEFAULT_PRIVILEGES} {updates}"))?;
    dump(server, database)
}

fn upgraded(server: &PrivateServer, database: &str, from: &str, to: &str) -> anyhow::Result<String> {
    let create = format!("CREATE EXTENSION volguard VERSION '{from}'");
    schema(server, database, &create, &format!("ALTER EXTENSION volguard UPDATE TO '{to}'"))
}

/// The released script of this very version has another name here: the package has its own.
#[test]
fn every_released_version_leads_to_what_a_fresh_installation_has() -> anyhow::Result<()> {
    let server = server()?;
    let fresh = schema(&server, "fresh", "CREATE EXTENSION volguard", "")?;
    // All kinds of things are in it.
    for part in [
        "CREATE TABLE volguard.workers (",
        "CREATE UNIQUE INDEX workers_work_key",
        "CREATE SEQUENCE volguard.clock",
        "CREATE VIEW volguard.lock_status",
        "CREATE FUNCTION volguard.acquire(",
        "REVOKE ALL ON FUNCTION volguard.acquire(",
        "COMMENT ON COLUMN volguard.lock_status.",
        "dumped: volguard.workers",
        "member: function volguard.acquire(",
    ] {
        assert!(fresh.contains(part), "{part}");
    }
    assert!(!fresh.contains("pg_monitor"), "default privileges are not for what is volguard's");
    for (number, version) in released()?.iter().enumerate() {
        let database = format!("from_{number}");
        let found = match version.version == CURRENT {
            true => {
                lay(&server, "released", &version.script)?;
                schema(&server, &database, "CREATE EXTENSION volguard VERSION 'released'", "")?
            }
            false => {
                lay(&server, &version.version, &version.script)?;
                upgraded(&server, &database, &version.version, CURRENT)?
            }
        };
        assert_eq!(difference(&found, &fresh), "", "{} is the upgraded one", version.version);
    }
    Ok(())
}

/// The comparison itself: an edge that does all leads to what a fresh installation has, and one that forgets a
/// statement doesn't.
#[test]
fn an_edge_that_forgets_something_is_noticed() -> anyhow::Result<()> {
    let server = server()?;
    let mut next = made()?;
    for (old, new) in NEXT {
        assert_eq!(next.matches(old).count(), 1, "{old}");
        next = next.replace(old, new);
    }
    lay(&server, "9.0.0", &next)?;
    let fresh = schema(&server, "fresh", "CREATE EXTENSION volguard VERSION '9.0.0'", "")?;

    lay(&server, &format!("{CURRENT}--9.0.0"), &EDGE.join("\n"))?;
    let found = upgraded(&server, "whole", CURRENT, "9.0.0")?;
    assert_eq!(difference(&found, &fresh), "");

    // The privilege is half of a statement's text, and the table carries its index and its place in dumps.
    let without = |forgotten: &str| EDGE.join("\n").replace(forgotten, "");
    let forgotten = [
        EDGE[1],
        EDGE[2],
        EDGE[4],
        EDGE[5],
        EDGE[6],
        EDGE[7],
        EDGE[8],
        EDGE[9],
        EDGE[10],
        "REVOKE ALL ON FUNCTION volguard.renounce FROM PUBLIC;",
        " DEFAULT 1",
        "COLLATE \"C\"",
    ];
    for (number, forgotten) in forgotten.into_iter().enumerate() {
        let version = format!("9.0.0-{number}");
        lay(&server, &format!("{CURRENT}--{version}"), &without(forgotten))?;
        let found = upgraded(&server, &format!("forgetful_{number}"), CURRENT, &version)?;
        assert_ne!(difference(&found, &fresh), "", "without {forgotten}");
    }
    Ok(())
}
