//! `GET /account`: shows the page that the query selects. It writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use shared::{
    app::App,
    devices, format_date,
    http::{Request, Response},
    ids::Localpart,
    oauth::{self, AccountAction, Client, browser_sessions},
    oauth_pages::{Browser, Failure},
    recipients,
    store::{DevicePage, ListedDevice, OwnThreePid, StoreError, ValidationRow},
    threepid_validation::ValidationState,
    threepids::{Medium, ThreePid},
};

use crate::{
    LOGOUT, PATH,
    acts::{self, Act},
    login,
    page::Page,
    views::{
        Address, AppView, ConfirmAddressPage, ConfirmPage, DevicePage as OneDevicePage, DeviceView,
        DevicesPage, Link, PasswordPage, ProfilePage, StartPage,
    },
    visitor::Visitor,
};

/// The rows of a page, which are read concurrently with the account.
enum Rows {
    Nothing,
    Devices((Vec<ListedDevice>, Option<DevicePage>)),
    Device(Option<ListedDevice>),
    Addresses(Vec<OwnThreePid>),
    Validation(Option<ValidationRow>),
}

impl Rows {
    async fn read(app: &App, user: &Localpart, page: &Page) -> Result<Self, StoreError> {
        let store = &app.store;
        Ok(match page {
            Page::Devices => Self::Devices(store.devices_page(user, None).await?),
            Page::Device(id) | Page::SignOut(id) => {
                Self::Device(store.find_device(user, id).await?)
            }
            Page::Profile => Self::Addresses(store.addresses_of(user).await?),
            Page::ConfirmAddress(sid) => {
                Self::Validation(acts::credentials(app, user, sid).find(app).await?)
            }
            Page::Start | Page::Password | Page::Deactivate | Page::CrossSigning => Self::Nothing,
        })
    }
}

/// Shows the page, or the login page before it. Without a cookie it makes no call.
pub(crate) async fn show(app: &App, request: &Request) -> Result<Response, Failure> {
    let page = Page::parse(&app.config, &request.query);
    let browser = Browser::of_or_new(app, request);
    let row = if browser.is_new() {
        None
    } else {
        browser_sessions::find(app, browser.cookie()).await?
    };
    let Some(row) = row else {
        return Ok(login::page(app, &browser, &page, None));
    };
    let user = row.localpart.clone();
    let (visitor, rows) = tokio::join!(
        Visitor::find(app, browser, row),
        Rows::read(app, &user, &page)
    );
    let visitor = match visitor? {
        Ok(visitor) => visitor,
        Err(browser) => return Ok(login::page(app, &browser, &page, None)),
    };
    if page.requires_password() && visitor.recent_password(app).is_none() {
        return Ok(visitor.password_page(app, &page));
    }
    page_of(app, &visitor, &page, rows?).await
}

async fn page_of(
    app: &App,
    visitor: &Visitor,
    page: &Page,
    rows: Rows,
) -> Result<Response, Failure> {
    let account = &visitor.session.account;
    match (page, rows) {
        (Page::Devices, Rows::Devices(first)) => {
            let found = devices::logged_in(app, visitor.user(), account, first).await?;
            Ok(list(app, visitor, &found).await?)
        }
        (Page::Device(_) | Page::SignOut(_), Rows::Device(device)) => {
            let is_live = |device: &ListedDevice| account.is_device_valid(&device.id, device.epoch);
            match device.filter(is_live) {
                Some(device) => Ok(one_device(app, visitor, page, &device).await?),
                // OA-127: the device of another user does not exist among those of this user.
                None => Ok(start(app, visitor)),
            }
        }
        (Page::Profile, Rows::Addresses(own)) => Ok(profile(app, visitor, own)),
        (Page::ConfirmAddress(_), Rows::Validation(Some(validation))) => {
            Ok(confirm_address(app, visitor, &validation, None))
        }
        (Page::Password, _) => Ok(password(app, visitor, StatusCode::OK, None)),
        (Page::Deactivate, _) => Ok(deactivate(app, visitor)),
        (Page::CrossSigning, _) => Ok(cross_signing(app, visitor)),
        _ => Ok(start(app, visitor)),
    }
}

fn start(app: &App, visitor: &Visitor) -> Response {
    let config = &app.config;
    let all = [
        (true, Page::Devices, "Your devices"),
        (true, Page::Profile, "E-mail addresses and phone numbers"),
        (
            config.password_changes,
            Page::Password,
            "Change your password",
        ),
        (
            AccountAction::CrossSigningReset.is_possible(config),
            Page::CrossSigning,
            "Reset your encryption keys",
        ),
        (
            AccountAction::AccountDeactivate.is_possible(config),
            Page::Deactivate,
            "Deactivate your account",
        ),
    ];
    let links = all.into_iter().filter(|(is_possible, ..)| *is_possible);
    let links = links.map(|(_, page, name)| Link::new(config, &page, name));
    let page = StartPage {
        server: config.server_name.as_str(),
        user_id: visitor.user_id(app),
        links: links.collect(),
        logout: visitor.browser.form(app, &format!("{PATH}/{LOGOUT}"), ""),
    };
    visitor.browser.page(app, StatusCode::OK, &page)
}

/// The view of a device. `clients` are the registered clients among those of the devices.
fn view(app: &App, device: &ListedDevice, clients: &BTreeMap<String, Client>) -> DeviceView {
    let client = device.oauth_client.as_ref().and_then(|id| clients.get(id));
    DeviceView {
        url: Page::Device(device.id.clone()).url(&app.config),
        display_name: device.display_name.clone().unwrap_or_default(),
        id: device.id.as_str().to_owned(),
        app: client.map(|client| AppView {
            name: client.metadata.client_name.clone().unwrap_or_default(),
            host: client.metadata.host().to_owned(),
        }),
        api: match device.oauth_client {
            Some(_) => "this server's pages (OAuth 2.0)",
            None => "the password in an app (account API)",
        },
        signed_in: device.issued_at.map(format_date::utc),
    }
}

async fn list(
    app: &App,
    visitor: &Visitor,
    found: &[ListedDevice],
) -> Result<Response, StoreError> {
    let ids: BTreeSet<&str> = found
        .iter()
        .filter_map(|device| device.oauth_client.as_deref())
        .collect();
    let clients = oauth::find_clients(app, ids).await?;
    let page = DevicesPage {
        server: app.config.server_name.as_str(),
        user_id: visitor.user_id(app),
        devices: found
            .iter()
            .map(|device| view(app, device, &clients))
            .collect(),
        start: Page::Start.url(&app.config),
    };
    Ok(visitor.browser.page(app, StatusCode::OK, &page))
}

/// The page of a device, or the question before it is signed out.
async fn one_device(
    app: &App,
    visitor: &Visitor,
    page: &Page,
    device: &ListedDevice,
) -> Result<Response, StoreError> {
    let (browser, config) = (&visitor.browser, &app.config);
    let server = config.server_name.as_str();
    if let Page::SignOut(id) = page {
        let page = ConfirmPage {
            server,
            title: "Sign out a device",
            text: &format!(
                "The device {id} is signed out at once. If it is the only device with the keys of your encrypted \
                 messages, you lose access to them.",
                id = id.as_str()
            ),
            form: Act::SignOut.form(app, browser),
            device_id: Some(id.as_str()),
            offers_erasure: false,
            button: "Sign out",
            start: Page::Start.url(config),
        };
        return Ok(browser.page(app, StatusCode::OK, &page));
    }
    let ids = device.oauth_client.as_deref().into_iter().collect();
    let clients = oauth::find_clients(app, ids).await?;
    let page = OneDevicePage {
        server,
        device: view(app, device, &clients),
        rename: Act::Rename.form(app, browser),
        sign_out: Page::SignOut(device.id.clone()).url(config),
        devices: Page::Devices.url(config),
    };
    Ok(browser.page(app, StatusCode::OK, &page))
}

fn profile(app: &App, visitor: &Visitor, own: Vec<OwnThreePid>) -> Response {
    let (browser, config) = (&visitor.browser, &app.config);
    let address = |own: OwnThreePid| {
        let threepid = own.threepid;
        Address {
            text: text_of(&threepid),
            medium: threepid.medium.to_string(),
            value: threepid.address,
            added: format_date::utc(own.added),
            form: config
                .threepid_changes
                .then(|| Act::RemoveAddress.form(app, browser)),
        }
    };
    let offered = |medium, act: Act| {
        let is_offered = config.threepid_changes && recipients::sends(config, medium);
        is_offered.then(|| act.form(app, browser))
    };
    let page = ProfilePage {
        server: config.server_name.as_str(),
        user_id: visitor.user_id(app),
        password: config.password_changes.then(|| Page::Password.url(config)),
        addresses: own.into_iter().map(address).collect(),
        mail: offered(Medium::Email, Act::SendMail),
        text: offered(Medium::Msisdn, Act::SendText),
        countries: config
            .sms
            .iter()
            .flat_map(|sms| sms.countries.iter().map(String::as_str))
            .collect(),
        start: Page::Start.url(config),
    };
    browser.page(app, StatusCode::OK, &page)
}

/// The form that confirms a new 3PID, with the reason why it was not added yet.
pub(crate) fn confirm_address(
    app: &App,
    visitor: &Visitor,
    validation: &ValidationRow,
    error: Option<&str>,
) -> Response {
    let threepid = &validation.threepid;
    let is_pending = validation.state == ValidationState::Pending;
    let page = ConfirmAddressPage {
        server: app.config.server_name.as_str(),
        error,
        address: text_of(threepid),
        medium: is_pending.then_some(threepid.medium),
        sid: &validation.sid,
        form: Act::AddAddress.form(app, &visitor.browser),
        profile: Page::Profile.url(&app.config),
    };
    let status = error.map_or(StatusCode::OK, |_| StatusCode::BAD_REQUEST);
    visitor.browser.page(app, status, &page)
}

/// A 3PID as a page shows it.
fn text_of(threepid: &ThreePid) -> String {
    match threepid.medium {
        Medium::Email => threepid.address.clone(),
        Medium::Msisdn => format!("+{}", threepid.address),
    }
}

/// The form for a new password, with the reason why the last one was not accepted.
pub(crate) fn password(
    app: &App,
    visitor: &Visitor,
    status: StatusCode,
    error: Option<&str>,
) -> Response {
    let page = PasswordPage {
        server: app.config.server_name.as_str(),
        user_id: visitor.user_id(app),
        error,
        form: Act::Password.form(app, &visitor.browser),
        start: Page::Start.url(&app.config),
    };
    visitor.browser.page(app, status, &page)
}

fn deactivate(app: &App, visitor: &Visitor) -> Response {
    let page = ConfirmPage {
        server: app.config.server_name.as_str(),
        title: "Deactivate your account",
        text: &format!(
            "The account {} is deactivated permanently: nobody can use it or its name again. All devices are signed out.",
            visitor.user_id(app)
        ),
        form: Act::Deactivate.form(app, &visitor.browser),
        device_id: None,
        offers_erasure: true,
        button: "Deactivate the account permanently",
        start: Page::Start.url(&app.config),
    };
    visitor.browser.page(app, StatusCode::OK, &page)
}

fn cross_signing(app: &App, visitor: &Visitor) -> Response {
    let page = ConfirmPage {
        server: app.config.server_name.as_str(),
        title: "Reset your encryption keys",
        text: "Continue only if you have just started the reset in your app. Your app may then replace the keys that \
               confirm your devices. Other people must verify you again.",
        form: Act::CrossSigning.form(app, &visitor.browser),
        device_id: None,
        offers_erasure: false,
        button: "Allow the reset",
        start: Page::Start.url(&app.config),
    };
    visitor.browser.page(app, StatusCode::OK, &page)
}
