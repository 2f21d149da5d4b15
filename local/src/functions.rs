//! The functions, by their logical ids in the template: the one place where `local/` knows their names.

use std::{collections::HashMap, sync::Arc};

use shared::{app::App, aws::Aws, lambda::service};

use crate::gateway::Function;

/// Every endpoint, each with the app that `app` makes for its logical id.
pub(crate) fn all(app: impl Fn(&str) -> Arc<App>) -> HashMap<String, Function> {
    macro_rules! functions {
        ($($id:ident: $package:ident,)*) => {
            HashMap::from([$((
                stringify!($id).to_owned(),
                Function::new(service(app(stringify!($id)), $package::handle)),
            )),*])
        };
    }
    functions! {
        AccountWhoami: account_whoami,
        AuthFallbackWeb: auth_fallback_web,
        Login: login,
        Logout: logout,
        LogoutAll: logout_all,
        Register: register,
        RegisterAvailable: register_available,
        RegisterEmailRequestToken: register_email_request_token,
        RegisterMLoginRegistrationTokenValidity: register_m_login_registration_token_validity,
        RegisterMsisdnRequestToken: register_msisdn_request_token,
        Unrecognized: unrecognized,
        ValidateConfirm: validate_confirm,
        ValidateSubmitToken: validate_submit_token,
        Versions: versions,
    }
}

/// The function `Deliver`, which no route leads to.
pub(crate) fn deliver(app: Arc<App>, aws: &Aws) -> deliver::Deliver {
    deliver::Deliver::new(app, aws)
}
