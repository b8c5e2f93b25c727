"""All settings, and the only reader of environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from backend.labelstudio.region_plan import ControlChoice
from backend.labelstudio.regions import ScoreStrategy
from backend.model_location import locate_model
from backend.runtime.bundle import Bundle, open_bundle
from backend.runtime.engine import Precision
from backend.runtime.errors import SettingsError
from backend.settings_sources import (
    carries_secret,
    environment_values,
    file_values,
    readable_by_others,
)

CONFIG_VARIABLE = "LABELVINO_CONFIG"
_MOST_WORKERS = 64


def _split(value: object) -> object:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip())
        if isinstance(value, str)
        else value
    )


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]
LogFormat = Literal["text", "json"]
TuneOnTraining = Literal["off", "report", "apply"]
Objective = Literal["effort", "f1"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


def _env(default: Any, text: str, *names: str, **limits: Any) -> Any:
    """A setting with its environment variables, our own name first."""
    return Field(default, description=text, validation_alias=AliasChoices(*names), **limits)


class Settings(BaseSettings):
    """All settings; `load_settings` makes them.

    docs/configuration.md lists them all (a test compares). The names of the fields are the keys of
    a settings file. Names of Label Studio's own ML backend examples are understood too.
    """

    model_config = SettingsConfigDict(
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    model: Path | None = _env(None, "The IR (.xml) to serve.", "LABELVINO_MODEL")
    model_dir: Path | None = _env(
        None,
        "Folder of models: relative model paths are found there; without a model, the only .xml.",
        "LABELVINO_MODEL_DIR",
        "MODEL_ROOT",
        "MODEL_DIR",
    )
    device: str = _env(
        "AUTO", "OpenVINO device: AUTO, CPU, GPU, NPU, ...", "LABELVINO_DEVICE", "DEVICE"
    )
    precision: Precision = _env(
        "auto",
        "Inference precision: auto (the device's choice), f32, f16, bf16.",
        "LABELVINO_PRECISION",
    )
    model_cache: Annotated[Literal["off"] | Path | None, Field(union_mode="left_to_right")] = _env(
        None,
        "Folder for compiled models, which makes the next start faster; off: none. "
        "By default labelvino in the folder of caches.",
        "LABELVINO_MODEL_CACHE",
    )
    cache_home: Path | None = _env(
        None,
        "Folder of caches of all programs; by default the platform's, such as ~/.cache.",
        "XDG_CACHE_HOME",
    )
    host: str = _env("127.0.0.1", "Address to listen on.", "LABELVINO_HOST", "HOST")
    port: int = _env(9090, "Port to listen on.", "LABELVINO_PORT", "PORT", ge=0, le=65535)
    workers: int = _env(
        4,
        "Tasks worked on at once (fetching, decoding and inference overlap).",
        "LABELVINO_WORKERS",
        "THREADS",
        ge=1,
        le=_MOST_WORKERS,
    )
    processes: int = _env(
        1,
        "Multiplies the tasks worked on at once, as more processes would; there is always one.",
        "WORKERS",
        ge=1,
        le=_MOST_WORKERS,
    )
    watch_model: bool = _env(
        True, "Load the model again when its files change.", "LABELVINO_WATCH_MODEL"
    )
    stop_timeout_s: float = _env(
        8.0,
        "Seconds that tasks under way get to end at a stop; Docker kills after 10.",
        "LABELVINO_STOP_TIMEOUT",
        gt=0,
        le=3600,
    )
    log_level: LogLevel = _env(
        "INFO", "DEBUG, INFO, WARNING or ERROR.", "LABELVINO_LOG_LEVEL", "LOG_LEVEL"
    )
    log_format: LogFormat = _env(
        "text", "text, or json: one object a line.", "LABELVINO_LOG_FORMAT"
    )

    label_studio_url: str | None = _env(
        None,
        "Address of Label Studio, for images that it keeps.",
        "LABEL_STUDIO_URL",
        "LABEL_STUDIO_HOST",
    )
    label_studio_api_key: SecretStr | None = _env(
        None,
        "Token for it: a Personal Access Token or a legacy token.",
        "LABEL_STUDIO_API_KEY",
        "LABEL_STUDIO_ACCESS_TOKEN",
    )
    label_studio_aliases: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = _env(
        (),
        "Further names of the same Label Studio in tasks, such as localhost:8080.",
        "LABELVINO_LABEL_STUDIO_ALIASES",
    )
    basic_auth_user: str | None = _env(
        None, "User name that callers must give (with the password).", "BASIC_AUTH_USER"
    )
    basic_auth_pass: SecretStr | None = _env(
        None, "Password that callers must give.", "BASIC_AUTH_PASS"
    )
    webhook_secret: SecretStr | None = _env(
        None,
        "Lets /webhook pass without basic auth: header X-Labelvino-Secret, or ?secret= in the URL.",
        "LABELVINO_WEBHOOK_SECRET",
    )

    score_threshold: Share | None = _env(
        None,
        "Regions need this score; without it the model's own threshold counts.",
        "LABELVINO_SCORE_THRESHOLD",
        "MODEL_SCORE_THRESHOLD",
    )
    score_strategy: ScoreStrategy = _env(
        "mean",
        "Score of a prediction: mean or min of its regions, margin or agreement.",
        "LABELVINO_SCORE_STRATEGY",
    )
    controls: ControlChoice = _env(
        "auto",
        "Which controls get regions: auto, all, polygon, brush, rectangle.",
        "LABELVINO_CONTROLS",
    )
    polygon_detail: Annotated[float, Field(ge=0.5, le=1.0)] = _env(
        0.957, "Overlap (IoU) that each outline keeps with its mask.", "LABELVINO_POLYGON_DETAIL"
    )
    polygon_max_points: int = _env(
        80, "Points that an outline may have.", "LABELVINO_POLYGON_MAX_POINTS", ge=4, le=10_000
    )
    polygon_min_area_px: float = _env(
        16.0,
        "Smaller parts and holes of an instance are left out (square pixels).",
        "LABELVINO_POLYGON_MIN_AREA",
        ge=0,
    )
    max_brush_regions: int = _env(
        40, "Brush regions written for one image.", "LABELVINO_MAX_BRUSH_REGIONS", ge=0
    )
    max_detections: int = _env(
        300, "Instances looked at in one image.", "LABELVINO_MAX_DETECTIONS", ge=1
    )

    result_cache: bool = _env(
        True,
        "Remember what the model found in an image, so that asking again costs no inference.",
        "LABELVINO_RESULT_CACHE",
    )
    result_cache_bytes: int = _env(
        256 * 1024 * 1024,
        "Memory for it, in this process; an image takes some 100 kB.",
        "LABELVINO_RESULT_CACHE_BYTES",
        ge=0,
    )
    redis_url: SecretStr | None = _env(
        None,
        "Redis that keeps it too, for restarts and other backends: "
        "redis://[user:password@]host[:port][/number], rediss:// for TLS.",
        "LABELVINO_REDIS_URL",
    )
    redis_ttl_s: int = _env(
        7 * 24 * 3600, "Seconds that Redis keeps a result.", "LABELVINO_REDIS_TTL", ge=1
    )
    redis_max_value_bytes: int = _env(
        4 * 1024 * 1024,
        "Largest result that is given to Redis.",
        "LABELVINO_REDIS_MAX_VALUE_BYTES",
        ge=1,
    )
    address_memory_s: float = _env(
        60.0,
        "Seconds for which a task's image is not fetched again; 0: always fetched.",
        "LABELVINO_ADDRESS_MEMORY",
        ge=0,
        le=3600,
    )

    state_dir: Path | None = _env(
        None,
        "Folder for tuned thresholds, where no Redis keeps them; by default labelvino in the "
        "folder of programs' state.",
        "LABELVINO_STATE_DIR",
    )
    state_home: Path | None = _env(
        None,
        "Folder of the state of all programs; by default the platform's, such as ~/.local/state.",
        "XDG_STATE_HOME",
    )
    tune_on_training: TuneOnTraining = _env(
        "report",
        "What Start Training does: off, report (look for better thresholds, and say so in the "
        "log), apply (use them, where tasks that were not looked at gain by them).",
        "LABELVINO_TUNE_ON_TRAINING",
    )
    tune_objective: Objective = _env(
        "effort",
        "What tuning makes best: effort (seconds of correcting), or f1.",
        "LABELVINO_TUNE_OBJECTIVE",
    )
    tune_delete_s: float = _env(
        5.0, "Seconds to find and delete a false positive.", "LABELVINO_TUNE_DELETE", ge=0
    )
    tune_draw_s: float = _env(
        30.0, "Seconds to draw an object that was missed.", "LABELVINO_TUNE_DRAW", gt=0
    )
    tune_reshape_s: float = _env(
        15.0, "Seconds to correct a poor outline.", "LABELVINO_TUNE_RESHAPE", ge=0
    )
    tune_reshape_below: Annotated[float, Field(ge=0.5, le=1.0)] = _env(
        0.75,
        "Outlines that overlap their object less (IoU) count as poor.",
        "LABELVINO_TUNE_RESHAPE_BELOW",
    )
    tune_tasks: int = _env(
        2000,
        "Tuning looks at so many corrected tasks at the most: those that were added last.",
        "LABELVINO_TUNE_TASKS",
        ge=20,
    )

    queue_url: SecretStr | None = _env(
        None,
        "Redis that holds the jobs of prelabel for workers; addresses as for LABELVINO_REDIS_URL.",
        "LABELVINO_QUEUE_URL",
    )

    closer_looks: bool = _env(
        True,
        "Run the model again around a click or box where the whole image leaves a doubt.",
        "LABELVINO_CLOSER_LOOKS",
    )

    predict_budget_s: float = _env(
        80.0,
        "Seconds that a /predict may take; Label Studio gives up after 100.",
        "LABELVINO_PREDICT_BUDGET",
        gt=0,
    )
    max_request_bytes: int = _env(
        256 * 1024 * 1024, "Largest request body.", "LABELVINO_MAX_REQUEST_BYTES", ge=1
    )
    max_image_bytes: int = _env(
        50 * 1024 * 1024, "Largest image file.", "LABELVINO_MAX_IMAGE_BYTES", ge=1
    )
    max_image_pixels: int = _env(
        64_000_000, "Largest image, width times height.", "LABELVINO_MAX_IMAGE_PIXELS", ge=1
    )
    fetch_timeout_s: float = _env(
        20.0, "Seconds that fetching one image may take.", "LABELVINO_FETCH_TIMEOUT", gt=0
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = _env(
        (),
        "Private hosts that images may come from: names, name:port, addresses, networks.",
        "LABELVINO_ALLOWED_HOSTS",
    )
    local_files_root: Path | None = _env(
        None,
        "Folder below which local files may be read.",
        "LABELVINO_LOCAL_FILES_ROOT",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT",
    )
    ca_bundle: Path | None = _env(
        None,
        "PEM file of certificate authorities to trust.",
        "LABELVINO_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
    )
    proxy: str | None = _env(None, "HTTP proxy for public addresses.", "LABELVINO_PROXY")

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _notes: tuple[str, ...] = PrivateAttr(())
    _bundle: Bundle | None = PrivateAttr(None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """`load_settings` reads the other sources, since it remembers what came from where."""
        return (init_settings,)

    @property
    def from_command_line(self) -> frozenset[str]:
        """Names of the settings that the command line gave."""
        return frozenset(n for n, origin in self._origins.items() if origin == "command line")

    def origin(self, name: str) -> str:
        """Where a setting came from, in words."""
        return self._origins.get(name, "default")

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about how the settings were given."""
        return self._notes

    @property
    def bundle(self) -> Bundle | None:
        """The package that is served, if any."""
        return self._bundle

    @property
    def tasks_at_once(self) -> int:
        """Threads that work on tasks."""
        return self.workers * self.processes


def load_settings(
    config: Path | None = None, bundle: Path | None = None, **overrides: object
) -> Settings:
    """The settings: command line before environment before file before package before default.

    `overrides` are the command line's, by field name; None does not override. `config`: the
    settings file, by default the one that LABELVINO_CONFIG names. `bundle`: a package, which is
    verified; its model is served. Raises BundleError, and SettingsError, which says where a wrong
    value stands and never shows it.
    """
    names = environment_names()
    if config is None and os.environ.get(CONFIG_VARIABLE):
        config = Path(os.environ[CONFIG_VARIABLE])
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    in_file: dict[str, Any] = {}
    package = _open_package(bundle, overrides)
    if package is not None:
        values |= package.settings
        origins |= dict.fromkeys(package.settings, f"package {bundle}")
    if config is not None:
        in_file = file_values(Settings, names, config)
        values |= in_file
        origins |= dict.fromkeys(in_file, f"file {config}")
    for name, (variable, value) in environment_values(Settings, names).items():
        values[name], origins[name] = value, f"environment variable {variable}"
    for name, given in overrides.items():
        if given is not None:
            values[name], origins[name] = given, "command line"
    if package is not None:
        values["model"], origins["model"] = package.model.absolute(), f"package {bundle}"
    try:
        settings = Settings(**{names[name][0]: value for name, value in values.items()})
    except ValidationError as error:
        first = error.errors()[0]
        fields = {variables[0]: name for name, variables in names.items()}
        name = fields[str(first["loc"][0])]
        raise SettingsError(f"setting {name} ({origins[name]}): {first['msg']}.") from error
    settings._origins = origins
    settings._bundle = package
    _check(settings)
    secrets = [name for name in in_file if carries_secret(getattr(settings, name))]
    if config is not None and secrets and readable_by_others(config):
        settings._notes = (
            f"every user of this machine can read {', '.join(secrets)} in {config}: "
            f"chmod 600 {config}",
        )
    return settings


def _open_package(bundle: Path | None, overrides: Mapping[str, object]) -> Bundle | None:
    if bundle is None:
        return None
    if overrides.get("model") is not None:
        raise SettingsError("a package has its model: use --bundle or --model, not both.")
    return open_bundle(bundle)


def _check(settings: Settings) -> None:
    if (settings.basic_auth_user is None) != (settings.basic_auth_pass is None):
        raise SettingsError("basic auth needs both BASIC_AUTH_USER and BASIC_AUTH_PASS.")
    if settings.tasks_at_once > _MOST_WORKERS:
        raise SettingsError(
            f"WORKERS times THREADS is {settings.tasks_at_once}, but {_MOST_WORKERS} tasks at once "
            "are the most: lower one of them (THREADS is 4 by default)."
        )


def model_path(settings: Settings) -> Path:
    """The model to load. Raises SettingsError where none is given."""
    return locate_model(settings.model, settings.model_dir)


def environment_names() -> dict[str, tuple[str, ...]]:
    """The environment variables of each setting, by field name."""
    names = {}
    for name, info in Settings.model_fields.items():
        alias = info.validation_alias
        assert isinstance(alias, AliasChoices)  # noqa: S101 - _env makes nothing else
        names[name] = tuple(str(choice) for choice in alias.choices)
    return names
