//! The endpoints that exist only with one of the two authentication APIs (OA-145).
//!
//! The setting `GATEHOUSE_AUTH_APIS` selects the APIs. An endpoint of an API that is off does not exist. A change of the
//! setting ends no session, so the endpoints with which a client refreshes a token, lists devices and logs out are not
//! listed here. Four others are not listed because their handlers check the setting: the responses of `POST /login` and
//! `POST /register` depend on the body, and `/account` and the server metadata depend on the homeserver, too.

use ::http::Method;

use crate::{
    config::{AuthApis, Config},
    error::MatrixError,
    http::Request,
};

/// The endpoints of the account API: the method, or `None` for all methods, and the path after
/// `/_matrix/client/{version}`.
const ACCOUNT_API: [(Option<Method>, &str); 17] = [
    (Some(Method::POST), "/account/3pid"),
    (None, "/account/3pid/add"),
    (None, "/account/3pid/delete"),
    (None, "/account/3pid/email/requestToken"),
    (None, "/account/3pid/msisdn/requestToken"),
    (None, "/account/deactivate"),
    (None, "/account/password"),
    (None, "/account/password/email/requestToken"),
    (None, "/account/password/msisdn/requestToken"),
    (None, "/auth/{type}/fallback/web"),
    (None, "/delete_devices"),
    (Some(Method::DELETE), "/devices/{deviceId}"),
    (Some(Method::GET), "/login"),
    (None, "/register/available"),
    (None, "/register/email/requestToken"),
    (None, "/register/m.login.registration_token/validity"),
    (None, "/register/msisdn/requestToken"),
];

/// The endpoints of the OAuth 2.0 API.
const OAUTH_API: [&str; 14] = [
    "/link",
    "/link/consent",
    "/link/login",
    "/link/logout",
    "/oauth2/authorize",
    "/oauth2/authorize/consent",
    "/oauth2/authorize/login",
    "/oauth2/authorize/logout",
    "/oauth2/device",
    "/oauth2/recovery",
    "/oauth2/registration",
    "/oauth2/revoke",
    "/oauth2/sign-up",
    "/oauth2/token",
];

/// Returns the error for an unknown path if the endpoint belongs to an API that is off.
pub(crate) fn ensure_endpoint_exists(
    config: &Config,
    request: &Request,
) -> Result<(), MatrixError> {
    // A preflight request has no effect.
    if request.method == Method::OPTIONS
        || exists(config.oauth.apis, &request.method, &request.resource)
    {
        Ok(())
    } else {
        Err(MatrixError::unknown_path())
    }
}

/// Whether a route of API Gateway exists. The routes of an HTTP API begin with the method.
fn exists(apis: AuthApis, method: &Method, route: &str) -> bool {
    let path = route.rsplit(' ').next().unwrap_or_default();
    if OAUTH_API.contains(&path) {
        return apis.include_oauth();
    }
    let versioned = path.strip_prefix("/_matrix/client/").unwrap_or_default();
    let Some(start) = versioned.find('/') else {
        return true;
    };
    let is_listed = ACCOUNT_API.iter().any(|(own_method, own_path)| {
        versioned[start..] == **own_path && own_method.as_ref().is_none_or(|own| own == method)
    });
    !is_listed || apis.include_account_api()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oa_145_an_http_api_has_the_same_endpoints() {
        let post = Method::POST;
        for prefix in ["", "POST "] {
            let exists = |apis, path| exists(apis, &post, &format!("{prefix}{path}"));
            for (path, legacy, oauth) in [
                ("/_matrix/client/v3/account/3pid", true, false),
                ("/_matrix/client/r0/delete_devices", true, false),
                ("/_matrix/client/v3/logout", true, true),
                ("/oauth2/token", false, true),
                ("/oauth2/introspect", true, true),
                ("/_matrix/client/versions", true, true),
                ("/{proxy+}", true, true),
                ("$default", true, true),
            ] {
                assert_eq!(exists(AuthApis::Legacy, path), legacy, "{path}");
                assert_eq!(exists(AuthApis::OAuth, path), oauth, "{path}");
                assert!(exists(AuthApis::Both, path), "{path}");
            }
        }
    }
}
