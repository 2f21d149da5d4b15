//! The functions, by their logical IDs in the template. The list is generated from `functions/*/function.yaml`.

use std::{collections::HashMap, sync::Arc};

use shared::{
    app::App,
    aws::Aws,
    lambda::{Observed, service},
};

use crate::gateway::Function;

/// Every endpoint, with the app that `app` creates for its logical id.
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
        // generated: functions
        Account: account,
        Account3pid: account_3pid,
        Account3pidAdd: account_3pid_add,
        Account3pidBind: account_3pid_bind,
        Account3pidDelete: account_3pid_delete,
        Account3pidEmailRequestToken: account_3pid_email_request_token,
        Account3pidMsisdnRequestToken: account_3pid_msisdn_request_token,
        Account3pidUnbind: account_3pid_unbind,
        AccountDeactivate: account_deactivate,
        AccountPassword: account_password,
        AccountPasswordEmailRequestToken: account_password_email_request_token,
        AccountPasswordMsisdnRequestToken: account_password_msisdn_request_token,
        AccountWhoami: account_whoami,
        AuthFallbackWeb: auth_fallback_web,
        AuthMetadata: auth_metadata,
        Capabilities: capabilities,
        DeleteDevices: delete_devices,
        Devices: devices,
        DevicesDeviceId: devices_device_id,
        KeyV2Server: key_v2_server,
        Login: login,
        Logout: logout,
        LogoutAll: logout_all,
        Oauth2Authorize: oauth2_authorize,
        Oauth2Device: oauth2_device,
        Oauth2Introspect: oauth2_introspect,
        Oauth2Link: oauth2_link,
        Oauth2Recovery: oauth2_recovery,
        Oauth2Registration: oauth2_registration,
        Oauth2Revoke: oauth2_revoke,
        Oauth2SignUp: oauth2_sign_up,
        Oauth2Token: oauth2_token,
        Refresh: refresh,
        Register: register,
        RegisterAvailable: register_available,
        RegisterEmailRequestToken: register_email_request_token,
        RegisterMLoginRegistrationTokenValidity: register_m_login_registration_token_validity,
        RegisterMsisdnRequestToken: register_msisdn_request_token,
        Unrecognized: unrecognized,
        ValidateConfirm: validate_confirm,
        ValidateSubmitToken: validate_submit_token,
        Versions: versions,
        WellKnownMatrixClient: well_known_matrix_client,
        // /generated: functions
    }
}

/// The worker `Deliver`, which has no route.
pub(crate) fn deliver(app: Arc<App>, aws: &Aws) -> Observed<deliver::Deliver> {
    Observed::new(Arc::clone(&app), deliver::Deliver::new(app, aws))
}
