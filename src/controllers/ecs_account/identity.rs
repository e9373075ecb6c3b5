//! The identity of an account's calls: from the source in its spec to credentials that STS has confirmed.
//!
//! Temporary credentials are kept until their renewal is due. If renewal fails, they are used until they expire. It signs only
//! calls to STS, and never falls back to another source than the one that is named.

use std::time::Duration;

use jiff::SignedDuration;
use kube::ResourceExt;
use sha2::{Digest, Sha256};

use crate::api::Reason;
use crate::api::ecs_account::{AssumeRole, ECSAccount, ECSAccountSpec};
use crate::cloud::accounts::{self, AccountObservations, Identity, Term, UsableAccount};
use crate::cloud::calls::Destination;
use crate::cluster::ClusterError;
use crate::cluster::secrets::RawSecret;
use crate::controllers::Context;
use crate::credentials::{self, OidcRole, Source, imds, refresh};
use crate::decide::Hold;
use crate::ecs::{
    ApiCall, ApiResponse, CallError, CallerIdentity, Class, EndpointError, Keys, RegionEndpoint, RoleRequest, Scope,
    SessionCredentials, Signed, Stamp, Transport, assume_role, assume_role_with_oidc, get_caller_identity,
};

/// The region whose endpoints are used if an account names none.
const DEFAULT_REGION: &str = "cn-hangzhou";
/// How long a role is assumed for by default.
const SESSION_SECONDS: u32 = 3_600;
/// The longest session name that STS takes.
const SESSION_NAME_MAX: usize = 64;

/// What the account signs with from now on; else why it cannot. `before`: the account as last checked.
pub(super) async fn principal<T: Transport>(
    context: &Context<T>,
    account: &ECSAccount,
    learnt: &AccountObservations,
    before: Option<&UsableAccount>,
) -> Result<Identity, Hold> {
    let (name, spec) = (account.name_any(), &account.spec);
    let region = spec.regions.as_ref().and_then(|regions| regions.first()).map_or(DEFAULT_REGION, String::as_str);
    let variable = |name: &str| std::env::var(name).ok();
    let endpoint = endpoint(spec, region, variable, context.settings.allow_http_endpoints)?;
    let scope = Scope { account: name, region_id: region.to_owned() };
    let check = IdentityCheck { context, scope, spec, endpoint, learnt };
    let now = check.now();
    let again = |hold: &Hold| checked_again(hold, super::recheck(&context.settings));
    let current = before
        .filter(|before| is_same_source(&before.spec, spec))
        .and_then(|before| before.principal.as_ref().ok())
        .filter(|current| !current.has_expired(now) && !learnt.is_rejected(&current.credentials.access_key_id));
    let renewed =
        check.renew(current, now).await.map_err(|failure| Failure { hold: check.of_source(failure.hold), ..failure });
    let principal = match (renewed, current) {
        (Ok(principal), _) => principal,
        (Err(Failure { hold, withdraws: false }), Some(current)) => {
            if current.failure.is_none() {
                tracing::warn!(error = hold.message, "the credentials could not be checked; the last ones stay in use");
            } else {
                tracing::debug!(error = hold.message, "the credentials could not be checked again");
            }
            Identity { failure: Some(hold.message), ..current.clone() }
        }
        (Err(Failure { hold, .. }), _) => return Err(again(&hold)),
    };
    if before
        .and_then(|before| before.principal.as_ref().ok())
        .is_some_and(|before| before.identity != principal.identity)
    {
        learnt.forget_permissions();
    }
    check_account_id(spec, &principal.identity).map_err(|hold| again(&check.of_source(hold)))?;
    let limit = SignedDuration::try_from(context.settings.clock_skew_limit).unwrap_or(SignedDuration::MAX);
    check_clock(learnt.clock.skew(), limit).map_err(|hold| again(&hold))?;
    if let Some(refusal) = learnt.why_rejected(check.now(), &principal.credentials.access_key_id) {
        // It says itself when they are tried again.
        return Err(check.of_source(hold(Reason::CredentialsRefused, refusal)));
    }
    Ok(principal)
}

/// Adds when the cause is checked again, for whoever has just fixed it.
pub(super) fn checked_again(hold: &Hold, within: Duration) -> Hold {
    Hold { message: format!("{}; checked again within {} s", hold.message, within.as_secs()), ..hold.clone() }
}

/// Adds which Secret holds the credentials, where a person must fix them.
pub(super) fn of_source(hold: Hold, spec: &ECSAccountSpec, namespace: &str) -> Hold {
    let secret = spec.credentials.secret_ref.as_ref().filter(|_| hold.reason.needs_person());
    let Some(reference) = secret else { return hold };
    let message = format!("{}; the credentials are in Secret {namespace}/{}", hold.message, reference.name);
    Hold { message, ..hold }
}

/// Why there are no new credentials.
struct Failure {
    hold: Hold,
    /// True if the current credentials must be dropped too. Otherwise they stay in use until they expire.
    withdraws: bool,
}

/// Credentials that STS has not confirmed yet.
struct Obtained {
    credentials: Keys,
    term: Option<Term>,
    access_key_id: Option<String>,
}

impl From<&Identity> for Obtained {
    fn from(principal: &Identity) -> Self {
        let Identity { credentials, term, access_key_id, .. } = principal.clone();
        Self { credentials, term, access_key_id }
    }
}

fn hold(reason: Reason, message: impl Into<String>) -> Hold {
    Hold::new(reason, message)
}

/// The endpoints of the calls to STS. The pod's environment counts only for an account that takes its credentials from there, and an
/// address in the spec overrides it.
pub(super) fn endpoint(
    spec: &ECSAccountSpec,
    region: &str,
    variable: impl Fn(&str) -> Option<String>,
    allow_http: bool,
) -> Result<RegionEndpoint, Hold> {
    let refused = |error: EndpointError| hold(Reason::EndpointRefused, error.to_string());
    let mut endpoint = accounts::endpoint(spec, region).map_err(refused)?;
    let is_named = spec.endpoint.as_ref().is_some_and(|named| named.url.is_some() || named.sts_url.is_some());
    if spec.credentials.environment.is_some()
        && !is_named
        && let Some(host) = credentials::sts_host(variable)
    {
        endpoint = endpoint.with_sts(&format!("https://{host}")).map_err(|error| {
            let message = format!("the pod's ALIBABA_CLOUD_STS_ENDPOINT or ALIBABA_CLOUD_STS_REGION: {error}");
            hold(Reason::EndpointRefused, message)
        })?;
    }
    let plain = [&endpoint.ecs_url, &endpoint.sts_url].iter().any(|url| url.starts_with("http://"));
    if plain && !allow_http {
        let message =
            "endpoint.url must be https; http is allowed only for demos and tests, with --allow-http-endpoints";
        return Err(hold(Reason::EndpointRefused, message));
    }
    Ok(endpoint)
}

/// What the account as last checked may still use under `spec` until STS confirms. Whatever the new spec forbids is forbidden at once.
pub(super) fn carried_over(
    before: &ECSAccountSpec,
    principal: &Result<Identity, Hold>,
    spec: &ECSAccountSpec,
) -> Result<Identity, Hold> {
    if !is_same_source(before, spec) {
        return Err(hold(Reason::AccountNotReady, "its credentials are being checked"));
    }
    let principal = principal.clone()?;
    check_account_id(spec, &principal.identity)?;
    Ok(principal)
}

/// Whether credentials of the one spec are good for the other.
fn is_same_source(before: &ECSAccountSpec, now: &ECSAccountSpec) -> bool {
    before.credentials == now.credentials && before.assume_role == now.assume_role && before.endpoint == now.endpoint
}

/// Whether the current credentials need no renewal. An access key is read from its source each time: that costs nothing, and an
/// edited key takes effect at once, also for the roles that are assumed with it.
fn is_good(current: &Identity, source: &Source, now: jiff::Timestamp) -> bool {
    current.term.is_some_and(|term| now < term.refresh_at) && current.access_key_id.as_ref() == named(source)
}

/// The access key that a source names, if it names one.
fn named(source: &Source) -> Option<&String> {
    if let Source::AccessKey(credentials) = source { Some(&credentials.access_key_id) } else { None }
}

pub(super) fn check_account_id(spec: &ECSAccountSpec, identity: &CallerIdentity) -> Result<(), Hold> {
    match &spec.expected_account_id {
        Some(expected) if *expected != identity.account_id => {
            let message = format!(
                "the credentials belong to account {}, but expectedAccountID is {expected}; no resets start until they match",
                identity.account_id
            );
            Err(hold(Reason::WrongAccount, message))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_clock(skew: Option<SignedDuration>, limit: SignedDuration) -> Result<(), Hold> {
    match skew {
        Some(skew) if skew.abs() > limit => {
            let message = format!(
                "the clock of the controller's node differs from ECS by {} s (limit {} s); no resets start until it is corrected",
                skew.as_secs().abs(),
                limit.as_secs()
            );
            Err(hold(Reason::ClockSkew, message))
        }
        _ => Ok(()),
    }
}

/// Asks for one account.
struct IdentityCheck<'a, T> {
    context: &'a Context<T>,
    scope: Scope,
    spec: &'a ECSAccountSpec,
    endpoint: RegionEndpoint,
    learnt: &'a AccountObservations,
}

impl<T: Transport> IdentityCheck<'_, T> {
    fn now(&self) -> jiff::Timestamp {
        self.learnt.clock.now(self.context.clock.now())
    }

    fn of_source(&self, hold: Hold) -> Hold {
        of_source(hold, self.spec, self.context.cluster.namespace())
    }

    fn stamp(&self) -> Stamp {
        self.context.calls.stamp(&self.learnt.clock)
    }

    /// The source in the spec, its current or new credentials, and their identity. All or nothing: a session that STS has not
    /// confirmed replaces none.
    async fn renew(&self, current: Option<&Identity>, now: jiff::Timestamp) -> Result<Identity, Failure> {
        let source = self.source().await?;
        // Credentials from another access key than the one that is named now must be dropped.
        let withdraws = current.is_some_and(|current| current.access_key_id.as_ref() != named(&source));
        let Obtained { credentials, term, access_key_id } =
            match current.filter(|current| is_good(current, &source, now)) {
                Some(current) => current.into(),
                None => self.obtain(source).await.map_err(|hold| Failure { hold, withdraws })?,
            };
        let identity = self
            .identity(&credentials)
            .await
            .map_err(|failure| Failure { withdraws: failure.withdraws || withdraws, ..failure })?;
        Ok(Identity { credentials, identity, term, access_key_id, failure: None })
    }

    /// The source that the spec names, as it is now.
    async fn source(&self) -> Result<Source, Failure> {
        let failure = |withdraws, why| Failure { hold: hold(Reason::CredentialsNotFound, why), withdraws };
        let Self { context, spec, .. } = self;
        let named = &spec.credentials;
        if let Some(reference) = &named.secret_ref {
            let namespace = context.cluster.namespace();
            let secret: RawSecret = context.cluster.get(namespace, &reference.name).await.map_err(|error| {
                let message = format!("{error} (namespace {namespace})");
                match error {
                    ClusterError::NotFound { .. } => failure(true, message),
                    ClusterError::Unanswered { .. } => {
                        Failure { hold: hold(Reason::AccountNotReady, message), withdraws: false }
                    }
                    _ => failure(false, message),
                }
            })?;
            let name = format!("{namespace}/{}", reference.name);
            let key = credentials::from_secret(&name, |key| secret.has(key), |key| secret.text(key));
            return key.map(Source::AccessKey).map_err(|error| failure(true, error.to_string()));
        }
        if let Some(rrsa) = &named.rrsa {
            return Ok(Source::Oidc(OidcRole {
                role_arn: rrsa.role_arn.clone(),
                oidc_provider_arn: rrsa.oidc_provider_arn.clone(),
                token_file: context.settings.oidc_token_file.clone(),
            }));
        }
        if let Some(role) = &named.ecs_ram_role {
            return Ok(Source::InstanceRole(role.name.clone()));
        }
        if named.environment.is_some() {
            let source = credentials::from_environment(|name| std::env::var(name).ok());
            return source.map_err(|error| failure(true, error.to_string()));
        }
        Err(failure(true, "spec.credentials names no source that this version knows".to_owned()))
    }

    /// Credentials of a source, after assuming the role if there is one.
    async fn obtain(&self, source: Source) -> Result<Obtained, Hold> {
        let mut obtained = match source {
            Source::AccessKey(credentials) => {
                Obtained { access_key_id: Some(credentials.access_key_id.clone()), credentials, term: None }
            }
            Source::Oidc(role) => self.obtained(self.with_token(&role).await?),
            Source::InstanceRole(role) => {
                let address = &self.context.settings.ecs_metadata_address;
                let session = imds::instance_role(self.context.calls.client(), address, role.as_deref()).await;
                self.obtained(session.map_err(|error| hold(Reason::CredentialsNotFound, error.to_string()))?)
            }
        };
        if let Some(role) = &self.spec.assume_role {
            let assumed = self.obtained(self.assume(&obtained.credentials, role).await?);
            obtained = Obtained { access_key_id: obtained.access_key_id, ..assumed };
        }
        Ok(obtained)
    }

    fn obtained(&self, session: SessionCredentials) -> Obtained {
        let SessionCredentials { credentials, expires_at } = session;
        let [chance] = self.context.clock.random_bytes();
        let refresh_at = refresh::refresh_at(self.now(), expires_at, chance);
        Obtained { credentials, term: Some(Term { refresh_at, expires_at }), access_key_id: None }
    }

    async fn with_token(&self, role: &OidcRole) -> Result<SessionCredentials, Hold> {
        let token = role.token().map_err(|error| hold(Reason::CredentialsNotFound, error.to_string()))?;
        let session_name = self.session_name();
        let request =
            RoleRequest { role_arn: &role.role_arn, session_name: &session_name, duration_seconds: SESSION_SECONDS };
        let signed = assume_role_with_oidc(&self.endpoint, &role.oidc_provider_arn, &token, request, &self.stamp());
        self.ask("", signed).await?.map_err(|error| refused(ApiCall::AssumeRoleWithOidc, &error))
    }

    async fn assume(&self, with: &Keys, role: &AssumeRole) -> Result<SessionCredentials, Hold> {
        let session_name = self.session_name();
        let duration_seconds = role.duration_seconds.unwrap_or(SESSION_SECONDS);
        let request = RoleRequest { role_arn: &role.role_arn, session_name: &session_name, duration_seconds };
        let signed = assume_role(&self.endpoint, with, request, role.external_id.as_deref(), &self.stamp());
        self.ask(&with.access_key_id, signed).await?.map_err(|error| refused(ApiCall::AssumeRole, &error))
    }

    /// The identity of the credentials.
    async fn identity(&self, credentials: &Keys) -> Result<CallerIdentity, Failure> {
        let signed = get_caller_identity(&self.endpoint, credentials, &self.stamp());
        let answer = self.ask(&credentials.access_key_id, signed).await;
        answer.map_err(|hold| Failure { hold, withdraws: false })?.map_err(|error| Failure {
            hold: refused(ApiCall::GetCallerIdentity, &error),
            withdraws: matches!(error.class(), Class::Auth | Class::Denied) && !blames_the_clock(&error),
        })
    }

    /// Makes one call to STS.
    async fn ask<A: ApiResponse>(&self, access_key_id: &str, signed: Signed<A>) -> Result<Result<A, CallError>, Hold> {
        let Self { context, scope, learnt, .. } = self;
        let permit = context
            .calls
            .acquire_rate(scope, signed.action(), &scope.account)
            .map_err(|_| hold(Reason::Throttled, "waiting for the rate limit"))?;
        let destination = Destination { scope, access_key_id, learnt };
        Ok(context.calls.send(destination, permit, signed).await.result)
    }

    /// The cluster and the account, by which the provider's audit trail shows who acted.
    fn session_name(&self) -> String {
        session_name(&self.context.settings.cluster_name, &self.scope.account)
    }
}

/// Whether STS refused the Timestamp and not the credentials.
fn blames_the_clock(error: &CallError) -> bool {
    matches!(error, CallError::Refused(refusal) if refusal.blames_the_clock())
}

pub(super) fn refused(action: ApiCall, error: &CallError) -> Hold {
    let reason = match error.class() {
        Class::Auth | Class::Denied | Class::Invalid | Class::Refused => Reason::CredentialsRefused,
        Class::Throttled => Reason::Throttled,
        _ => Reason::ECSUnavailable,
    };
    hold(reason, format!("{}: {error}", action.as_str()))
}

/// STS takes letters, digits and `.@-_`, 2 to 64 of them. A name that is too long ends in a digest of all of it, so that no two
/// accounts have the same.
fn session_name(cluster: &str, account: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || ".@-_".contains(letter);
    let whole = format!("{cluster}.{account}");
    let name: String = whole.chars().map(|letter| if fits(letter) { letter } else { '-' }).collect();
    if name.len() <= SESSION_NAME_MAX {
        return name;
    }
    let digest = Sha256::digest(whole.as_bytes());
    let tail = digest.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let head: String = name.chars().take(SESSION_NAME_MAX - 9).collect();
    format!("{head}-{tail:08x}")
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
