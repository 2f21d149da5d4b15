//! The content of `/.well-known/matrix/client` (WK-01).

use super::parse::{Raw, is_http_url};

/// The URLs that clients discover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WellKnown {
    /// The URL of the homeserver, without a trailing slash.
    pub homeserver: String,
    /// The URL of the identity server, without a trailing slash, if configured.
    pub identity_server: Option<String>,
}

/// Reads both URLs. `Some(None)` if neither is set; `None` on an error.
#[expect(clippy::option_option, reason = "an error differs from an unset value")]
pub(super) fn read(raw: &mut Raw<'_>) -> Option<Option<WellKnown>> {
    let homeserver = url(raw, "GATEHOUSE_WELL_KNOWN_HOMESERVER");
    let identity_server = url(raw, "GATEHOUSE_WELL_KNOWN_IDENTITY_SERVER");
    match (homeserver?, identity_server?) {
        (Some(homeserver), identity_server) => Some(Some(WellKnown {
            homeserver,
            identity_server,
        })),
        (None, None) => Some(None),
        (None, Some(_)) => {
            raw.add_error(
                "GATEHOUSE_WELL_KNOWN_IDENTITY_SERVER",
                "requires GATEHOUSE_WELL_KNOWN_HOMESERVER",
            );
            None
        }
    }
}

#[expect(clippy::option_option, reason = "an error differs from an unset value")]
fn url(raw: &mut Raw<'_>, name: &str) -> Option<Option<String>> {
    let Some(url) = raw.get(name) else {
        return Some(None);
    };
    if is_http_url(&url) {
        return Some(Some(url.trim_end_matches('/').to_owned()));
    }
    raw.add_error(name, "must be an `https://` or `http://` URL");
    None
}
