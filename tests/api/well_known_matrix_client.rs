//! `GET /.well-known/matrix/client`.
