//! `POST /account/{action}`: the changes. Each runs the code of the endpoint that makes the same change (OA-129), after the
//! checks of the form, the session and the age of the password (OA-128).

mod account;
mod addresses;
mod devices;

pub(crate) use addresses::credentials;
use http::StatusCode;
use shared::{
    app::App,
    http::{ClientNetwork, Query, Request, Response},
    ids::DeviceId,
    oauth::browser_sessions,
    oauth_pages::{Browser, Failure, FormStart, Submission},
    threepids::Medium,
};

use crate::{
    PATH, login,
    page::Page,
    views::{DonePage, Link},
    visitor::Visitor,
};

/// A change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Gives a device another name.
    Rename,
    /// Deletes a device.
    SignOut,
    /// Sets a new password.
    Password,
    /// Sends a message to a new e-mail address.
    SendMail,
    /// Sends a message to a new phone number.
    SendText,
    /// Adds a validated 3PID.
    AddAddress,
    /// Removes a 3PID.
    RemoveAddress,
    /// Deactivates the account.
    Deactivate,
    /// Permits the reset of the cross-signing keys.
    CrossSigning,
}

impl Act {
    const ALL: [Self; 9] = [
        Self::Rename,
        Self::SignOut,
        Self::Password,
        Self::SendMail,
        Self::SendText,
        Self::AddAddress,
        Self::RemoveAddress,
        Self::Deactivate,
        Self::CrossSigning,
    ];

    /// The change with this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.name() == name)
    }

    /// The last segment of the path that the form posts to.
    const fn name(self) -> &'static str {
        match self {
            Self::Rename => "rename",
            Self::SignOut => "sign-out",
            Self::Password => "password",
            Self::SendMail => "email",
            Self::SendText => "phone",
            Self::AddAddress => "add",
            Self::RemoveAddress => "remove",
            Self::Deactivate => "deactivate",
            Self::CrossSigning => "cross-signing",
        }
    }

    /// The start of the form for the change.
    pub(crate) fn form(self, app: &App, browser: &Browser) -> FormStart {
        browser.form(app, &format!("{PATH}/{}", self.name()), "")
    }

    /// The page with the form. The user returns to it after a login, because the form must be sent again.
    fn page(self, form: &Query) -> Page {
        let device = || form.get("device_id").and_then(DeviceId::parse);
        match self {
            Self::Rename => device().map_or(Page::Devices, Page::Device),
            Self::SignOut => device().map_or(Page::Devices, Page::SignOut),
            Self::Password => Page::Password,
            Self::AddAddress => Page::confirm(form).unwrap_or(Page::Profile),
            Self::SendMail | Self::SendText | Self::RemoveAddress => Page::Profile,
            Self::Deactivate => Page::Deactivate,
            Self::CrossSigning => Page::CrossSigning,
        }
    }
}

/// A form of a user with a valid session.
struct Change<'a> {
    app: &'a App,
    visitor: &'a Visitor,
    form: &'a Query,
    network: ClientNetwork,
}

/// Makes a change, or shows the login page. Two reads, one after the other, come before the change. All changes are
/// charged to the same quotas as those with an access token.
pub(crate) async fn submit(app: &App, request: &Request, act: Act) -> Result<Response, Failure> {
    let Submission { browser, form } = Submission::parse(app, request)?;
    let network = request.network;
    let page = act.page(&form);
    let (charged, row) = tokio::join!(
        browser_sessions::charge(app, browser.cookie(), network),
        browser_sessions::find(app, browser.cookie())
    );
    charged?;
    let Some(row) = row? else {
        return Ok(login::page(app, &browser, &page, None));
    };
    let (visitor, used) = tokio::join!(
        Visitor::find(app, browser, row.clone()),
        browser_sessions::record_use(app, &row)
    );
    let visitor = match visitor? {
        Ok(visitor) => visitor,
        Err(browser) => return Ok(login::page(app, &browser, &page, None)),
    };
    used?;
    let change = Change {
        app,
        visitor: &visitor,
        form: &form,
        network,
    };
    match (act, visitor.recent_password(app)) {
        (Act::Rename, _) => devices::rename(&change).await,
        (_, None) => Ok(visitor.password_page(app, &page)),
        (Act::SignOut, Some(set)) => devices::sign_out(&change, set).await,
        (Act::Password, Some(set)) => account::change_password(&change, set).await,
        (Act::SendMail, Some(_)) => addresses::send(&change, Medium::Email).await,
        (Act::SendText, Some(_)) => addresses::send(&change, Medium::Msisdn).await,
        (Act::AddAddress, Some(set)) => addresses::add(&change, set).await,
        (Act::RemoveAddress, Some(_)) => addresses::remove(&change).await,
        (Act::Deactivate, Some(set)) => account::deactivate(&change, set).await,
        (Act::CrossSigning, Some(_)) => account::allow_cross_signing_reset(&change).await,
    }
}

/// The page after a change.
fn done(app: &App, browser: &Browser, title: &str, text: &str, link: Option<Link>) -> Response {
    let page = DonePage {
        server: app.config.server_name.as_str(),
        title,
        text,
        link,
    };
    browser.page(app, StatusCode::OK, &page)
}
