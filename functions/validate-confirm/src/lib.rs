//! `POST /_matrix/client/{r0,v3}/validate/{medium}/confirm`
//!
//! Receives the form of the confirmation page to which the link of an e-mail leads. The form has its own
//! route, so that a program that only opens links does not validate an address (3PID-52).

use std::sync::Arc;

use shared::{
    app::App,
    error::{ErrorCode, MatrixError, Rejection},
    http::{Query, Request as HttpRequest, Response as HttpResponse},
    pages,
    threepid_validation::{self, SubmitError, SubmittedToken},
    threepids::Medium,
    validation_pages::{self, SubmittedFields},
};

/// Handles the request. The response is always a page or a redirect (3PID-30).
pub async fn handle(app: Arc<App>, request: HttpRequest) -> Result<HttpResponse, Rejection> {
    if validation_pages::medium(&request.path) != Some(Medium::Email) {
        return Err(MatrixError::new(ErrorCode::UnknownPath, "Unrecognized request").into());
    }
    Ok(match confirm(&app, &request).await {
        Ok(page) => page,
        Err(error) => pages::error(&app.config, &error),
    })
}

async fn confirm(app: &App, request: &HttpRequest) -> Result<HttpResponse, MatrixError> {
    let form = Query::of_form(&request.body)?;
    let Some(submitted) = SubmittedFields::read(&form) else {
        return Ok(validation_pages::error_page(app, SubmitError::Unknown));
    };
    let token = SubmittedToken {
        medium: Medium::Email,
        sid: &submitted.sid,
        client_secret: submitted.client_secret.as_ref(),
        token: &submitted.token,
    };
    if form.get("action") == Some("refuse") {
        return Ok(
            match threepid_validation::report_not_me(app, &token, request.network).await {
                Ok(()) => validation_pages::not_me_page(app),
                // It is too late: the address has been used.
                Err(SubmitError::Spent) => validation_pages::error_page(app, SubmitError::Expired),
                Err(error) => validation_pages::error_page(app, error),
            },
        );
    }
    Ok(
        match threepid_validation::submit(app, &token, request.network).await {
            Ok(session) => validation_pages::validated_page(app, session),
            Err(error) => validation_pages::error_page(app, error),
        },
    )
}
