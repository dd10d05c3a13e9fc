//! Statements on the catalog that find other roles' code.

use super::Statement;
use pgrx::pg_sys::{OIDOID, TEXTARRAYOID, TEXTOID};

/// The tables that an update of the table `$1` changes, if it sets the columns `$3` (NULL: any): it, its partitions and
/// children (way 0), and those that foreign keys pass the update on to (`RI_FKey_cascade_upd` and its two kin; way 1),
/// because a column that they refer to is set, is generated, or may be set by a BEFORE trigger. Then the tables that
/// the checks of foreign keys read (way 3), with the rights of their owners, and their partitions and children (way 2):
/// a query runs functions of a partition's constraints and indexes. Tables of roles that have not the privileges of
/// `$2` are looked through no further.
///
/// Each table with what another role has in it, if there is anything: first a part (0), or a table behind a foreign key
/// (1), that belongs to the other role; of what is changed also the privilege TRIGGER (2); the function of a trigger,
/// or what its condition calls (3); a rewrite rule (4), whose statements may go to tables of others. With the thing's
/// and the role's names. The other role is one that has not the privileges of `$2`, or not the right `$4` to it.
pub static TOUCHED: Statement = Statement::new(
    &[OIDOID, OIDOID, TEXTARRAYOID, TEXTOID],
    "WITH RECURSIVE touched (oid, way, changed) AS (
         SELECT $1, 0, $3::pg_catalog.name[]
         UNION
         SELECT more.oid, more.way, more.changed
         FROM touched AS t
         JOIN pg_catalog.pg_class AS c ON c.oid {=} t.oid AND pg_catalog.pg_has_role(c.relowner, $2, 'USAGE'),
         LATERAL (
             SELECT i.inhrelid AS oid, CASE WHEN t.way {>} 2 THEN 2 ELSE t.way END AS way, t.changed
             FROM pg_catalog.pg_inherits AS i WHERE i.inhparent {=} t.oid
             UNION ALL
             SELECT k.oid, k.way,
                    CASE WHEN k.way {=} 1 THEN ARRAY(SELECT a.attname FROM pg_catalog.pg_attribute AS a
                                                   WHERE a.attrelid {=} k.oid AND a.attnum {=} ANY (k.set_there)) END
             FROM (
                 SELECT CASE WHEN g.tgfoid {=} 1645 THEN k.confrelid ELSE k.conrelid END AS oid,
                        CASE WHEN g.tgfoid {=} ANY (ARRAY[1647, 1651, 1653]::pg_catalog.oid[]) THEN 1 ELSE 3 END AS way,
                        CASE WHEN g.tgfoid {=} 1645 THEN k.conkey ELSE k.confkey END AS set_here, k.conkey AS set_there
                 FROM pg_catalog.pg_trigger AS g JOIN pg_catalog.pg_constraint AS k ON k.oid {=} g.tgconstraint
                 WHERE t.way {<} 2 AND g.tgrelid {=} t.oid
                   AND g.tgfoid {=} ANY (ARRAY[1645, 1647, 1649, 1651, 1653, 1655]::pg_catalog.oid[])
             ) AS k
             WHERE t.changed IS NULL
                OR EXISTS (SELECT FROM pg_catalog.pg_trigger AS b
                           WHERE b.tgrelid {=} t.oid AND b.tgenabled {<>} 'D'
                             AND (b.tgtype {&} 3) {=} 3 AND (b.tgtype {&} 20) {<>} 0)
                OR EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                           WHERE a.attrelid {=} t.oid AND a.attnum {=} ANY (k.set_here)
                             AND (a.attname {=} ANY (t.changed) OR a.attgenerated {<>} ''))
         ) AS more
     )
     SELECT t.oid, f.kind, f.what, coalesce(pg_catalog.quote_ident(r.rolname), 'PUBLIC')
     FROM (SELECT u.oid, pg_catalog.min(u.way) AS way FROM touched AS u GROUP BY u.oid) AS t
     JOIN pg_catalog.pg_class AS c ON c.oid {=} t.oid AND (t.way {<} 3 OR pg_catalog.pg_has_role(c.relowner, $2, 'USAGE'))
     LEFT JOIN LATERAL (
         SELECT CASE WHEN t.way {=} 1 THEN 1 ELSE 0 END AS kind, c.oid::pg_catalog.regclass::pg_catalog.text AS what, c.relowner AS role
         WHERE NOT (pg_catalog.pg_has_role(c.relowner, $2, 'USAGE') AND pg_catalog.pg_has_role(c.relowner, $2, $4))
         UNION ALL
         SELECT more.kind, more.what, more.role FROM (
             SELECT 2, c.oid::pg_catalog.regclass::pg_catalog.text, x.grantee
             FROM pg_catalog.aclexplode(c.relacl) AS x WHERE x.privilege_type {=} 'TRIGGER'
             UNION ALL
             SELECT 3, pg_catalog.quote_ident(g.tgname) {||} ' on ' {||} c.oid::pg_catalog.regclass::pg_catalog.text, used.owner
             FROM pg_catalog.pg_trigger AS g,
             LATERAL (
                 SELECT p.proowner FROM pg_catalog.pg_proc AS p WHERE p.oid {=} g.tgfoid
                 UNION ALL
                 SELECT coalesce(p.proowner, o.oprowner, y.typowner) FROM pg_catalog.pg_depend AS d
                 LEFT JOIN pg_catalog.pg_proc AS p ON d.refclassid {=} 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid {=} d.refobjid
                 LEFT JOIN pg_catalog.pg_operator AS o ON d.refclassid {=} 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.oid {=} d.refobjid
                 LEFT JOIN pg_catalog.pg_type AS y ON d.refclassid {=} 'pg_catalog.pg_type'::pg_catalog.regclass AND y.oid {=} d.refobjid
                 WHERE g.tgqual IS NOT NULL AND d.classid {=} 'pg_catalog.pg_trigger'::pg_catalog.regclass AND d.objid {=} g.oid
             ) AS used (owner)
             WHERE g.tgrelid {=} c.oid AND g.tgenabled {<>} 'D' AND used.owner IS NOT NULL
         ) AS more (kind, what, role)
         WHERE t.way {<} 2 AND pg_catalog.pg_has_role(c.relowner, $2, 'USAGE')
           AND (more.role {=} 0 OR NOT (pg_catalog.pg_has_role(more.role, $2, 'USAGE') AND pg_catalog.pg_has_role(more.role, $2, $4)))
         UNION ALL
         SELECT 4, pg_catalog.quote_ident(w.rulename) {||} ' on ' {||} c.oid::pg_catalog.regclass::pg_catalog.text, c.relowner
         FROM pg_catalog.pg_rewrite AS w
         WHERE t.way {<} 2 AND w.ev_class {=} c.oid AND w.ev_type {=} '2' AND w.ev_enabled {<>} 'D'
           AND pg_catalog.pg_has_role(c.relowner, $2, 'USAGE')
     ) AS f ON true
     LEFT JOIN pg_catalog.pg_roles AS r ON r.oid {=} f.role
     ORDER BY f.kind, f.what, 4, t.oid",
);

/// Of the schemas with the names `$1` those that exist, quoted. Each with a role that owns it or may create objects in
/// it, but has not the privileges of `$2`, or not the right `$3` to it, if there is one; `pg_database_owner` stands for
/// the owner of the database. But for temporary schemas of other sessions.
pub static SCHEMAS: Statement = Statement::new(
    &[TEXTARRAYOID, OIDOID, TEXTOID],
    "SELECT pg_catalog.quote_ident(n.nspname),
            (SELECT coalesce(pg_catalog.quote_ident(r.rolname), 'PUBLIC')
             FROM (SELECT n.nspowner UNION ALL
                   SELECT x.grantee FROM pg_catalog.aclexplode(n.nspacl) AS x WHERE x.privilege_type {=} 'CREATE') AS g (given)
             CROSS JOIN LATERAL (SELECT CASE WHEN g.given {=} 6171 THEN d.datdba ELSE g.given END) AS m (role)
             LEFT JOIN pg_catalog.pg_roles AS r ON r.oid {=} m.role
             WHERE m.role {=} 0 OR NOT (pg_catalog.pg_has_role(m.role, $2, 'USAGE') AND pg_catalog.pg_has_role(m.role, $2, $3))
             ORDER BY 1 LIMIT 1)
     FROM pg_catalog.unnest($1) WITH ORDINALITY AS u (name, number)
     JOIN pg_catalog.pg_namespace AS n ON n.nspname {=} u.name::pg_catalog.name
     JOIN pg_catalog.pg_database AS d ON d.datname {=} pg_catalog.current_database()
     WHERE NOT pg_catalog.starts_with(n.nspname::pg_catalog.text, 'pg_temp_')
     ORDER BY u.number",
);

/// Whether the role can act as a superuser.
pub static REACHES_SUPERUSER: Statement = Statement::new(
    &[OIDOID],
    "SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolsuper AND pg_catalog.pg_has_role($1, r.oid, 'MEMBER') LIMIT 1",
);
