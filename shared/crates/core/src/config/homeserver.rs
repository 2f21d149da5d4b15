//! The homeserver whose accounts are kept here (HS-01).

use super::parse::{Raw, is_http_url};
use crate::secrets::Secret;

const MIN_SECRET_CHARS: usize = 16;

/// The location of the homeserver's `/_synapse/mas/` endpoints, and the secret that both sides share.
#[derive(Debug, Clone)]
pub struct HomeserverConfig {
    /// The URL before `/_synapse/mas/`, without a trailing slash.
    pub url: String,
    /// The shared secret: the bearer token of the requests in both directions.
    pub secret: Secret,
}

/// Reads the settings. `Some(None)` if no homeserver is configured; `None` on an error. A secret without a URL has no
/// effect, because the key ring may contain it before the URL is set.
#[expect(clippy::option_option, reason = "an error differs from an unset value")]
pub(super) fn read(raw: &mut Raw<'_>) -> Option<Option<HomeserverConfig>> {
    const URL: &str = "GATEHOUSE_HOMESERVER_URL";
    const SECRET: &str = "GATEHOUSE_HOMESERVER_SECRET";
    let Some(url) = raw.get(URL) else {
        return Some(None);
    };
    if !is_http_url(&url) {
        raw.add_error(URL, "must be an `https://` or `http://` URL");
        return None;
    }
    if raw.get(SECRET).is_none() {
        raw.add_error(URL, format!("requires {SECRET}"));
        return None;
    }
    if raw.get("GATEHOUSE_GUESTS").as_deref() == Some("true") {
        raw.add_error(
            "GATEHOUSE_GUESTS",
            format!("must be `false` with {URL}: the homeserver accepts no guests"),
        );
        return None;
    }
    let secret = Secret::new(raw.provider_key(SECRET)?);
    if secret.reveal().len() < MIN_SECRET_CHARS {
        raw.add_error(
            SECRET,
            format!("must have at least {MIN_SECRET_CHARS} characters"),
        );
        return None;
    }
    Some(Some(HomeserverConfig {
        url: url.trim_end_matches('/').to_owned(),
        secret,
    }))
}
