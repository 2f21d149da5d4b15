//! The browser of a request: its cookie, and the pages and forms for it (OA-55).

use ::http::{StatusCode, header};
use askama::Template;

use super::{FormStart, forms, page, path_of};
use crate::{
    app::App,
    config::Config,
    http::{Request, Response},
    oauth::browser_sessions,
    secrets::Secret,
};

/// A browser. Its cookie may have a browser session or none.
#[derive(Debug)]
pub struct Browser {
    cookie: Secret,
    is_new: bool,
}

impl Browser {
    /// The browser of a request with a cookie.
    pub fn of(app: &App, request: &Request) -> Option<Self> {
        let name = cookie_name(&app.config);
        let headers = request.headers.get_all(header::COOKIE).iter();
        let mut pairs = headers
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let cookie = pairs.find_map(|(own, value)| {
            browser_sessions::parse_cookie(value).filter(|_| own == name)
        })?;
        Some(Self {
            cookie,
            is_new: false,
        })
    }

    /// The browser of a request. It gets a cookie if it has none.
    pub fn of_or_new(app: &App, request: &Request) -> Self {
        Self::of(app, request)
            .unwrap_or_else(|| Self::with_new_cookie(browser_sessions::new_cookie(app)))
    }

    /// The browser with a cookie that its next page sets.
    pub fn with_new_cookie(cookie: Secret) -> Self {
        Self {
            cookie,
            is_new: true,
        }
    }

    /// The cookie.
    pub fn cookie(&self) -> &Secret {
        &self.cookie
    }

    /// Whether the cookie is new, so that it has no browser session.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The start of a form that posts to `path`, with this context. A form without a context has an empty one.
    pub fn form(&self, app: &App, path: &str, context: &str) -> FormStart {
        FormStart {
            action: path_of(&app.config, path),
            csrf: forms::csrf_token(app, &self.cookie, path),
            context: context.to_owned(),
        }
    }

    /// A page from a template. Sets the cookie if it is new.
    pub fn page(&self, app: &App, status: StatusCode, template: &impl Template) -> Response {
        self.with_cookie(app, page(status, template))
    }

    /// The response, which sets the cookie if it is new.
    #[must_use]
    pub fn with_cookie(&self, app: &App, response: Response) -> Response {
        let cookie = self.is_new.then(|| {
            let (name, value) = (cookie_name(&app.config), self.cookie.reveal());
            let secure = if is_secure(&app.config) {
                "; Secure"
            } else {
                ""
            };
            format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}")
        });
        Response { cookie, ..response }
    }
}

/// The name of the cookie. Browsers accept the prefix only with `Secure`, and some accept `Secure` only from `https`.
fn cookie_name(config: &Config) -> &'static str {
    if is_secure(config) {
        "__Host-gatehouse"
    } else {
        "gatehouse"
    }
}

fn is_secure(config: &Config) -> bool {
    config.public_url.starts_with("https://")
}
