/// What can be done that is noted in the audit trail. The text form is permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditAction {
    /// Somebody made an account for themselves.
    AccountRegistered,
    /// The operator or an administrator made an account.
    AccountCreated,
    /// An account was made for whom a provider or issuer vouches.
    AccountProvisioned,
    /// A sign-in.
    SignedIn,
    /// A sign-in that failed; the details say why.
    SignInFailed,
    /// Somebody who has signed in did not know the account's password.
    PasswordRefused,
    /// A sign-out.
    SignedOut,
    /// A refresh token was presented twice: its sign-in has ended.
    RefreshReused,
    /// Another password.
    PasswordChanged,
    /// Another name, colour or avatar.
    ProfileChanged,
    /// The account may not sign in any more.
    AccountDisabled,
    /// It may again.
    AccountEnabled,
    /// The account is an administrator of its organization.
    AdministratorMade,
    /// It is none any more.
    AdministratorUnmade,
    /// An account is to be erased: nobody acts with it any more.
    ErasureBegun,
    /// A copy of everything about a person was made.
    AccountExported,
    /// Everything about a person was erased.
    AccountErased,
    /// A key for programs.
    ApiKeyCreated,
    /// It is void.
    ApiKeyRevoked,
    /// A new organization.
    OrganizationCreated,
    /// Another name for it.
    OrganizationRenamed,
    /// A new group.
    GroupCreated,
    /// Another name for it.
    GroupRenamed,
    /// The group is gone, with its rights.
    GroupDeleted,
    /// Somebody belongs to a group.
    GroupJoined,
    /// Somebody does no longer.
    GroupLeft,
    /// A new document.
    DocumentCreated,
    /// Its content was read over HTTP.
    DocumentRead,
    /// A session joined it.
    DocumentOpened,
    /// A session was not let in, or a request was refused; the details say which and why.
    DocumentRefused,
    /// The session left; the details say what it changed.
    DocumentClosed,
    /// It was changed over HTTP.
    DocumentEdited,
    /// Another title.
    DocumentRenamed,
    /// It was put into the trash.
    DocumentTrashed,
    /// It came back from there.
    DocumentRestored,
    /// It is gone for good.
    DocumentDeleted,
    /// It belongs to somebody else.
    DocumentTransferred,
    /// A person or group has a role.
    DocumentShared,
    /// A person or group has none any more.
    DocumentUnshared,
    /// What everyone in the organization may do is something else.
    DocumentOpenness,
    /// A share link.
    LinkCreated,
    /// It is void.
    LinkRevoked,
    /// Somebody opened it.
    LinkOpened,
    /// Somebody tried to open it with a wrong password, or after too many.
    LinkFailed,
    /// An administrator ended a session.
    SessionEnded,
    /// A new key signs tokens.
    KeyRotated,
    /// A key is gone, and its tokens are void.
    KeyRemoved,
}

impl AuditAction {
    /// The action as it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountRegistered => "account.registered",
            Self::AccountCreated => "account.created",
            Self::AccountProvisioned => "account.provisioned",
            Self::SignedIn => "account.signed_in",
            Self::SignInFailed => "account.sign_in_failed",
            Self::PasswordRefused => "account.password_refused",
            Self::SignedOut => "account.signed_out",
            Self::RefreshReused => "account.refresh_reused",
            Self::PasswordChanged => "account.password_changed",
            Self::ProfileChanged => "account.profile_changed",
            Self::AccountDisabled => "account.disabled",
            Self::AccountEnabled => "account.enabled",
            Self::AdministratorMade => "account.administrator_made",
            Self::AdministratorUnmade => "account.administrator_unmade",
            Self::ErasureBegun => "account.erasure_begun",
            Self::AccountExported => "account.exported",
            Self::AccountErased => "account.erased",
            Self::ApiKeyCreated => "api_key.created",
            Self::ApiKeyRevoked => "api_key.revoked",
            Self::OrganizationCreated => "organization.created",
            Self::OrganizationRenamed => "organization.renamed",
            Self::GroupCreated => "group.created",
            Self::GroupRenamed => "group.renamed",
            Self::GroupDeleted => "group.deleted",
            Self::GroupJoined => "group.joined",
            Self::GroupLeft => "group.left",
            Self::DocumentCreated => "document.created",
            Self::DocumentRead => "document.read",
            Self::DocumentOpened => "document.opened",
            Self::DocumentRefused => "document.refused",
            Self::DocumentClosed => "document.closed",
            Self::DocumentEdited => "document.edited",
            Self::DocumentRenamed => "document.renamed",
            Self::DocumentTrashed => "document.trashed",
            Self::DocumentRestored => "document.restored",
            Self::DocumentDeleted => "document.deleted",
            Self::DocumentTransferred => "document.transferred",
            Self::DocumentShared => "document.shared",
            Self::DocumentUnshared => "document.unshared",
            Self::DocumentOpenness => "document.organization_role_changed",
            Self::LinkCreated => "link.created",
            Self::LinkRevoked => "link.revoked",
            Self::LinkOpened => "link.opened",
            Self::LinkFailed => "link.failed",
            Self::SessionEnded => "session.ended",
            Self::KeyRotated => "key.rotated",
            Self::KeyRemoved => "key.removed",
        }
    }
}
