//! The content of the pages.

use askama::Template;
use shared::{config::Config, oauth_pages::FormStart, threepids::Medium};

use crate::page::Page;

/// A link to a page.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) url: String,
    pub(crate) name: &'static str,
}

impl Link {
    pub(crate) fn new(config: &Config, page: &Page, name: &'static str) -> Self {
        let url = page.url(config);
        Self { url, name }
    }
}

#[derive(Template)]
#[template(path = "start.html")]
pub(crate) struct StartPage<'a> {
    pub(crate) server: &'a str,
    pub(crate) user_id: String,
    pub(crate) links: Vec<Link>,
    pub(crate) logout: FormStart,
}

/// A device as a page shows it (OA-130).
#[derive(Debug)]
pub(crate) struct DeviceView {
    pub(crate) url: String,
    pub(crate) id: String,
    /// The display name. Empty if the device has none.
    pub(crate) display_name: String,
    pub(crate) app: Option<AppView>,
    pub(crate) api: &'static str,
    pub(crate) signed_in: Option<String>,
}

impl DeviceView {
    /// The display name, or the ID of a device without one.
    fn name(&self) -> &str {
        if self.display_name.is_empty() {
            &self.id
        } else {
            &self.display_name
        }
    }
}

/// A client, as it registered itself.
#[derive(Debug)]
pub(crate) struct AppView {
    pub(crate) name: String,
    pub(crate) host: String,
}

#[derive(Template)]
#[template(path = "devices.html")]
pub(crate) struct DevicesPage<'a> {
    pub(crate) server: &'a str,
    pub(crate) user_id: String,
    pub(crate) devices: Vec<DeviceView>,
    pub(crate) start: String,
}

#[derive(Template)]
#[template(path = "device.html")]
pub(crate) struct DevicePage<'a> {
    pub(crate) server: &'a str,
    pub(crate) device: DeviceView,
    pub(crate) rename: FormStart,
    pub(crate) sign_out: String,
    pub(crate) devices: String,
}

/// A 3PID as a page shows it.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) text: String,
    pub(crate) medium: String,
    /// The canonical address, for the form.
    pub(crate) value: String,
    pub(crate) added: String,
    /// The form that removes the 3PID, if the settings permit it.
    pub(crate) form: Option<FormStart>,
}

#[derive(Template)]
#[template(path = "profile.html")]
pub(crate) struct ProfilePage<'a> {
    pub(crate) server: &'a str,
    pub(crate) user_id: String,
    pub(crate) password: Option<String>,
    pub(crate) addresses: Vec<Address>,
    /// The form for a new e-mail address.
    pub(crate) mail: Option<FormStart>,
    /// The form for a new phone number.
    pub(crate) text: Option<FormStart>,
    pub(crate) countries: Vec<&'a str>,
    pub(crate) start: String,
}

#[derive(Template)]
#[template(path = "confirm_address.html")]
pub(crate) struct ConfirmAddressPage<'a> {
    pub(crate) server: &'a str,
    pub(crate) error: Option<&'a str>,
    pub(crate) address: String,
    /// The medium of an address that is not validated yet.
    pub(crate) medium: Option<Medium>,
    pub(crate) sid: &'a str,
    pub(crate) form: FormStart,
    pub(crate) profile: String,
}

#[derive(Template)]
#[template(path = "password.html")]
pub(crate) struct PasswordPage<'a> {
    pub(crate) server: &'a str,
    pub(crate) user_id: String,
    pub(crate) error: Option<&'a str>,
    pub(crate) form: FormStart,
    pub(crate) start: String,
}

/// The question before a change.
#[derive(Template)]
#[template(path = "confirm.html")]
pub(crate) struct ConfirmPage<'a> {
    pub(crate) server: &'a str,
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
    pub(crate) form: FormStart,
    pub(crate) device_id: Option<&'a str>,
    pub(crate) offers_erasure: bool,
    pub(crate) button: &'a str,
    pub(crate) start: String,
}

/// The page after a change.
#[derive(Template)]
#[template(path = "done.html")]
pub(crate) struct DonePage<'a> {
    pub(crate) server: &'a str,
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
    pub(crate) link: Option<Link>,
}
