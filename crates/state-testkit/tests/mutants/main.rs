//! Who tests the tests: each bug must fail the case named for it, and the store without it pass.

use std::{collections::BTreeSet, process::ExitCode, sync::Arc};

use anyhow::{Context, Result, anyhow, bail, ensure};
use futures::future::BoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};
use state::Store;
use state_testkit::{Case, Fixture, cases};
use tokio::runtime::Runtime;

use bare::Bare;
use mutant::{Bug, Mutant};

mod bare;
mod mutant;

/// Bugs, and the cases that catch them.
const CAUGHT: &[(Bug, &str)] = &[
    (Bug::EveryConditionHolds, "etag::stale_put_conflicts"),
    (Bug::EveryConditionHolds, "random::sequences_agree_with_the_model"),
    (Bug::CreateReplaces, "etag_in_bulk::create_of_a_present_key_conflicts"),
    (Bug::EtagCreatesMissingKey, "etag::put_with_an_etag_on_an_absent_key_conflicts"),
    (Bug::EtagCreatesMissingKey, "ttl::put_with_the_etag_of_an_expired_value_conflicts"),
    (Bug::DeleteIgnoresCondition, "etag_in_transaction::stale_delete_conflicts"),
    (Bug::DeleteIgnoresCondition, "etag::delete_of_a_key_that_must_be_absent_conflicts"),
    (Bug::CheckIsApart, "races::increments_are_not_lost"),
    (Bug::CheckIsApart, "races::creates_have_one_winner_per_absence"),
    (Bug::CheckIsApart, "races::each_version_is_deleted_once_at_most"),
    (Bug::CheckIsApart, "races_in_bulk::increments_are_not_lost"),
    (Bug::CheckIsApart, "races_of_two_instances::increments_are_not_lost"),
    (Bug::ConflictApplies, "etag::stale_put_conflicts"),
    (Bug::ConflictRenewsEtag, "etag::create_of_a_present_key_conflicts"),
    (Bug::ConflictFindsAnother, "etag::stale_delete_conflicts"),
    (Bug::EtagIsConstant, "etag::each_put_makes_a_fresh_etag"),
    (Bug::EtagIsConstant, "races::an_etag_names_one_value"),
    (Bug::EtagIsValue, "etag::etag_from_before_a_delete_matches_nothing_later"),
    (Bug::EtagIsValue, "random::sequences_agree_with_the_model"),
    (Bug::TtlIsIgnored, "ttl::expired_value_can_be_created"),
    (Bug::TtlIsHalved, "ttl::value_lives_for_its_time_and_then_is_gone"),
    (Bug::TtlIsTripled, "ttl::value_lives_for_its_time_and_then_is_gone"),
    (Bug::TtlIsKept, "ttl::put_without_ttl_makes_a_value_permanent"),
    (Bug::TtlIsKept, "random::sequences_agree_with_the_model"),
    (Bug::ExpiredIsPresent, "ttl::expired_value_can_be_created"),
    (Bug::ExpiredIsPresent, "ttl_in_bulk::expired_value_counts_as_absent_for_a_delete"),
    (Bug::TransactionIsNoUnit, "races::transactions_are_never_seen_half"),
    (Bug::TransactionIsNoUnit, "races::plain_transactions_do_not_mix"),
    (Bug::TransactionStopsHalfway, "transaction::conflict_names_its_write_and_undoes_all"),
    (Bug::TransactionStopsHalfway, "etag_in_transaction::stale_put_conflicts"),
    (Bug::TransactionStopsHalfway, "transaction::conditions_see_the_state_at_the_start"),
    (Bug::TransactionIsReversed, "transaction::writes_to_one_key_apply_in_order"),
    (Bug::ConflictLosesPosition, "transaction::conflict_names_its_write_and_undoes_all"),
    (Bug::BulkReadsAreReversed, "bulk::reads_are_answered_in_order"),
    (Bug::BulkWritesAreReversed, "bulk::failing_writes_do_not_stop_the_others"),
    (Bug::BulkWritesAreReversed, "bulk::last_of_several_puts_wins"),
    (Bug::BulkStopsAtFailure, "bulk::failing_writes_do_not_stop_the_others"),
    (Bug::ListIgnoresPrefix, "listing::only_keys_with_the_prefix_are_listed"),
    (Bug::ListRepeatsCursor, "listing::pages_show_every_key_once"),
    (Bug::ListNeverSaysMore, "listing::page_ends_at_its_limit_and_says_whether_more_follow"),
    (Bug::KeysFoldCase, "keys::case_is_kept"),
    (Bug::KeysLoseTrailingSpace, "keys::spaces_are_kept"),
    (Bug::KeysAreDecoded, "keys::percent_signs_are_not_decoded"),
    (Bug::KeysAreCut, "keys::long_keys_are_not_cut"),
    (Bug::ValuesLoseWhiteSpace, "bytes::json_comes_back_as_it_was"),
    (Bug::ValuesAreFloats, "bytes::numbers_keep_every_digit"),
    (Bug::EmptyIsAbsent, "bytes::empty_value_is_not_an_absent_one"),
    (Bug::ReadsAreCached, "basic_of_two_instances::put_replaces_a_value"),
    (Bug::ReadsAreCached, "races_of_two_instances::no_read_is_older_than_what_is_known"),
    (Bug::RefusesNothing, "refusals::condition_without_etags_is_refused"),
    (Bug::RefusesNothing, "refusals_in_bulk::ttl_is_refused"),
    (Bug::RefusesNothing, "refusals::transaction_is_refused"),
    (Bug::RefusesNothing, "refusals::listing_is_refused"),
    (Bug::RefusesNothing, "refusals::strong_write_is_refused"),
    (Bug::RefusesNothing, "refusals::strong_read_is_refused"),
];

/// More than there are cores, because the cases about expiry do nothing but wait.
const TRIALS_AT_ONCE: usize = 8;

fn main() -> ExitCode {
    let caught = CAUGHT.iter().map(|(bug, name)| {
        trial(format!("{bug:?} fails {name}"), move || Box::pin(is_caught(*bug, name)))
    });
    let names: BTreeSet<_> = CAUGHT.iter().map(|(_, name)| *name).collect();
    let passed = names
        .into_iter()
        .map(|name| trial(format!("no bug passes {name}"), move || Box::pin(is_passed(name))));
    let trials = caught.chain(passed).collect();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TRIALS_AT_ONCE);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(
    name: String,
    run: impl FnOnce() -> BoxFuture<'static, Result<()>> + Send + 'static,
) -> Trial {
    Trial::test(name, || {
        Runtime::new()?.block_on(run()).map_err(|e| Failed::from(format!("{e:#}")))
    })
}

async fn is_caught(bug: Bug, name: &str) -> Result<()> {
    match run(name, Some(bug)).await? {
        Ok(()) => bail!("it does not notice"),
        Err(_) => Ok(()),
    }
}

async fn is_passed(name: &str) -> Result<()> {
    run(name, None).await?
}

/// What the case says of a store with this bug; fails if there is no such case for it.
async fn run(name: &str, bug: Option<Bug>) -> Result<Result<()>> {
    let case: Case = cases().find(|it| it.name() == name).context("no such case")?;
    let driver = state_stores::driver("state.in-memory").context("not in this build")?;
    let store = (driver.open)(Default::default()).await.map_err(|e| anyhow!("{e}"))?;
    let end = || -> Arc<dyn Store> {
        match bug {
            _ if name.starts_with("refusals") => {
                Arc::new(Bare::new(store.clone(), bug != Some(Bug::RefusesNothing)))
            }
            Some(bug) => Arc::new(Mutant::new(store.clone(), bug)),
            None => store.clone(),
        }
    };
    let fixture = Fixture { second: Some(end()), ..Fixture::new(end()) };
    ensure!(case.is_about(&fixture), "the case is not about this store");
    Ok(case.run(&fixture).await)
}
