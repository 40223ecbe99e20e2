use anyhow::Result;

use super::{Group, clauses};
use crate::{
    model_test::sequences_agree,
    scope::{Scope, Way},
};

pub(super) const GROUPS: &[Group] = &[Group {
    name: "random",
    ways: &[Way::Single, Way::TwoInstances],
    needs: |_| true,
    clauses: clauses![sequences_agree_with_the_model],
}];

/// A sample for every subject; a test target of its own may want thousands.
const SEQUENCES: u32 = 50;

async fn sequences_agree_with_the_model(it: &Scope) -> Result<()> {
    sequences_agree(it, SEQUENCES)
}
