//! `POST /account/password/msisdn/requestToken`.
