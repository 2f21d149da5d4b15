//! Endpoint by endpoint.

mod api;
