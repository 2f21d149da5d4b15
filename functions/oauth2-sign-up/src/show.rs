//! `GET`: the first page, or the page of the next step. Writes nothing (OA-70).

use shared::{
    accounts,
    app::App,
    http::{Request, Response},
    oauth_pages::{Browser, FormError, LOGIN, login},
    uia::StageType,
};

use crate::{
    failure::Failure,
    pages::{self, Pages, STAGE},
    visitor::{SignUpKey, Visitor},
};

/// Shows a page. Two reads at most, and none for the first page.
pub(crate) async fn show(app: &App, request: &Request) -> Result<Response, Failure> {
    let query = &request.query;
    let browser = Browser::of(app, request).ok_or(FormError::OutOfDate)?;
    let visitor = Visitor::of_query(app, browser, query)?;
    if accounts::ensure_registration_open(&app.config).is_err() {
        return Ok(closed(app, &visitor));
    }
    if query.get(LOGIN).is_some() {
        return Ok(login::page(app, &visitor.browser, &visitor.context, None));
    }
    if query
        .get(shared::oauth_pages::sign_up::SESSION_FIELD)
        .is_none()
    {
        return Ok(pages::details(app, &visitor, None, "", None));
    }
    let key = SignUpKey::parse(query).ok_or(FormError::OutOfDate)?;
    let session = visitor.find_session(app, &key).await?;
    let pages = Pages {
        app,
        visitor: &visitor,
        key: &key,
    };
    let chosen = query.get(STAGE).and_then(StageType::parse);
    let session = session.ok_or(FormError::OutOfDate)?;
    Ok(pages.next(session, chosen, query).await?)
}

/// The login page, which says that registration is closed.
pub(crate) fn closed(app: &App, visitor: &Visitor) -> Response {
    login::page(app, &visitor.browser, &visitor.context_of_sign_up(), None)
}
