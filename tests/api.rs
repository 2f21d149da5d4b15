//! Tests of one endpoint each, and of properties that all endpoints share.

mod account_3pid;
mod account_3pid_add;
mod account_3pid_bind;
mod account_3pid_delete;
mod account_3pid_email_request_token;
mod account_3pid_msisdn_request_token;
mod account_3pid_unbind;
mod account_deactivate;
mod account_password;
mod account_password_email_request_token;
mod account_password_msisdn_request_token;
pub(crate) mod account_threepids;
mod account_whoami;
mod auth_fallback_web;
mod capabilities;
mod delete_devices;
pub(crate) mod devices;
mod devices_device_id;
mod http;
mod incidents;
mod key_v2_server;
mod limits;
mod login;
mod logout;
mod logout_all;
mod properties;
mod refresh;
mod register;
mod register_available;
mod register_email_request_token;
mod register_m_login_registration_token_validity;
mod register_msisdn_request_token;
mod request_token;
pub(crate) mod rows;
pub(crate) mod support;
pub(crate) mod threepids;
mod tokens;
mod unrecognized;
mod validate_confirm;
mod validate_submit_token;
mod versions;
mod well_known_matrix_client;

/// The names that the flow tests use for helpers of [`account_threepids`] and [`rows`].
pub(crate) mod own_addresses {
    pub(crate) use super::{
        account_threepids::{
            ADD, ALICE, BOB, DELETE, LIST, add, add_threepid as give, list, medium, remove,
            user_token as user, validated_session as prove, validation_request as wish,
            with_password,
        },
        rows::{notifications as notices, threepid_owners as owners, validations_in as proofs_in},
    };
}
