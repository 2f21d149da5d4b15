//! `POST` and `GET /_matrix/client/{r0,v3}/validate/{medium}/submitToken`
//!
//! The `submit_url` of [the specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3registermsisdnrequesttoken),
//! whose path the server may choose (3PID-40). A client posts a code as JSON (3PID-41). `GET` is for
//! browsers:
//!
//! - The link of an e-mail leads to a page that asks for confirmation (3PID-52). With the setting
//!   `GATEHOUSE_EMAIL_LINK=direct`, the link validates the address immediately, except for a password reset.
//! - A code in the query validates the address, as at an identity server.
//!
//! `HEAD` validates nothing, whatever the setting is.

use std::sync::Arc;

use http::Method;
use serde_json::json;
use shared::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Request as HttpRequest, Response as HttpResponse},
    pages,
    secrets::Secret,
    threepid_validation::{self, LinkOutcome, SubmitError, SubmittedToken, is_opaque_id},
    threepids::Medium,
    validation_pages::{self, MAX_TOKEN_CHARS, SubmittedFields},
};

/// Handles the request. The response to a `POST` is JSON, the response to a `GET` is a page (3PID-45).
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let Some(medium) = validation_pages::medium(&request.path) else {
        return Err(MatrixError::new(ErrorCode::UnknownPath, "Unrecognized request").into());
    };
    if request.method == Method::GET {
        return Ok(match page(&app, &request, medium).await {
            Ok(page) => page,
            Err(error) => pages::error_with_reload(&app.config, &error),
        });
    }
    let body = Body::parse(&request.body)?;
    let sid: String = body.required("sid")?;
    let secret: String = body.required("client_secret")?;
    let token: String = body.required("token")?;
    if !is_opaque_id(&sid) || !is_opaque_id(&secret) {
        // 3PID-44: a malformed value gets the same response as an unknown session.
        return Err(SubmitError::Unknown.into());
    }
    // 3PID-48
    if token.chars().count() > MAX_TOKEN_CHARS {
        return Err(MatrixError::new(ErrorCode::InvalidParam, "`token` is too long").into());
    }
    let token = SubmittedToken {
        medium,
        sid: &sid,
        client_secret: Some(&Secret::new(secret)),
        token: &Secret::new(token),
    };
    // 3PID-30: `next_link` has no effect for a client that posts.
    // 3PID-42, 3PID-43, 3PID-49, 3PID-50
    threepid_validation::submit(&app, &token, request.network).await?;
    Ok(HttpResponse::ok(&json!({ "success": true })))
}

async fn page(
    app: &App,
    request: &HttpRequest,
    medium: Medium,
) -> Result<HttpResponse, MatrixError> {
    let Some(submitted) = SubmittedFields::read(&request.query) else {
        return Ok(validation_pages::error_page(app, SubmitError::Unknown));
    };
    let token = SubmittedToken {
        medium,
        sid: &submitted.sid,
        client_secret: submitted.client_secret.as_ref(),
        token: &submitted.token,
    };
    Ok(
        match threepid_validation::open_link(app, &token, request.network, request.is_head).await {
            Ok(LinkOutcome::NeedsConfirmation(session)) => {
                validation_pages::confirmation_page(app, &submitted, &session)
            }
            Ok(LinkOutcome::Validated(session)) => validation_pages::validated_page(app, session),
            Err(error @ (SubmitError::Limit(_) | SubmitError::Store(_))) => {
                return Err(error.into());
            }
            Err(error) => validation_pages::error_page(app, error),
        },
    )
}
