//! The REST API and the web application, as docs/protocol.md says.

mod accounts;
mod address;
mod admin;
mod api_keys;
mod audit;
mod content;
mod documents;
mod edge;
mod error;
mod extract;
mod grants;
mod headers;
pub(crate) mod idempotency;
mod keys;
mod limits;
mod links;
mod live;
mod openapi;
mod organization;
mod origins;
mod presence;
mod privacy;
mod probes;
mod providers;
mod state;
mod tags;
mod users;
mod web;

use std::sync::Arc;

use axum::{Extension, extract::DefaultBodyLimit, middleware::from_fn_with_state};
use motet_model::limits::MESSAGE_BYTES_MAX;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
};

use self::error::ApiError;
pub(crate) use self::{
    accounts::Account,
    address::{Network, ProxyHeaders, Remote, network_of},
    edge::{Edge, Service},
    headers::ImageSource,
    limits::RequestLimits,
    origins::Origin,
    probes::Needs,
    state::App,
    tags::Turns,
};

use crate::config::{Config, NodeRole};

/// Largest body of a request.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;

/// Everything that the server answers.
pub(crate) fn router(app: Arc<App>, edge: &Edge, config: &Config) -> Service {
    let (is_gateway, is_api) = (config.does(NodeRole::Gateway), config.does(NodeRole::Api));
    let mut versioned = OpenApiRouter::new();
    if is_api {
        versioned = versioned.merge(api(&app));
    }
    if is_gateway {
        versioned = versioned.merge(live());
    }
    if is_api || is_gateway {
        versioned = versioned.merge(present());
    }
    let versioned = versioned.fallback(async || ApiError::not_found("endpoint"));
    let mut described = OpenApiRouter::with_openapi(openapi::outline())
        .nest("/api/v1", versioned)
        .routes(routes!(probes::alive))
        .routes(routes!(probes::ready));
    if is_api {
        described = described.routes(routes!(keys::show_where_known));
    }
    let (routes, document) = described.split_for_parts();
    let mut router = routes
        .layer(Extension(openapi::Published::new(document)))
        .with_state(Arc::clone(&app));
    if is_gateway {
        router = router.merge(edge.sockets(app.collab.router()));
    }
    if is_api {
        let pages = Arc::clone(&edge.pages);
        router = router.fallback(move |request| web::serve(pages, request));
    } else {
        router = router.fallback(async || ApiError::not_found("endpoint"));
    }
    let refuse = async || ApiError::method_not_allowed();
    edge.wrap(router.method_not_allowed_fallback(refuse), app)
}

/// Live documents where WebSockets are blocked.
fn live() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(live::events))
        .routes(routes!(live::messages))
}

/// Who is here: asked of gateways by nodes with the API, which know only of themselves.
fn present() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(presence::show))
        .routes(routes!(admin::sessions))
        .routes(routes!(admin::end_session))
}

/// The REST API: what is not in the document that describes it is not there either.
fn api(app: &Arc<App>) -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(openapi::show))
        .routes(routes!(accounts::register))
        .routes(routes!(accounts::login))
        .routes(routes!(accounts::refresh))
        .routes(routes!(accounts::logout))
        .routes(routes!(accounts::validate))
        .routes(routes!(accounts::change_password))
        .routes(routes!(providers::list))
        .routes(routes!(providers::begin))
        .routes(routes!(providers::finish))
        .routes(routes!(keys::show))
        .routes(routes!(users::show, users::change))
        .routes(
            routes!(users::put_avatar, users::delete_avatar)
                .layer(DefaultBodyLimit::max(users::AVATAR_BYTES_MAX)),
        )
        .routes(routes!(users::avatar))
        .routes(routes!(privacy::export))
        .routes(routes!(privacy::erase))
        .routes(routes!(audit::list))
        .routes(routes!(audit::of_document))
        .routes(routes!(api_keys::list, api_keys::create))
        .routes(routes!(api_keys::revoke))
        .routes(routes!(organization::show, organization::rename))
        .routes(routes!(organization::groups, organization::create_group))
        .routes(routes!(
            organization::rename_group,
            organization::delete_group
        ))
        .routes(routes!(organization::members))
        .routes(routes!(organization::join, organization::leave))
        .routes(routes!(admin::users, admin::create_user))
        .routes(routes!(admin::change_user))
        .routes(routes!(admin::limits))
        .routes(routes!(links::invitation, links::open))
        .routes(routes!(links::list, links::create))
        .routes(routes!(links::revoke))
        .routes(
            routes!(documents::list, documents::create)
                .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX)),
        )
        .routes(routes!(content::show, documents::change, documents::delete))
        .routes(routes!(grants::list, grants::add))
        .routes(routes!(grants::remove))
        .routes(routes!(content::edit).layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX)))
        .routes(routes!(content::changes))
        .routes(routes!(documents::restore))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(app), idempotency::once))
}
