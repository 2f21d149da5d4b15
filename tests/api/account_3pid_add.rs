//! `POST /account/3pid/add`.
