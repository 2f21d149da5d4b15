//! The functions, by their logical ids in the template: the one place where `local/` knows their names.

use std::{collections::HashMap, sync::Arc};

use shared::{app::App, lambda::service};

use crate::gateway::Function;

/// Every function, each with the app that `app` makes for its logical id.
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
        Register: register,
        RegisterAvailable: register_available,
        RegisterMLoginRegistrationTokenValidity: register_m_login_registration_token_validity,
        Unrecognized: unrecognized,
        Versions: versions,
    }
}
