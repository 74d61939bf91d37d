"""Every setting. Names are stable: the variable of a field is `COUNTERSIGN_` and the field's name in capitals."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from settings.errors import SettingsError
from settings.secret_references import Secret, SecretReference
from settings.services import ServiceEntry, ServiceSettings
from settings.sources import ENV_PREFIX, ROOT, sources

__all__ = ["Settings"]

Port = Annotated[int, Field(ge=1, le=65_535)]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:_-]{1,253}$")]
BaseUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+(/[^\s?#]*)?$")]
RoleName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]


def _postgres_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        msg = "must start with postgresql://"
        raise ValueError(msg)
    return value


def _absolute(value: Path) -> Path:
    return value.expanduser().absolute()


DatabaseUrl = Annotated[Secret, AfterValidator(_postgres_url)]
FilePath = Annotated[Path, AfterValidator(_absolute)]


class Settings(BaseSettings):
    """What an installation decides. Secrets are `SecretStr`: they do not show in a repr, a log or an error.

    A secret may stand here by reference: `env:NAME`, `file:PATH` or `command:PROGRAM ARGUMENT`.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
    )

    # State and data files
    state_dir: FilePath = ROOT / ".countersign"
    """Folder of everything that the embedded stack keeps: databases, keys, logs. One installation, one folder."""
    models_file: FilePath = ROOT / "settings" / "models.yaml"
    """Model map: the names that agents use, with provider, pinned model id and price."""
    endpoints_file: FilePath = ROOT / "settings" / "endpoints.yaml"
    """Event endpoints: which agent an event starts, and which of its fields are trusted."""
    tenants_file: FilePath = ROOT / "settings" / "tenants.yaml"
    """Tenants, and the state in which each of their agents starts."""
    ladder_file: FilePath = ROOT / "settings" / "ladder.yaml"
    """Approval ladder: what can be asked of people, in ascending order."""
    tiers_file: FilePath = ROOT / "settings" / "tiers.yaml"
    """Tiers: what raises the risk of a call above what its tool declares. Read when it changes."""
    overlays_dir: FilePath = ROOT / "settings" / "overlays"
    """Folder of the tenants' overlays, `<tenant>.cedar` each: forbids that hold for one tenant alone."""
    limits_file: FilePath = ROOT / "settings" / "limits.yaml"
    """Limits: what a tenant and its agents may use in a day, rates and destinations of tools. Read when it changes."""
    break_glass_file: FilePath = ROOT / "settings" / "break_glass.yaml"
    """Emergencies that may be declared, and what each of them lifts."""
    standing_file: FilePath = ROOT / "settings" / "standing.yaml"
    """Standing approvals that may be proposed, and how much the greatest of them may cover."""
    reviews_file: FilePath = ROOT / "settings" / "reviews.yaml"
    """Review after the fact: which effects are drawn, how decisions are watched, who gets test requests."""
    output_rules_file: FilePath = ROOT / "settings" / "output_rules.yaml"
    """Output rules: personal data and secrets that may not leave with a tool call, and what happens to them."""
    sign_in_file: FilePath = ROOT / "settings" / "sign_in.yaml"
    """OpenID providers where the people of a tenant sign in."""
    notify_file: FilePath = ROOT / "settings" / "notify.yaml"
    """Channels that tell people of approval requests: mail, chat, signed webhooks."""
    calendars_file: FilePath = ROOT / "settings" / "calendars.yaml"
    """Calendars: when people of a group work, which reminders and escalations count by."""
    agents_dir: FilePath = ROOT / "agents"
    """Folder of the agents' folders. Tests and evals may point it at their own; every folder in it is trusted code."""

    # Postgres
    database_url: DatabaseUrl | None = None
    """Postgres of the application, as a login that is a member of the roles below; unset: the embedded one."""
    migration_database_url: DatabaseUrl | None = None
    """The same database as the owner of the tables, for migrations alone; unset: `database_url`."""
    database_role: RoleName = "countersign_app"
    """Role that every connection of the application takes on: no owner, no BYPASSRLS."""
    dispatch_role: RoleName = "countersign_dispatch"
    """Role of the dispatchers: sees every tenant, but only what waits to be delivered."""
    store_wait_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    """Longest wait of a run for a store that is down, before it ends safely. Seconds."""

    # Temporal
    temporal_address: Annotated[str, StringConstraints(pattern=r"^[^\s/]+:\d{1,5}$")] | None = None
    """Host and port of an external Temporal server; unset: the embedded one."""
    temporal_namespace: Annotated[str, StringConstraints(min_length=1, max_length=255)] = "default"
    """Namespace of the runs."""
    temporal_tls: bool = False
    """Speak TLS to the Temporal server. On by itself when an API key or a client certificate is set."""
    temporal_tls_ca_file: FilePath | None = None
    """Certificate authority of the Temporal server, PEM; unset: the system's."""
    temporal_tls_cert_file: FilePath | None = None
    """Client certificate for mutual TLS, PEM."""
    temporal_tls_key_file: FilePath | None = None
    """Private key of the client certificate, PEM."""
    temporal_api_key: Secret | None = None
    """API key of Temporal Cloud."""
    temporal_task_queue: Annotated[str, StringConstraints(min_length=1, max_length=200)] = "countersign"
    """Task queue of the runs and their activities."""

    check_open_runs: bool = True
    """Whether a worker first replays the newest open runs, and refuses to start on code that they do not fit."""

    otlp_endpoint: BaseUrl | None = None
    """OpenTelemetry collector, OTLP over HTTP, that is told of runs: traces, and of workers metrics; unset: none."""

    # Addresses of our own processes
    web_host: Host = "127.0.0.1"
    """Interface on which the approval form listens."""
    web_port: Port = 8400
    """Port of the approval form."""
    web_url: BaseUrl = Field(default_factory=lambda data: f"http://{data['web_host']}:{data['web_port']}")
    """Public base address of the approval form, as it stands in notifications."""
    passkeys_at_tier_4: Literal["if_registered", "always"] = "if_registered"
    """Who signs decisions on what cannot be undone with a passkey: those who have one, or everybody."""
    intake_host: Host = "127.0.0.1"
    """Interface on which the event intake listens."""
    intake_port: Port = 8401
    """Port of the event intake."""
    intake_in_flight: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Deliveries that the intake works on at a time; more are told to come back (429)."""
    worker_host: Host = "127.0.0.1"
    """Interface on which the worker answers health checks."""
    worker_port: Port = 8403
    """Port of the worker's health checks (`/healthz`, `/readyz`)."""

    # The embedded stack alone
    backoffice_port: Port = 8402
    """Port of the example system of record."""
    temporal_port: Port = 7233
    """Port of the embedded Temporal server."""
    temporal_ui_port: Port = 8233
    """Port of the embedded Temporal server's own pages, which `countersign up --ui` serves."""

    # What tools talk to
    services: dict[str, ServiceSettings] = Field(
        default_factory=lambda data: {
            "backoffice": ServiceEntry(
                url=f"http://127.0.0.1:{data['backoffice_port']}", revocations="/countersign/epochs"
            )
        },
        max_length=1_000,
    )
    """Each system that tools talk to, by service name: its address, or an object with address and credentials.

    A JSON object in the environment.
    """

    # Keys
    vote_key_file: FilePath = Field(default_factory=lambda data: data["state_dir"] / "keys" / "vote.jwk")
    """Private Ed25519 keys (JWK, or JWK set while they rotate) that sign votes. Only the approvals process reads it."""
    vote_key: SecretReference | None = None
    """Where those keys lie instead, by reference."""
    credential_key_file: FilePath = Field(default_factory=lambda data: data["state_dir"] / "keys" / "credential.jwk")
    """Private Ed25519 keys (JWK or JWK set) with which the gate signs tool credentials. Only workers read it."""
    credential_key: SecretReference | None = None
    """Where those keys lie instead, by reference."""
    credential_public_keys_file: FilePath = Field(
        default_factory=lambda data: data["state_dir"] / "keys" / "credential.jwks.json"
    )
    """Public keys (JWKS) that belong to `credential_key_file`, for systems that verify with a file.

    Others fetch `/.well-known/jwks.json` from a worker.
    """
    endpoint_secrets_file: FilePath = Field(default_factory=lambda data: data["state_dir"] / "keys" / "endpoints.json")
    """Signing secrets of the event endpoints: a JSON object, endpoint name to a list of `whsec_…` (new one first)."""
    session_secret_file: FilePath = Field(default_factory=lambda data: data["state_dir"] / "keys" / "session.secret")
    """Secret of the web sessions and their CSRF tokens, one line."""
    backoffice_admin_token_file: FilePath = Field(
        default_factory=lambda data: data["state_dir"] / "keys" / "backoffice-admin.token"
    )
    """Token of the example system of record's admin endpoints, one line; for demo and tests."""

    # Models
    model_provider: Literal["auto", "scripted", "openai", "anthropic", "compatible"] = "auto"
    """Which provider answers. `auto`: the one for which there is a key or a base address, else the scripted one."""
    openai_api_key: Secret | None = None
    """Key of OpenAI, or of the compatible server at `openai_base_url`."""
    openai_base_url: BaseUrl | None = None
    """Base address of a server that speaks OpenAI's chat completions; set: it is used instead of OpenAI."""
    compatible_model: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """Model id to ask of the server at `openai_base_url`; unset: the one in the model map."""
    anthropic_api_key: Secret | None = None
    """Key of Anthropic."""

    # The command line
    password: Secret | None = None
    """Password of the local account that `countersign approvals` signs in as or creates; unset: it asks."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important kind of log line that the processes write."""
    log_format: Literal["text", "json"] = "text"
    """How they write them: `text` for people, `json` for what collects logs, one object a line."""

    @property
    def vote_key_reference(self) -> str:
        """Where the vote keys lie."""
        return self.vote_key or f"file:{self.vote_key_file}"

    @property
    def credential_key_reference(self) -> str:
        """Where the credential keys lie."""
        return self.credential_key or f"file:{self.credential_key_file}"

    @property
    def stack_file(self) -> Path:
        """Where `countersign up` writes what runs where."""
        return self.state_dir / "stack.json"

    def database_address(self) -> str:
        """The application's database, with its password. Raises SettingsError when there is none."""
        if self.database_url is None:
            raise SettingsError("no database is known. Start the stack with `countersign up`, or set DATABASE_URL.")
        return self.database_url.get_secret_value()

    def migration_database_address(self) -> str:
        """The database as the owner of its tables. Raises SettingsError when there is none."""
        if self.migration_database_url is None:
            return self.database_address()
        return self.migration_database_url.get_secret_value()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources, strongest first; the docstring of the package says which they are."""
        del dotenv_settings, file_secret_settings
        return (init_settings, *sources(settings_cls, env_settings))
