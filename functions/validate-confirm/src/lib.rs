//! `POST /_matrix/client/{r0,v3}/validate/{medium}/confirm`
//!
//! Where the button of a mail's page posts to (3PID-30, 3PID-52): a route of its own, so that nothing
//! that merely opens links validates anything.

use std::sync::Arc;

use shared::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Query, Request as HttpRequest, Response as HttpResponse},
    pages,
    threepids::{
        Medium,
        proofs::{self, SubmitError, SubmittedToken},
    },
    validation_pages::{self, Named},
};

/// Answers the request, always with a page or a redirect.
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    if validation_pages::medium(&request.path) != Some(Medium::Email) {
        return Err(MatrixError::new(ErrorCode::UnknownPath, "Unrecognized request").into());
    }
    Ok(match confirm(&app, &request).await {
        Ok(page) => page,
        Err(error) => pages::trouble(&app.config, &error),
    })
}

async fn confirm(app: &App, request: &HttpRequest) -> Result<HttpResponse, MatrixError> {
    let form = Query::of_form(&request.body)?;
    let Some(named) = Named::read(&form) else {
        return Ok(validation_pages::failed(app, SubmitError::Unknown));
    };
    let token = SubmittedToken {
        medium: Medium::Email,
        sid: &named.sid,
        client_secret: named.client_secret.as_ref(),
        token: &named.token,
    };
    if form.get("action") == Some("refuse") {
        return Ok(match proofs::refuse(app, &token, request.network).await {
            Ok(()) => validation_pages::refused(app),
            Err(error) => validation_pages::failed(app, error),
        });
    }
    Ok(match proofs::submit(app, &token, request.network).await {
        Ok(opened) => validation_pages::validated(app, opened),
        Err(error) => validation_pages::failed(app, error),
    })
}
