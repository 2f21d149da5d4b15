//! What clients find under `/.well-known/matrix/client` (WK-01).

use super::parse::{Raw, is_http_url};

/// Where clients are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WellKnown {
    /// The homeserver's URL, without a slash at the end.
    pub homeserver: String,
    /// The identity server's, if they are told of one.
    pub identity_server: Option<String>,
}

/// Reads both URLs; `Some(None)` if clients are sent nowhere.
#[expect(clippy::option_option, reason = "a fault is not the same as nothing")]
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
                "is told only together with GATEHOUSE_WELL_KNOWN_HOMESERVER",
            );
            None
        }
    }
}

#[expect(clippy::option_option, reason = "a fault is not the same as nothing")]
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
