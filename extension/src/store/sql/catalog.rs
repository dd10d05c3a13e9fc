//! What of the extension's own objects this version has.

use super::Statement;
use pgrx::pg_sys::TEXTARRAYOID;

/// The functions and procedures with these names, as GRANT names them.
pub static OUR_ROUTINES: Statement = Statement::new(
    &[TEXTARRAYOID],
    "SELECT 'volguard.' {||} pg_catalog.quote_ident(p.proname)
         {||} '(' {||} pg_catalog.pg_get_function_identity_arguments(p.oid) {||} ')' FROM pg_catalog.pg_proc AS p
     WHERE p.pronamespace {=} 'volguard'::pg_catalog.regnamespace AND p.proname::pg_catalog.text {=} ANY ($1)
     ORDER BY 1",
);

pub static OUR_VIEWS: Statement = Statement::new(
    &[],
    "SELECT 'volguard.' {||} pg_catalog.quote_ident(c.relname) FROM pg_catalog.pg_class AS c
     WHERE c.relnamespace {=} 'volguard'::pg_catalog.regnamespace AND c.relkind {=} 'v'
     ORDER BY 1",
);

/// A row if the extension is created here, and what the other statements would use is the extension's and its owner's.
/// A schema of the same name may belong to any role.
pub static IS_INSTALLED: Statement = Statement::new(
    &[],
    "SELECT FROM pg_catalog.pg_extension AS e
     WHERE e.extname {=} 'volguard' AND (
         SELECT pg_catalog.bool_and(c.relowner {=} e.extowner AND d.objid IS NOT NULL)
         FROM pg_catalog.pg_class AS c
         LEFT JOIN pg_catalog.pg_depend AS d
           ON d.classid {=} 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid {=} c.oid AND d.objsubid {=} 0
          AND d.refclassid {=} 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid {=} e.oid AND d.deptype {=} 'e'
         WHERE c.relnamespace {=} (SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname {=} 'volguard')
           AND c.relname {=} ANY (ARRAY['services', 'workers', 'clusters', 'resources', 'crash_rules', 'events', 'clock',
                                    'place']::pg_catalog.name[])
     )",
);
