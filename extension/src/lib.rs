//! volguard: locks, crash cleanup and compare-and-swap for active-active volume managers, inside Postgres.
//!
//! `ARCHITECTURE.md` explains how the parts work together; each module says what it is for.

#![deny(unsafe_op_in_unsafe_fn)]

mod admin;
mod cleanup;
mod conditional_update;
mod grants;
mod input;
mod lock;
mod monitor;
mod pg;
mod sabotage;
mod service;
mod store;
mod wait;
mod work;
mod worker;

pgrx::pg_module_magic!(name, version);

// Each file builds on the one before it, so that the script has one order: a released one is never written anew.
pgrx::extension_sql_file!("../../sql/schema/00-guard.sql", name = "guard", bootstrap);
pgrx::extension_sql_file!("../../sql/schema/10-tables.sql", name = "tables", requires = ["guard"]);
pgrx::extension_sql_file!("../../sql/schema/20-services.sql", name = "services", requires = ["tables"]);
pgrx::extension_sql_file!("../../sql/schema/25-clusters.sql", name = "clusters", requires = ["services"]);
pgrx::extension_sql_file!("../../sql/schema/30-locks.sql", name = "locks", requires = ["clusters"]);
pgrx::extension_sql_file!(
    "../../sql/schema/40-conditional-update.sql",
    name = "conditional_update",
    requires = ["locks"]
);
pgrx::extension_sql_file!("../../sql/schema/50-cleanup.sql", name = "cleanup", requires = ["conditional_update"]);
pgrx::extension_sql_file!("../../sql/schema/55-claim.sql", name = "claim", requires = ["cleanup"]);
pgrx::extension_sql_file!("../../sql/schema/56-work.sql", name = "work", requires = ["claim"]);
pgrx::extension_sql_file!("../../sql/schema/57-distribution.sql", name = "distribution", requires = ["work"]);
pgrx::extension_sql_file!("../../sql/schema/60-views.sql", name = "views", requires = ["distribution"]);
pgrx::extension_sql_file!("../../sql/schema/65-rule-views.sql", name = "rule_views", requires = ["views"]);
pgrx::extension_sql_file!("../../sql/schema/70-comments.sql", name = "comments", requires = ["rule_views"]);
pgrx::extension_sql_file!("../../sql/schema/80-dump.sql", name = "dump", requires = ["comments"]);
pgrx::extension_sql_file!("../../sql/schema/90-privileges.sql", name = "privileges", requires = ["dump"], finalize);

/// # Safety
/// Called by Postgres when it loads the library.
#[pgrx::pg_guard]
#[allow(non_snake_case)]
pub unsafe extern "C-unwind" fn _PG_init() {
    sabotage::register();
    pg::settings::register();
    pg::version::register();
    pg::invalidation::register();
    pg::durability::register();
    wait::wake::register();
    store::commit_log::register();
    worker::register();
    monitor::dropped::register();
}
