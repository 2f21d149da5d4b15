//! `POST /account/3pid/delete`.
