//! The removal of a 3PID.

use shared::{
    account_threepids::{self, AccountOwner, OwnerAuthentication},
    accounts,
    error::{ErrorCode, MatrixError},
    http::Response,
    identity_servers::{self, UnbindScope},
    oauth_pages::Failure,
    threepids::{self, Medium},
};

use super::{Change, done};
use crate::{page::Page, views::Link};

/// Removes a 3PID from the account, and from the identity servers at which it is bound. Succeeds without effect if the
/// account does not have it.
pub(super) async fn remove(change: &Change<'_>) -> Result<Response, Failure> {
    let Change {
        app, visitor, form, ..
    } = change;
    // ACC3-07
    accounts::ensure_threepid_changes_enabled(&app.config).map_err(MatrixError::from)?;
    let medium = form.get("medium").and_then(Medium::parse);
    let threepid = medium.zip(form.get("address"));
    let threepid = threepid.and_then(|(medium, address)| threepids::parse_named(medium, address));
    let invalid = || MatrixError::new(ErrorCode::InvalidParam, "The address is not valid");
    let threepid = threepid.ok_or_else(invalid)?;
    let owner = AccountOwner {
        localpart: visitor.user().clone(),
        account: visitor.session.account.clone(),
    };
    account_threepids::remove(app, OwnerAuthentication::BrowserSession, owner, &threepid)
        .await
        .map_err(MatrixError::from)?;
    // IDS-14, IDS-20: the address is removed from the account before an identity server is contacted.
    let scope = UnbindScope::One(&threepid);
    identity_servers::unbind_all(app, visitor.user(), scope, None).await;
    let link = Link::new(&app.config, &Page::Profile, "Your addresses and numbers");
    Ok(done(
        app,
        &visitor.browser,
        "The address is removed",
        "It cannot be used for your account any more.",
        Some(link),
    ))
}
