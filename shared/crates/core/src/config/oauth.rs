//! The OAuth 2.0 API (OA-145).

use std::time::Duration;

use super::parse::{Raw, parse_duration};

/// The shortest and the longest lifetime of an access token (OA-86). A client refreshes a token about a minute before
/// its end, so a shorter lifetime would cause constant refreshes.
const LIFETIMES: std::ops::RangeInclusive<Duration> =
    Duration::from_mins(2)..=Duration::from_hours(1);

/// The authentication APIs that clients can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthApis {
    /// The account API.
    Legacy,
    /// Both APIs.
    Both,
    /// The OAuth 2.0 API.
    OAuth,
}

impl AuthApis {
    /// Whether clients can use the account API.
    pub fn include_account_api(self) -> bool {
        matches!(self, Self::Legacy | Self::Both)
    }

    /// Whether clients can use the OAuth 2.0 API.
    pub fn include_oauth(self) -> bool {
        matches!(self, Self::Both | Self::OAuth)
    }
}

/// The settings of the OAuth 2.0 API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OAuthConfig {
    /// The APIs with which clients can log in. The tokens of both are valid in any case, so that a change of the setting
    /// ends no session.
    pub apis: AuthApis,
    /// The lifetime of an access token.
    pub token_lifetime: Duration,
    /// Whether a loopback redirect URI may be registered with a port (OA-21).
    pub accepts_loopback_ports: bool,
    /// Whether clients can use the device authorization grant (OA-112).
    pub has_device_grant: bool,
}

/// Reads the settings. `public_url` must be secure if the API is on (OA-07).
pub(super) fn read(raw: &mut Raw<'_>, public_url: Option<&str>) -> Option<OAuthConfig> {
    const APIS: &str = "GATEHOUSE_AUTH_APIS";
    let apis = raw.parsed(APIS, "must be `legacy`, `both` or `oauth`", |text| {
        Some(match text {
            "legacy" => AuthApis::Legacy,
            "both" => AuthApis::Both,
            "oauth" => AuthApis::OAuth,
            _ => return None,
        })
    });
    if apis == Some(AuthApis::OAuth) && raw.get("GATEHOUSE_GUESTS").as_deref() == Some("true") {
        raw.add_error(
            "GATEHOUSE_GUESTS",
            format!("must be `false` with {APIS}=oauth: guests register with the account API"),
        );
        return None;
    }
    let token_lifetime = raw.parsed(
        "GATEHOUSE_OAUTH_TOKEN_LIFETIME",
        "must be a number with one of the units s, m, h, from 2m to 1h",
        |text| parse_duration(text).filter(|lifetime| LIFETIMES.contains(lifetime)),
    );
    let accepts_loopback_ports = raw.parsed(
        "GATEHOUSE_OAUTH_LOOPBACK_PORT",
        "must be `accept` or `refuse`",
        |text| match text {
            "accept" => Some(true),
            "refuse" => Some(false),
            _ => None,
        },
    );
    let has_device_grant = raw.parsed(
        "GATEHOUSE_OAUTH_DEVICE_GRANT",
        "must be `on` or `off`",
        |text| match text {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        },
    );
    let has_issuer = apis.is_some_and(AuthApis::include_oauth);
    if has_issuer && public_url.is_some_and(|url| !is_issuer(url)) {
        raw.add_error(
            "GATEHOUSE_PUBLIC_URL",
            format!(
                "must be an `https://` URL without query and fragment, or an `http://` URL of this computer, unless {APIS} is `legacy`"
            ),
        );
        return None;
    }
    Some(OAuthConfig {
        apis: apis?,
        token_lifetime: token_lifetime?,
        accepts_loopback_ports: accepts_loopback_ports?,
        has_device_grant: has_device_grant?,
    })
}

/// Whether clients accept the URL as an issuer (RFC 8414, section 2): `https` without query and fragment, or `http` on the
/// loopback interface.
fn is_issuer(url: &str) -> bool {
    if url.contains(['?', '#', '@']) {
        return false;
    }
    let Some(rest) = url.strip_prefix("http://") else {
        return true;
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    ["localhost", "127.0.0.1", "[::1]"].contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oa_07_an_issuer_is_secure() {
        for url in [
            "https://example.org",
            "http://localhost",
            "http://127.0.0.1:8008",
            "http://[::1]:8008/base",
            "http://[::1]",
        ] {
            assert!(is_issuer(url), "{url}");
        }
        for url in [
            "http://example.org",
            "http://127.0.0.2",
            "http://localhost.example.org",
            "http://localhost@example.org",
            "https://example.org/?a",
            "https://example.org/#a",
            "https://user@example.org",
        ] {
            assert!(!is_issuer(url), "{url}");
        }
    }
}
