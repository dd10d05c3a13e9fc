//! Rights: what a role may not do by plain SQL, it may not do through volguard. Each scenario is an attack, by a role
//! that has little, or by the owner of a hostile table; without its guard it succeeds.

mod attack;
mod code;
mod process;
mod stage;
mod superusers;

use volguard_tests::scenario::{Route, Site, Violation};

/// Runs attacks, each of which must fail.
macro_rules! must_fail {
    ($file:ident: $($attack:ident),+ $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $attack() -> anyhow::Result<()> {
            $file::$attack(&Site::new(Route::Direct)?).await
        })+
    };
}

/// Runs an attack without a guard, where it must succeed.
macro_rules! must_succeed {
    ($attack:ident, $guard:literal) => {
        must_succeed!(attack::$attack, $guard)
    };
    ($file:ident :: $attack:ident, $guard:literal) => {
        let violation = Violation::expected_in($file::$attack(&Site::without($guard)?).await);
        assert!(matches!(violation, Violation::Trespass { .. }), "{violation}");
    };
}

must_fail! {
    attack:
    a_trigger_of_another_role_stops_the_rule,
    the_condition_of_a_trigger_stops_the_rule,
    a_partition_of_another_role_stops_the_rule,
    a_rule_does_not_run_as_the_cleaner,
    a_rule_stays_with_its_table,
    a_table_that_was_given_away_suspends_its_rule,
    a_rule_needs_the_owner_of_the_table,
    a_type_in_use_is_not_taken_over,
    work_needs_update_on_the_status,
    the_privilege_is_asked_again,
    a_superuser_is_not_lured,
    settings_of_the_cleaner_reach_no_rule,
    no_session_prepares_what_a_rule_runs,
}

must_fail! {
    code:
    a_role_that_may_add_triggers_stops_the_rule,
    a_cascade_to_another_role_stops_the_rule,
    a_trigger_that_may_set_the_key_stops_the_rule,
    a_second_cascade_stops_the_rule,
    a_foreign_key_to_other_columns_stops_no_rule,
    a_rewrite_rule_stops_the_rule,
    a_schema_of_another_role_stops_the_rule,
    a_rule_changes_no_catalog,
    a_rule_is_read_as_its_owner,
}

/// Whether memberships have options.
fn has_membership_options(site: &Site) -> anyhow::Result<bool> {
    Ok(site.psql("SHOW server_version_num")?.trim().parse::<u32>()? >= 160_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_set_stops_the_rule() -> anyhow::Result<()> {
    let site = Site::new(Route::Direct)?;
    if has_membership_options(&site)? {
        code::a_member_without_set_stops_the_rule(&site).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_a_member_without_set_gets_the_owners_rights() -> anyhow::Result<()> {
    if has_membership_options(&Site::new(Route::Direct)?)? {
        must_succeed!(code::a_member_without_set_stops_the_rule, "SetOption");
    }
    Ok(())
}

must_fail! {
    process:
    a_look_without_a_rule_runs_no_code_of_a_partition,
    a_partition_that_a_foreign_key_reads_stops_the_rule,
    the_session_is_the_owners,
}

must_fail! {
    superusers:
    a_lookup_lures_no_superuser,
    a_partition_lures_no_superuser,
    a_trigger_lures_no_superuser,
    a_foreign_key_in_the_making_lures_no_superuser,
    a_member_of_a_superuser_is_not_lured,
    submitted_work_lures_no_superuser,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_a_trigger_gets_the_owners_rights() -> anyhow::Result<()> {
    must_succeed!(a_trigger_of_another_role_stops_the_rule, "RuleTriggers");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_a_condition_gets_the_owners_rights() -> anyhow::Result<()> {
    must_succeed!(the_condition_of_a_trigger_stops_the_rule, "RuleTriggers");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_a_partition_gets_the_owners_rights() -> anyhow::Result<()> {
    must_succeed!(a_partition_of_another_role_stops_the_rule, "RuleTriggers");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_a_cascade_gets_the_owners_rights() -> anyhow::Result<()> {
    must_succeed!(code::a_cascade_to_another_role_stops_the_rule, "Cascade");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_owner_as_its_role_a_rule_gets_superuser() -> anyhow::Result<()> {
    must_succeed!(a_rule_does_not_run_as_the_cleaner, "RuleRole");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_table_a_rule_changes_another_one() -> anyhow::Result<()> {
    must_succeed!(a_rule_stays_with_its_table, "RuleTarget");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_owner_a_rule_runs_as_another() -> anyhow::Result<()> {
    must_succeed!(a_table_that_was_given_away_suspends_its_rule, "RuleOwner");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_owner_any_operator_changes_any_table() -> anyhow::Result<()> {
    must_succeed!(a_rule_needs_the_owner_of_the_table, "TypeOwner");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_work_of_others_is_thrown_away() -> anyhow::Result<()> {
    must_succeed!(a_type_in_use_is_not_taken_over, "OthersWork");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_privilege_a_crash_changes_any_row() -> anyhow::Result<()> {
    must_succeed!(work_needs_update_on_the_status, "WorkPermission");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_asking_again_a_revoked_privilege_lasts() -> anyhow::Result<()> {
    must_succeed!(the_privilege_is_asked_again, "WorkPermission");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_name_a_hostile_table_gets_superuser() -> anyhow::Result<()> {
    must_succeed!(a_superuser_is_not_lured, "NamedTable");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_name_submitted_work_gets_superuser() -> anyhow::Result<()> {
    must_succeed!(superusers::submitted_work_lures_no_superuser, "NamedTable");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_one_process_the_rules_of_an_owner_prepare_those_of_another() -> anyhow::Result<()> {
    must_succeed!(no_session_prepares_what_a_rule_runs, "OwnProcess");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_a_trigger_gets_the_arguments_of_others() -> anyhow::Result<()> {
    must_succeed!(code::a_role_that_may_add_triggers_stops_the_rule, "TriggerPrivilege");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_a_trigger_leads_to_a_cascade() -> anyhow::Result<()> {
    must_succeed!(code::a_trigger_that_may_set_the_key_stops_the_rule, "Cascade");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_a_second_cascade_gets_the_owners_rights() -> anyhow::Result<()> {
    must_succeed!(code::a_second_cascade_stops_the_rule, "Cascade");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_a_rewrite_rule_leads_to_a_trap() -> anyhow::Result<()> {
    must_succeed!(code::a_rewrite_rule_stops_the_rule, "RewriteRule");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_of_its_path_a_rule_calls_others() -> anyhow::Result<()> {
    must_succeed!(code::a_schema_of_another_role_stops_the_rule, "RulePath");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_a_rule_changes_a_catalog() -> anyhow::Result<()> {
    must_succeed!(code::a_rule_changes_no_catalog, "SystemTable");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_owner_as_its_reader_a_rule_gets_superuser() -> anyhow::Result<()> {
    must_succeed!(code::a_rule_is_read_as_its_owner, "ReadAsOwner");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_a_partition_gets_superuser() -> anyhow::Result<()> {
    must_succeed!(superusers::a_partition_lures_no_superuser, "SuperusersCode");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_a_trigger_gets_superuser() -> anyhow::Result<()> {
    must_succeed!(superusers::a_trigger_lures_no_superuser, "SuperusersCode");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_second_look_a_foreign_key_gets_superuser() -> anyhow::Result<()> {
    must_succeed!(superusers::a_foreign_key_in_the_making_lures_no_superuser, "LookUnderLocks");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_a_member_of_a_superuser_is_lured() -> anyhow::Result<()> {
    must_succeed!(superusers::a_member_of_a_superuser_is_not_lured, "MemberOfSuperuser");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_a_look_runs_code_of_a_partition() -> anyhow::Result<()> {
    must_succeed!(process::a_look_without_a_rule_runs_no_code_of_a_partition, "RuleTriggers");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_the_partition_that_a_foreign_key_reads_gets_the_owners_rights() -> anyhow::Result<()> {
    must_succeed!(process::a_partition_that_a_foreign_key_reads_stops_the_rule, "RuleTriggers");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_it_the_session_is_the_superusers() -> anyhow::Result<()> {
    must_succeed!(process::the_session_is_the_owners, "RuleSession");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_check_a_lookup_gets_superuser() -> anyhow::Result<()> {
    must_succeed!(superusers::a_lookup_lures_no_superuser, "SuperusersCode");
    Ok(())
}
