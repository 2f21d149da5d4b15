//! Changes of the 3PIDs.
//!
//! A new 3PID is validated with a validation session, as by the account API. Its client secret is a keyed hash of the user,
//! so that the session belongs to the user and not to the browser session, which changes when the user enters the password
//! again.

use shared::{
    account_threepids::{self, AccountOwner, AddRead, OwnerAuthentication, ThreePidCreds},
    accounts,
    app::App,
    clock::{Timestamp, millis},
    error::{ErrorCode, MatrixError},
    http::Response,
    identity_servers::{self, UnbindScope},
    ids::Localpart,
    oauth_pages::Failure,
    recipients::{self, Recipient},
    secrets::{KeyPurpose, Secret, fields},
    threepid_validation::{
        self, SubmittedToken, ValidationPurpose, ValidationRequest, ValidationState,
    },
    threepids::{self, Medium},
};

use super::{Change, done};
use crate::{page::Page, redirect, show, views::Link, visitor::Visitor};

/// The unit of `send_attempt`: a form that is repeated in the same minute of the clock sends no second message.
const SEND_INTERVAL: std::time::Duration = std::time::Duration::from_mins(1);

/// The reference to a validation session of a user.
pub(crate) fn credentials(app: &App, user: &Localpart, sid: &str) -> ThreePidCreds {
    ThreePidCreds::new(sid.to_owned(), client_secret(app, user))
}

fn client_secret(app: &App, user: &Localpart) -> Secret {
    let message = fields(&[b"account page", user.as_str().as_bytes()]);
    Secret::new(app.config.keys.hash(KeyPurpose::PageSecret, &message))
}

fn owner(visitor: &Visitor) -> AccountOwner {
    AccountOwner {
        localpart: visitor.user().clone(),
        account: visitor.session.account.clone(),
    }
}

/// Sends a message to a new 3PID, and leads to the page that confirms it.
pub(super) async fn send(change: &Change<'_>, medium: Medium) -> Result<Response, Failure> {
    let Change {
        app, visitor, form, ..
    } = change;
    // ACC3-07
    accounts::ensure_threepid_changes_enabled(&app.config).map_err(MatrixError::from)?;
    if !recipients::sends(&app.config, medium) {
        let message = "This server cannot send this kind of message";
        return Err(MatrixError::new(ErrorCode::ThreePidMediumNotSupported, message).into());
    }
    let to = Recipient::parse(app, medium, form)?;
    let request = ValidationRequest {
        purpose: ValidationPurpose::Add,
        to: &to.threepid,
        country: to.country.as_deref(),
        client_secret: &client_secret(app, visitor.user()),
        // A double click sends one message, and the user can send the form again in the next minute.
        send_attempt: app.clock.now().0 / millis(SEND_INTERVAL),
        next_link: None,
    };
    let sid = threepid_validation::request(app, request, change.network).await;
    let sid = sid.map_err(MatrixError::from)?;
    let page = redirect(app, &Page::ConfirmAddress(sid));
    Ok(visitor.browser.with_cookie(app, page))
}

/// Adds a 3PID. Submits the code of a text message first. `password_set` is the time at which the verified password was
/// set.
pub(super) async fn add(change: &Change<'_>, password_set: Timestamp) -> Result<Response, Failure> {
    let Change {
        app, visitor, form, ..
    } = change;
    // ACC3-07
    accounts::ensure_threepid_changes_enabled(&app.config).map_err(MatrixError::from)?;
    let unknown = || {
        MatrixError::new(
            ErrorCode::NotFound,
            "This confirmation has expired or belongs to another account. Enter the address again",
        )
    };
    let credentials = credentials(app, visitor.user(), form.get("sid").unwrap_or_default());
    let mut validation = credentials.find(app).await?.ok_or_else(unknown)?;
    if validation.state == ValidationState::Pending {
        if validation.threepid.medium == Medium::Email {
            let text = "Open the link in the e-mail first";
            return Ok(show::confirm_address(app, visitor, &validation, Some(text)));
        }
        let code = Secret::new(form.get("code").unwrap_or_default().trim().to_owned());
        let token = SubmittedToken {
            medium: Medium::Msisdn,
            sid: &credentials.sid,
            client_secret: Some(&credentials.client_secret),
            token: &code,
        };
        let submitted = threepid_validation::submit(app, &token, change.network).await;
        match submitted.map_err(MatrixError::from) {
            Ok(_) => validation = credentials.find(app).await?.ok_or_else(unknown)?,
            Err(error) if error.code == ErrorCode::Unknown => return Err(error.into()),
            Err(error) => {
                let text = Some(&*error.message);
                return Ok(show::confirm_address(app, visitor, &validation, text));
            }
        }
    }
    let read = AddRead {
        owner: owner(visitor),
        validation: Some(validation),
    };
    let authentication = OwnerAuthentication::BrowserSession;
    let set = Some(password_set);
    account_threepids::add(app, authentication, &credentials, read, set)
        .await
        .map_err(MatrixError::from)?;
    let text = "You can use it to log in.";
    let link = Link::new(&app.config, &Page::Profile, "Your addresses and numbers");
    let browser = &visitor.browser;
    Ok(done(app, browser, "The address is added", text, Some(link)))
}

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
    let authentication = OwnerAuthentication::BrowserSession;
    account_threepids::remove(app, authentication, owner(visitor), &threepid)
        .await
        .map_err(MatrixError::from)?;
    // IDS-14, IDS-20: the address is removed from the account before an identity server is contacted.
    let scope = UnbindScope::One(&threepid);
    identity_servers::unbind_all(app, visitor.user(), scope, None).await;
    let link = Link::new(&app.config, &Page::Profile, "Your addresses and numbers");
    let text = "It cannot be used for your account any more.";
    let browser = &visitor.browser;
    Ok(done(
        app,
        browser,
        "The address is removed",
        text,
        Some(link),
    ))
}
