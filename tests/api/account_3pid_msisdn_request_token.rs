//! `POST /account/3pid/msisdn/requestToken`.
