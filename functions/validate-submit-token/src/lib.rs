//! `POST` and `GET /_matrix/client/{r0,v3}/validate/{medium}/submitToken`
//!
//! The submit URL of [the specification](https://spec.matrix.org/v1.15/client-server-api/#post_matrixclientv3registermsisdnrequesttoken),
//! whose path is the server's choice; 3PID-30, 3PID-40 to 3PID-52. Clients `POST` a code as JSON.
//! `GET` is for people: the link in a mail leads to a page that asks (or, by a setting, validates at
//! once, unless it is the way to a new password), a code in a query validates as the identity
//! service's does. `HEAD` is no method of it.

use std::sync::Arc;

use http::Method;
use serde_json::json;
use shared::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Body, Request as HttpRequest, Response as HttpResponse},
    pages,
    secrets::Secret,
    threepids::{
        Medium,
        proofs::{self, LinkOutcome, SubmitError, SubmittedToken, is_opaque_id},
    },
    validation_pages::{self, MAX_TOKEN_CHARS, Named},
};

/// Answers the request: JSON to a `POST`, a page to a `GET`.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    let Some(medium) = validation_pages::medium(&request.path) else {
        return Err(MatrixError::new(ErrorCode::UnknownPath, "Unrecognized request").into());
    };
    if request.method == Method::GET {
        return Ok(match page(&app, &request, medium).await {
            Ok(page) => page,
            Err(error) => pages::trouble(&app.config, &error),
        });
    }
    let body = Body::parse(&request.body)?;
    let sid: String = body.required("sid")?;
    let secret: String = body.required("client_secret")?;
    let token: String = body.required("token")?;
    if !is_opaque_id(&sid) || !is_opaque_id(&secret) {
        // 3PID-44: what cannot be a session is as good as one that is not there.
        return Err(SubmitError::Unknown.into());
    }
    if token.chars().count() > MAX_TOKEN_CHARS {
        return Err(MatrixError::new(ErrorCode::InvalidParam, "`token` is too long").into());
    }
    let token = SubmittedToken {
        medium,
        sid: &sid,
        client_secret: Some(&Secret::new(secret)),
        token: &Secret::new(token),
    };
    // 3PID-30: where a browser would go is nothing to a client.
    proofs::submit(&app, &token, request.network).await?;
    Ok(HttpResponse::ok(&json!({ "success": true })))
}

async fn page(
    app: &App,
    request: &HttpRequest,
    medium: Medium,
) -> Result<HttpResponse, MatrixError> {
    let Some(named) = Named::read(&request.query) else {
        return Ok(validation_pages::failed(app, SubmitError::Unknown));
    };
    let token = SubmittedToken {
        medium,
        sid: &named.sid,
        client_secret: named.client_secret.as_ref(),
        token: &named.token,
    };
    Ok(match proofs::follow(app, &token, request.network).await {
        Ok(LinkOutcome::Asks(opened)) => validation_pages::ask(app, &named, &opened),
        Ok(LinkOutcome::Validated(opened)) => validation_pages::validated(app, opened),
        Err(error) => validation_pages::failed(app, error),
    })
}
