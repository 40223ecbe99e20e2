//! Who may call the sidecar: tokens from the environment, or one that is made for a run.

use std::env;

use anyhow::bail;
use sidecar_api::Token;
use uuid::Uuid;

/// What callers must know. The application finds it in the same variable, as its SDK does.
pub(crate) const API_TOKEN: &str = "DAPR_API_TOKEN";

/// A second token that counts as well, so that one can be replaced while applications still send the other.
const SECONDARY_API_TOKEN: &str = "DAPR_API_TOKEN_SECONDARY";

/// Who may call.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// Any one of these has to be known, if there are any.
    pub(crate) tokens: Vec<Token>,
    /// Whether processes of the own user are let in without.
    pub(crate) trusts_own_user: bool,
}

impl Access {
    /// What the environment says.
    ///
    /// # Errors
    ///
    /// If there is a second token and no first.
    pub(crate) fn from_environment() -> anyhow::Result<Access> {
        let token = |name| env::var(name).ok().as_deref().and_then(Token::new);
        let (first, second) = (token(API_TOKEN), token(SECONDARY_API_TOKEN));
        if first.is_none() && second.is_some() {
            bail!(
                "{SECONDARY_API_TOKEN} is set and {API_TOKEN} is not: set both, or the latter alone"
            );
        }
        Ok(Access { tokens: first.into_iter().chain(second).collect(), trusts_own_user: false })
    }

    /// The same, or a token made for one run, which is returned as well. Other users of this machine have to know it.
    ///
    /// Nothing is made where the user of a caller cannot be told, which is everywhere but on Linux: programs that speak
    /// HTTP and know no tokens would be locked out.
    pub(crate) fn for_run(is_wanted: bool) -> anyhow::Result<(Access, Option<String>)> {
        let access = Access::from_environment()?;
        if !is_wanted || !access.tokens.is_empty() || !cfg!(target_os = "linux") {
            return Ok((access, None));
        }
        // 122 bits from a generator that is made for secrets.
        let text = Uuid::new_v4().simple().to_string();
        let access =
            Access { tokens: Token::new(&text).into_iter().collect(), trusts_own_user: true };
        Ok((access, Some(text)))
    }
}
