//! Registration on the sign-up pages (OA-59). The operation is the same as for a client, but the account gets a browser
//! session instead of a device, in the same transaction.

use serde::{Deserialize, Serialize};

use super::{NewLogin, Parameters, carry_out, transaction::Answer};
use crate::{
    app::App,
    error::Rejection,
    http::{ClientNetwork, Content},
    ids::Localpart,
    oauth::browser_sessions,
    secrets::Secret,
    store::{FIRST_EPOCH, SaveSessionError},
    uia::{StageType, request::ProtectedRequest, sealed_secret},
};

/// A registration on the sign-up pages.
#[derive(Debug)]
pub struct BrowserRegistration<'a> {
    /// The parameters of the form. Parameters that are absent are those of the UIA session.
    pub given: Parameters,
    /// The session string of the UIA session.
    pub session: Secret,
    /// Whether the UIA session starts now, if there is none.
    pub starts_session: bool,
    /// A stage that needs no form.
    pub stage: Option<StageType>,
    /// The client network.
    pub network: ClientNetwork,
    /// The cookie of the browser.
    pub cookie: &'a Secret,
}

/// The response of the registration. It is serialised only into the sealed state of the UIA session.
#[derive(Serialize, Deserialize)]
struct BrowserAnswer {
    user_id: String,
    /// The new cookie of the browser.
    #[serde(with = "sealed_secret::required")]
    cookie: Secret,
}

crate::opaque_debug!(BrowserAnswer);

/// A new user, who is logged in in the browser.
#[derive(Debug)]
pub struct SignedUp {
    /// The user.
    pub user: Localpart,
    /// The new cookie of the browser (OA-55).
    pub cookie: Secret,
}

/// Registers a user on the sign-up pages, or returns a challenge as the error. A repeated form gets the same result
/// (OA-67).
pub async fn register_in_browser(
    app: &App,
    registration: BrowserRegistration<'_>,
) -> Result<SignedUp, Rejection> {
    let BrowserRegistration {
        given,
        session,
        starts_session,
        stage,
        network,
        cookie,
    } = registration;
    let protected = ProtectedRequest::for_sign_up_page(network, session, stage, starts_session);
    let login = NewLogin::Browser(cookie);
    let response = Box::pin(carry_out(app, protected, given, login)).await?;
    let Content::Json(text) = &response.content else {
        return Err(SaveSessionError::Conflict.into());
    };
    let answer = serde_json::from_str::<BrowserAnswer>(text).ok();
    let signed_up = answer.and_then(|answer| {
        Some(SignedUp {
            user: Localpart::of_user_id(&answer.user_id, &app.config.server_name)?,
            cookie: answer.cookie,
        })
    });
    signed_up.ok_or_else(|| SaveSessionError::Conflict.into())
}

/// The response for a new user, with a new cookie and its browser session.
pub(super) fn answer(app: &App, localpart: &Localpart) -> Answer {
    let (cookie, row) = browser_sessions::prepare(app, localpart, FIRST_EPOCH, app.clock.now());
    let answer = BrowserAnswer {
        user_id: localpart.user_id(&app.config.server_name),
        cookie,
    };
    Answer {
        // Serialisation cannot fail: both members are strings.
        text: serde_json::to_string(&answer).unwrap_or_default(),
        device: None,
        browser_session: Some(row),
    }
}
