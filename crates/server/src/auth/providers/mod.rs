//! Signing in with a provider: OpenID Connect, the authorization code flow with PKCE (RFC 7636).
//!
//! [`Providers::begin`] makes the address to which the browser goes, and what the server keeps until it comes
//! back; [`Providers::finish`] exchanges the code that it brings for who the person is. What a provider says of
//! itself (Discovery) is fetched when it is first needed, and kept for a while.
//!
//! # Not here
//!
//! Keeping attempts, so that each `state` is used once, with the provider and in the browser for which it was
//! made; and which account it is.

mod settings;

use std::{collections::BTreeMap, sync::Arc};

use chrono::DateTime;
use openidconnect::{
    AccessToken, AuthType, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest,
    HttpResponse, IssuerUrl, JsonWebKey, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SubjectIdentifier, TokenResponse,
    core::{
        CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreIdToken, CoreIdTokenClaims,
        CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreTokenResponse, CoreUserInfoClaims,
    },
};
use url::Url;

pub use self::settings::{ProviderSettings, Secret};
use super::{
    cached::{Cached, FetchError},
    issuers::{ExternalClaims, ExternalOrganization, tidy},
    names::cleaned,
    outgoing::{Outgoing, OutgoingError},
};
use crate::entropy;

/// How ID tokens may be signed: with a private key.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::EdDsa,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
];
/// How far a provider's clock may be ahead.
const LEEWAY_MS: u64 = 60_000;

/// The providers with whom people may sign in.
#[derive(Default)]
pub struct Providers(BTreeMap<String, Provider>);

struct Provider {
    name: String,
    issuer: Url,
    client_id: ClientId,
    client_secret: Option<ClientSecret>,
    scopes: Vec<Scope>,
    organization: Option<String>,
    outgoing: Outgoing,
    metadata: Arc<Cached<CoreProviderMetadata>>,
}

/// What begins a sign-in. The server keeps all but the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Where the browser goes.
    pub url: String,
    /// Comes back with the browser, and tells the attempt.
    pub state: String,
    /// Comes back in the ID token.
    pub nonce: String,
    /// Proves to the provider that whoever brings the code has begun.
    pub pkce_verifier: String,
}

/// What ends a sign-in: the code that the browser brought, and what was kept of its attempt.
#[derive(Clone, Copy, Debug)]
pub struct Return<'a> {
    /// The code.
    pub code: &'a str,
    /// As in the attempt.
    pub nonce: &'a str,
    /// As in the attempt.
    pub pkce_verifier: &'a str,
    /// As when it began.
    pub redirect_uri: &'a str,
}

/// Why someone cannot sign in with a provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The settings have none of this id.
    #[error("there is no such provider")]
    Unknown,
    /// It cannot be reached, or says what nobody understands. Retry later.
    #[error("the provider cannot be reached")]
    Unavailable,
    /// It does not take the code: it was used, is too old, or is another client's. Begin anew.
    #[error("the provider refuses the sign-in: {0}")]
    Refused(String),
    /// What it says of the person is not proved. Begin anew.
    #[error("the provider's ID token is not valid: {0}")]
    Invalid(String),
    /// The address to which the browser comes back is none.
    #[error("the redirect URI is not valid")]
    InvalidRedirect,
}

impl Providers {
    /// Takes the providers of the settings.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings.
    pub fn new(settings: &[ProviderSettings], outgoing: &Outgoing) -> Result<Self, String> {
        ProviderSettings::check_all(settings)?;
        let provider = |settings: &ProviderSettings| {
            let provider = Provider::new(settings, outgoing)?;
            Ok((settings.id.clone(), provider))
        };
        settings
            .iter()
            .map(provider)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Id and name of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let providers = self.0.iter();
        providers.map(|(id, provider)| (id.as_str(), provider.name.as_str()))
    }

    /// Begins a sign-in that comes back to `redirect_uri`.
    ///
    /// # Errors
    ///
    /// `Unknown`, `Unavailable`, `InvalidRedirect`.
    pub async fn begin(
        &self,
        provider: &str,
        redirect_uri: &str,
        now_ms: u64,
    ) -> Result<Attempt, ProviderError> {
        let provider = self.0.get(provider).ok_or(ProviderError::Unknown)?;
        let redirect = redirect(redirect_uri)?;
        let metadata = provider.metadata(now_ms, |_| true).await?;
        let client = provider.client(&metadata)?.set_redirect_uri(redirect);
        let pkce_verifier = entropy::token::<32>();
        let challenge = PkceCodeVerifier::new(pkce_verifier.clone());
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&challenge);
        let (url, state, nonce) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                || CsrfToken::new(entropy::token::<24>()),
                || Nonce::new(entropy::token::<24>()),
            )
            .add_scopes(provider.scopes.iter().cloned())
            .set_pkce_challenge(challenge)
            .url();
        Ok(Attempt {
            url: url.into(),
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            pkce_verifier,
        })
    }

    /// Who has signed in. The e-mail address is there if the provider says that it is verified.
    ///
    /// # Errors
    ///
    /// `Unknown`, `Unavailable`, `Refused`, `Invalid`, `InvalidRedirect`.
    pub async fn finish(
        &self,
        provider: &str,
        returned: Return<'_>,
        now_ms: u64,
    ) -> Result<ExternalClaims, ProviderError> {
        let provider = self.0.get(provider).ok_or(ProviderError::Unknown)?;
        let redirect = redirect(returned.redirect_uri)?;
        let metadata = provider.metadata(now_ms, |_| true).await?;
        let request = provider.client(&metadata)?.set_redirect_uri(redirect);
        let tokens: CoreTokenResponse = request
            .exchange_code(AuthorizationCode::new(returned.code.to_owned()))
            .map_err(|_| ProviderError::Unavailable)?
            .set_pkce_verifier(PkceCodeVerifier::new(returned.pkce_verifier.to_owned()))
            .request_async(&provider.http())
            .await
            .map_err(|error| match error {
                RequestTokenError::ServerResponse(says) => provider.refused(says.error().as_ref()),
                error => provider.unavailable("token endpoint", &error),
            })?;
        let id_token = tokens
            .id_token()
            .ok_or_else(|| ProviderError::Invalid("there is none".to_owned()))?;
        let claims = provider.verify(id_token, returned.nonce, now_ms).await?;
        let more = match metadata.userinfo_endpoint() {
            Some(_) if claims.name().is_none() || claims.email().is_none() => {
                let token = tokens.access_token().clone();
                let subject = claims.subject().clone();
                provider.user_info(&metadata, token, subject).await
            }
            _ => None,
        };
        Ok(provider.identity(&claims, more.as_ref()))
    }
}

impl Provider {
    fn new(settings: &ProviderSettings, outgoing: &Outgoing) -> Result<Self, String> {
        let (issuer, secret) = settings.parts()?;
        // Exactly as the settings have it: the provider must say the same, to the last slash.
        let name = IssuerUrl::new(settings.issuer.clone()).map_err(|error| error.to_string())?;
        let fetch = {
            let (outgoing, issuer) = (outgoing.clone(), issuer.clone());
            move || {
                let discovered = discover(outgoing.clone(), name.clone(), issuer.clone());
                Box::pin(discovered) as super::cached::Fetching<_>
            }
        };
        Ok(Self {
            name: settings.name.clone(),
            issuer,
            client_id: ClientId::new(settings.client_id.clone()),
            client_secret: secret.map(ClientSecret::new),
            scopes: settings.scopes.iter().cloned().map(Scope::new).collect(),
            organization: settings.organization.clone(),
            outgoing: outgoing.clone(),
            metadata: Cached::new(
                format_args!("what provider {} says of itself", settings.id),
                Box::new(fetch),
            ),
        })
    }

    async fn metadata(
        &self,
        now_ms: u64,
        wanted: impl Fn(&CoreProviderMetadata) -> bool,
    ) -> Result<Arc<CoreProviderMetadata>, ProviderError> {
        let metadata = self.metadata.get(now_ms, wanted).await;
        metadata.ok_or(ProviderError::Unavailable)
    }

    /// Sends requests of the library.
    fn http(&self) -> impl Fn(HttpRequest) -> Sending + Send + Sync + use<> {
        http(self.outgoing.clone(), self.issuer.clone())
    }

    fn refused(&self, why: &str) -> ProviderError {
        // Anything else than a code that does not work is for the operator.
        if why != "invalid_grant" {
            tracing::warn!(issuer = %self.issuer, why, "a provider refuses sign-ins");
        }
        ProviderError::Refused(why.to_owned())
    }

    fn unavailable(&self, what: &str, error: &(dyn std::error::Error + 'static)) -> ProviderError {
        tracing::warn!(issuer = %self.issuer, what, error, "a provider cannot be asked");
        ProviderError::Unavailable
    }

    /// Whether the ID token is genuine, for this client, of this attempt, and not over.
    async fn verify(
        &self,
        token: &CoreIdToken,
        nonce: &str,
        now_ms: u64,
    ) -> Result<CoreIdTokenClaims, ProviderError> {
        let kid = jsonwebtoken::decode_header(token.to_string()).ok();
        let kid = kid.and_then(|header| header.kid);
        let wanted = |metadata: &CoreProviderMetadata| {
            let mut keys = metadata.jwks().keys().iter().filter_map(JsonWebKey::key_id);
            kid.is_none() || keys.any(|key| Some(key.as_str()) == kid.as_deref())
        };
        // The provider's keys may have changed since.
        let metadata = self.metadata(now_ms, wanted).await?;
        let time = |ms: u64| {
            let time = i64::try_from(ms).ok();
            time.and_then(DateTime::from_timestamp_millis)
                .unwrap_or(DateTime::UNIX_EPOCH)
        };
        let (now, latest) = (time(now_ms), time(now_ms.saturating_add(LEEWAY_MS)));
        let client = self.client(&metadata)?;
        let verifier = client
            .id_token_verifier()
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(|| now)
            .set_issue_time_verifier_fn(|issued| {
                let early = issued > latest;
                (!early).then_some(()).ok_or_else(|| "not yet".to_owned())
            });
        let claims = token.claims(&verifier, &Nonce::new(nonce.to_owned()));
        claims
            .cloned()
            .map_err(|error| ProviderError::Invalid(error.to_string()))
    }

    /// What the ID token does not say. Someone without it can sign in as well.
    async fn user_info(
        &self,
        metadata: &CoreProviderMetadata,
        token: AccessToken,
        subject: SubjectIdentifier,
    ) -> Option<CoreUserInfoClaims> {
        let client = self.client(metadata).ok()?;
        // The answer must be about the same person.
        let request = client.user_info(token, Some(subject)).ok()?;
        match request.request_async(&self.http()).await {
            Ok(claims) => Some(claims),
            Err(error) => {
                self.unavailable("userinfo endpoint", &error);
                None
            }
        }
    }

    fn identity(
        &self,
        claims: &CoreIdTokenClaims,
        more: Option<&CoreUserInfoClaims>,
    ) -> ExternalClaims {
        let ms = |time: DateTime<chrono::Utc>| u64::try_from(time.timestamp_millis()).unwrap_or(0);
        let verified = claims.email_verified() == Some(true);
        let email = claims.email().filter(|_| verified);
        let also = more.filter(|more| more.email_verified() == Some(true));
        let email = email.or_else(|| also.and_then(|also| also.email()));
        let name = claims.name().and_then(|name| name.get(None));
        let name = name.or_else(|| more.and_then(|more| more.name()?.get(None)));
        let username = claims.preferred_username();
        let username = username.or_else(|| more.and_then(|more| more.preferred_username()));
        ExternalClaims {
            issuer: claims.issuer().to_string(),
            subject: claims.subject().to_string(),
            name: name
                .and_then(|name| cleaned(name))
                .or_else(|| username.and_then(|name| cleaned(name))),
            email: email.and_then(|email| tidy(email)),
            organization: ExternalOrganization::configured(self.organization.as_ref()),
            issued_at_ms: Some(ms(claims.issue_time())),
            expires_at_ms: ms(claims.expiration()),
        }
    }
}

/// The library's client, whose type says which endpoints it has.
type Client = CoreClient<
    openidconnect::EndpointSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointMaybeSet,
    openidconnect::EndpointMaybeSet,
>;

impl Provider {
    fn client(&self, metadata: &CoreProviderMetadata) -> Result<Client, ProviderError> {
        let client = CoreClient::from_provider_metadata(
            metadata.clone(),
            self.client_id.clone(),
            self.client_secret.clone(),
        );
        // `client_secret_basic` unless the provider knows only the other form.
        let methods = metadata.token_endpoint_auth_methods_supported();
        let only_in_body = methods.is_some_and(|methods| {
            methods.contains(&CoreClientAuthMethod::ClientSecretPost)
                && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
        });
        Ok(client.set_auth_type(match only_in_body {
            true => AuthType::RequestBody,
            false => AuthType::BasicAuth,
        }))
    }
}

type Sending = std::pin::Pin<Box<dyn Future<Output = Result<HttpResponse, OutgoingError>> + Send>>;

fn http(
    outgoing: Outgoing,
    configured: Url,
) -> impl Fn(HttpRequest) -> Sending + Send + Sync + use<> {
    move |request| {
        let (outgoing, configured) = (outgoing.clone(), configured.clone());
        Box::pin(async move { outgoing.send(request, &configured).await })
    }
}

/// Fetches what the provider says of itself, and its keys.
async fn discover(
    outgoing: Outgoing,
    issuer: IssuerUrl,
    configured: Url,
) -> Result<CoreProviderMetadata, FetchError> {
    let http = http(outgoing.clone(), configured.clone());
    let discovered = CoreProviderMetadata::discover_async(issuer, &http).await;
    let metadata = discovered.map_err(|error| match error {
        openidconnect::DiscoveryError::Request(error) => error.into(),
        openidconnect::DiscoveryError::Response(status, ..) if status != 200 => {
            FetchError::Status(status.as_u16())
        }
        error => FetchError::Malformed(error.to_string()),
    })?;
    // Browsers are sent to the one, and the others get the client's secret and people's tokens: said now,
    // not when someone has signed in.
    let endpoints = [
        Some(metadata.authorization_endpoint().url()),
        metadata.token_endpoint().map(|endpoint| endpoint.url()),
        metadata.userinfo_endpoint().map(|endpoint| endpoint.url()),
    ];
    for endpoint in endpoints.into_iter().flatten() {
        outgoing.check(endpoint, &configured)?;
    }
    Ok(metadata)
}

fn redirect(uri: &str) -> Result<RedirectUrl, ProviderError> {
    RedirectUrl::new(uri.to_owned()).map_err(|_| ProviderError::InvalidRedirect)
}

#[cfg(test)]
mod tests;
